"""Endpoint descriptions that Twisted would refuse, found before anything listens."""

import tempfile
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from relay.app.endpoint_check import endpoint_problems
from relay.config.account_config import Account
from relay.config.carrier_config import Carrier, Simulator
from relay.config.daemon_config import Demo
from relay.config.listener_config import HttpListener
from relay.config.model import Config
from relay.config.tls_config import NotificationTls
from tests.certificates import Authority


class EndpointCheckTests(SynchronousTestCase):
    def problems(self, config: Config) -> dict[str, str]:
        """What is wrong, by dotted key."""
        reactor = MemoryReactorClock()
        found = {".".join(map(str, path)): text for path, text in endpoint_problems(config, reactor)}
        self.assertEqual((reactor.tcpServers, reactor.tcpClients), ([], []), "nothing may be opened by a check")
        return found

    def test_descriptions_that_twisted_takes_are_fine(self) -> None:
        config = Config(
            http=HttpListener(listen=["tcp:80", "tcp:80:interface=127.0.0.1", r"tcp6:80:interface=\:\:1", "unix:/x"]),
            carriers={
                "a": Carrier(connect="tcp:smpp.example.net:2775"),
                "b": Carrier(connect="tls:smpp.example.net:3550"),
                "c": Carrier(kind="simulator"),
                "d": Carrier(kind="http", connect="https://relay.example.net"),
            },
        )
        self.assertEqual(self.problems(config), {})

    def test_server_endpoints_are_named_with_the_reason(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        no_key = Path(directory.name, "no-key.pem")
        no_key.write_text("x")
        no_key.chmod(0o600)
        for description, reason in (
            ("tcp:", "the port must be a number, not ''"),
            ("tcp", "too few"),
            ("nonsense:80", "Unknown endpoint type"),
            ("tcp:80:colour=red", "unknown arguments"),
            ("tcp:99999", "the port must be from 0 to 65535, not 99999"),
            ("tcp6:port=-1", "the port must be from 0 to 65535, not -1"),
            ("tcp:80:interface=::1", r"interface=\:\:1"),
            ("ssl:443:privateKey=/no/such.pem", "/no/such.pem: No such file"),
            (f"ssl:443:privateKey={no_key}", "PEM"),
        ):
            found = self.problems(Config(http=HttpListener(listen=["tcp:80", description])))
            self.assertEqual(list(found), ["http.listen.1"])
            self.assertIn(f"{description!r} is not a server endpoint: ", found["http.listen.1"])
            self.assertIn(reason, found["http.listen.1"])

    def test_a_carriers_port_has_its_bounds(self) -> None:
        for connect in ("tcp:h:0", "tcp:h:65536", "tls:host=h:port=70000", "tcp:host=h:0"):
            found = self.problems(Config(carriers={"a": Carrier(connect=connect)}))
            self.assertIn("the port must be from 1 to 65535", found["carriers.a.connect"])
        for connect in ("tcp:h:1", "tls:host=h:port=65535", "tcp:port=2775:host=h", "tcp:h:2775:timeout=5"):
            self.assertEqual(self.problems(Config(carriers={"a": Carrier(connect=connect)})), {})

    def test_a_carriers_name_that_no_host_may_have_is_refused(self) -> None:
        for connect in ("tcp:☃.example:2775", "tls:port=3550:host=☃.example"):
            found = self.problems(Config(carriers={"a": Carrier(connect=connect)}))
            self.assertIn("U+2603", found["carriers.a.connect"])

    def test_the_files_for_receivers_over_tls_are_read(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        authority = Authority(Path(directory.name))
        key, certificate = map(str, authority.issue("relay", "relay.example"))
        open_key, _ = map(str, authority.issue("open", "relay.example", mode=0o644))
        other_key, _ = map(str, authority.issue("other", "relay.example"))
        for files, reason in (
            (NotificationTls(str(authority.file), certificate, key), None),
            (NotificationTls("/no/such.pem"), "/no/such.pem: No such file"),
            (NotificationTls(key), "no certificate in PEM form"),
            (NotificationTls("", certificate, open_key), "other users may read"),
            (NotificationTls("", certificate, other_key), "is not the key of"),
        ):
            found = self.problems(Config(accounts={"a": Account(notification_tls=files)}))
            if reason is None:
                self.assertEqual(found, {})
            else:
                self.assertIn(reason, found["accounts.a.notification_tls"])

    def test_every_endpoint_of_the_configuration_is_looked_at(self) -> None:
        config = Config(
            demo=Demo(receiver="x:1"),
            carriers={
                "a": Carrier(connect="tcp:h"),
                "b": Carrier(kind="simulator", simulator=Simulator(listen="tcp:x")),
            },
        )
        self.assertEqual(
            set(self.problems(config)), {"demo.receiver", "carriers.a.connect", "carriers.b.simulator.listen"}
        )
