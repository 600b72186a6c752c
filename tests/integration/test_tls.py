"""Two relays that speak TLS with each other, and a certificate that is changed while they do."""

import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

from twisted.internet.threads import deferToThread

from relay.values import smpp_constants as c
from tests import HUNG_SECONDS, PATIENCE
from tests.certificates import Authority
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until, within
from tests.ports import free_port


class TlsTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.directory)
        self.key, self.certificate = self.authority.issue("upstream", "localhost", "127.0.0.1")
        self.tls_port = free_port()
        self.listener = f"ssl:{self.tls_port}:privateKey={self.key}:certKey={self.certificate}:interface=127.0.0.1"

    def shown(self) -> str:
        """The certificate that the listener shows now, in PEM."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        with (
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=5 * PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")

    async def test_messages_and_receipts_pass_between_two_relays_over_tls(self) -> None:
        simulator = await self.simulator()
        upstream = self.prepare_relay(
            "upstream",
            accounts={"down": smpp_account("down", "secret07")},
            carriers={"tier1": smpp_carrier(simulator.port)},
            routes=[{"carriers": ["tier1"]}],
        )
        upstream.configuration["smpp"]["listen"].append(self.listener)
        await upstream.start()
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={
                "up": smpp_carrier(self.tls_port, system_id="down", password="secret07")
                | {"connect": f"tls:localhost:{self.tls_port}", "tls": {"ca_file": str(self.authority.file)}}
            },
            routes=[{"carriers": ["up"]}],
        )
        await until("the relay has bound over TLS", lambda: "carrier_bound: up" in relay.log())
        esme = await self.esme(relay.smpp_port)
        answers = await within(20, esme.submit([submit_body("447700900001")] * 200))
        self.assertEqual({c.ESME_ROK}, {status for status, _ in answers})
        await until("every receipt is home", lambda: len(esme.receipts) == 200)

        before = await deferToThread(self.shown)
        self.authority.issue("upstream", "localhost", "127.0.0.1")
        assert upstream.process is not None
        upstream.process.send_signal(signal.SIGHUP)
        await until("the new certificate is taken up", lambda: "certificate_changed" in upstream.log())
        after = await deferToThread(self.shown)
        self.assertNotEqual(before, after)
        self.assertEqual(self.certificate.read_text().strip(), after.strip())
        await within(20, esme.submit([submit_body("447700900001")] * 50))
        await until("every receipt is home", lambda: len(esme.receipts) == 250)
        self.assertNotIn("carrier_lost", relay.log())

    async def test_a_carrier_whose_certificate_is_not_trusted_gets_nothing_and_the_log_says_why(self) -> None:
        simulator = await self.simulator()
        upstream = self.prepare_relay(
            "upstream",
            accounts={"down": smpp_account("down", "secret07")},
            carriers={"tier1": smpp_carrier(simulator.port)},
            routes=[{"carriers": ["tier1"]}],
        )
        upstream.configuration["smpp"]["listen"].append(self.listener)
        await upstream.start()
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"up": smpp_carrier(1) | {"connect": f"tls:localhost:{self.tls_port}"}},
            routes=[{"carriers": ["up"]}],
        )
        await until("the log says why", lambda: "carrier_unreachable" in relay.log())
        self.assertIn("certificate verify failed", relay.log())
        self.assertNotIn("customer_bound", upstream.log())

    async def test_a_carrier_over_https_whose_certificate_is_not_trusted_gets_nothing_not_even_our_key(self) -> None:
        upstream = self.prepare_relay("upstream", accounts={"down": smpp_account("down", "secret07")})
        upstream.configuration["http"]["listen"].append(self.listener)
        await upstream.start()
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={
                "up": {
                    "kind": "http",
                    "connect": f"https://localhost:{self.tls_port}",
                    "system_id": "down",
                    # A wrong one: were it said, it would be refused.
                    "password": "wrong",
                    "signing_secret": "whsec_" + "c2VjcmV0" * 6,
                    "reconnect_min_seconds": 0.1,
                    "reconnect_max_seconds": 0.3,
                }
            },
            routes=[{"carriers": ["up"]}],
        )
        await until("the log says why", lambda: "carrier_unreachable" in relay.log())
        self.assertIn("TLS: certificate verify failed", relay.log())
        # Some more attempts, none of which gets as far as a refusal.
        esme = await self.esme(relay.smpp_port)
        await within(20, esme.submit([submit_body("447700900001")]))
        self.assertNotIn("carrier_bind_refused", relay.log())

    async def test_the_api_and_the_admin_listener_speak_https(self) -> None:
        relay = self.prepare_relay(accounts={"acme": smpp_account()})
        relay.configuration["http"]["listen"].append(self.listener)
        admin_port = free_port()
        relay.configuration["admin"]["listen"].append(self.listener.replace(str(self.tls_port), str(admin_port), 1))
        await relay.start()
        context = ssl.create_default_context(cafile=str(self.authority.file))

        def get(url: str) -> bytes:
            with urllib.request.urlopen(url, context=context, timeout=10 * PATIENCE) as answer:
                return answer.read()  # type: ignore[no-any-return]

        self.assertIn(b"openapi", await deferToThread(get, f"https://localhost:{self.tls_port}/openapi.json"))
        self.assertIn(b"relay_ready 1.0", await deferToThread(get, f"https://localhost:{admin_port}/metrics"))

    def test_a_key_that_others_may_read_keeps_the_relay_from_starting(self) -> None:
        self.key.chmod(0o644)
        file = Path(self.directory / "relay.yaml")
        file.write_text(f'{{"http": {{"listen": ["{self.listener}"]}}, "data_dir": "{self.directory}/data"}}')
        twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
        done = subprocess.run(
            [*twistd, "relay", "--config", str(file)], capture_output=True, text=True, timeout=HUNG_SECONDS, check=False
        )
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        self.assertIn("upstream.key (mode 0644): chmod o-rwx", done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
