"""The proxies of docs/operations.md, set up as the page says: the relay knows the client behind each of them."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from unittest import SkipTest

from twisted.internet.threads import deferToThread

from relay.values import smpp_constants as c
from tests import PATIENCE
from tests.certificates import Authority
from tests.fakes import bind_body, parse_header, pdu
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, smpp_account, smpp_carrier, until
from tests.ports import free_port

PAGE = (ROOT / "docs" / "operations.md").read_text()
#: Wrong keys that a client may say in a minute.
MOST_WRONG = 3


def recipe(proxy: str) -> str:
    """What the page says to write into a proxy's configuration."""
    (found,) = re.findall(rf"^```{proxy}\n(.*?)^```", PAGE, re.M | re.S)
    return str(found)


def accepts(port: int) -> bool:
    """Whether something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class ProxyTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.directory)
        self.key, self.certificate = self.authority.issue("sms", "localhost", "127.0.0.1")
        self.both = self.directory / "sms-both.pem"
        self.both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        self.http_port, self.smpp_port = free_port(), free_port()

    async def world(self, *, smpp: str = "tcp", http: str = "tcp") -> Relay:
        """A relay that trusts the proxy at 127.0.0.1. SMPP logins come from 127.0.0.2 only."""
        carrier = await self.simulator()
        account = smpp_account()
        account["smpp"]["allow_from"] = ["127.0.0.2"]
        relay = self.prepare_relay(
            accounts={"acme": account}, carriers={"tier1": smpp_carrier(carrier.port)}, routes=[{"carriers": ["tier1"]}]
        )
        relay.configuration["trusted_proxies"] = ["127.0.0.1"]
        relay.configuration["http"]["failed_logins_a_minute"] = MOST_WRONG
        relay.configuration["http"]["listen"] = [f"{http}:{relay.http_port}:interface=127.0.0.1"]
        relay.configuration["smpp"]["listen"] = [f"{smpp}:{relay.smpp_port}:interface=127.0.0.1"]
        return await relay.start()

    async def proxy(self, name: str, text: str, *arguments: str) -> None:
        """Starts a proxy with this configuration; `FILE` among the arguments stands for its file."""
        program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SkipTest(f"{name} isn't installed")
        for old, new in {
            "sms.example.net": "localhost",
            "/etc/ssl/sms-both.pem": str(self.both),
            "/etc/ssl/sms.pem": str(self.certificate),
            "/etc/ssl/sms.key": str(self.key),
        }.items():
            text = text.replace(old, new)
        file = self.directory / f"{name}.conf"
        file.write_text(text)
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, *(str(file) if argument == "FILE" else argument for argument in arguments)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.directory,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
            )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{name} ended: {log.read_text(errors='replace')}")
            return accepts(self.http_port)

        await until(f"{name} listens", up)

    def ask(self, client: str, key: str, *, secure: bool = True, forged: str = "") -> int:
        """One request through the proxy from an address of loopback's: the status of the answer."""
        source, seconds = (client, 0), 20 * PATIENCE
        if secure:
            context = ssl.create_default_context(cafile=str(self.authority.file))
            connection: HTTPConnection = HTTPSConnection(
                "localhost", self.http_port, source_address=source, context=context, timeout=seconds
            )
        else:
            connection = HTTPConnection("127.0.0.1", self.http_port, source_address=source, timeout=seconds)
        headers = {"Authorization": "Basic " + b64encode(f"acme:{key}".encode()).decode()}
        if forged:
            headers["X-Forwarded-For"] = forged
        connection.request("GET", "/account", headers=headers)
        status = connection.getresponse().status
        connection.close()
        return status

    async def clients_are_told_apart(self, *, secure: bool = True) -> None:
        def statuses(client: str, key: str, count: int) -> Iterator[int]:
            for number in range(count):
                yield self.ask(client, key, secure=secure, forged=f"198.51.100.{number}")

        guesses = await deferToThread(lambda: list(statuses("127.0.0.2", "wrong", MOST_WRONG + 2)))
        self.assertEqual(guesses, [401] * MOST_WRONG + [429] * 2)
        self.assertEqual(await deferToThread(lambda: list(statuses("127.0.0.3", "wrong", 1))), [401])
        self.assertEqual(await deferToThread(lambda: list(statuses("127.0.0.4", "key", 2))), [200, 200])

    def bind(self, client: str) -> int:
        """The status that a bind through the proxy from an address of loopback's gets."""
        with socket.create_connection(("127.0.0.1", self.smpp_port), 20 * PATIENCE, (client, 0)) as connection:
            connection.sendall(pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")))
            return parse_header(connection.recv(16, socket.MSG_WAITALL))[2]

    async def test_behind_nginx_http_clients_are_distinguished(self) -> None:
        relay = await self.world()
        text = recipe("nginx").replace("listen 443", f"listen 127.0.0.1:{self.http_port}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{relay.http_port}")
        for place in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            text = f"{place}_temp_path {self.directory}/{place};\n{text}"
        user = "user root;\n" if os.getuid() == 0 else ""
        text = f"{user}daemon off;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
        await self.proxy("nginx", text, "-p", str(self.directory), "-e", "stderr", "-c", "FILE")
        await self.clients_are_told_apart()

    async def test_behind_caddy_http_clients_are_distinguished(self) -> None:
        relay = await self.world()
        # Of a name, Caddy would get a certificate from an authority in the internet.
        text = recipe("caddy").replace("sms.example.net", f"http://127.0.0.1:{self.http_port}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{relay.http_port}")
        await self.proxy("caddy", f"{{\nadmin off\n}}\n{text}", "run", "--adapter", "caddyfile", "--config", "FILE")
        await self.clients_are_told_apart(secure=False)

    async def test_behind_haproxy_http_and_smpp_clients_are_distinguished(self) -> None:
        relay = await self.world(smpp="haproxy:tcp")
        text = recipe("haproxy").replace("bind :443", f"bind 127.0.0.1:{self.http_port}")
        text = text.replace("bind :2776", f"bind 127.0.0.1:{self.smpp_port}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{relay.http_port}")
        text = text.replace("127.0.0.1:2775", f"127.0.0.1:{relay.smpp_port}")
        await self.proxy("haproxy", text, "-db", "-f", "FILE")
        await self.clients_are_told_apart()
        self.assertEqual(await deferToThread(self.bind, "127.0.0.2"), c.ESME_ROK)
        self.assertEqual(await deferToThread(self.bind, "127.0.0.3"), c.ESME_RBINDFAIL)
        await until("the log names the client", lambda: "customer_bound: acme is bound from 127.0.0.2" in relay.log())

    async def test_the_header_stands_before_the_handshake_and_strangers_may_not_write_one(self) -> None:
        relay = await self.world(http=f"haproxy:ssl:privateKey={self.key}:certKey={self.certificate}")

        def answer(client: str, header: bytes) -> bytes:
            context = ssl.create_default_context(cafile=str(self.authority.file))
            address = ("127.0.0.1", relay.http_port)
            with socket.create_connection(address, 20 * PATIENCE, (client, 0)) as plain:
                plain.sendall(header)
                try:
                    with context.wrap_socket(plain, server_hostname="localhost") as secured:
                        secured.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                        return secured.recv(64)
                except OSError as problem:
                    return type(problem).__name__.encode()

        header = b"PROXY TCP4 203.0.113.9 192.0.2.1 7 443\r\n"
        self.assertTrue((await deferToThread(answer, "127.0.0.1", header)).startswith(b"HTTP/1."))
        self.assertFalse((await deferToThread(answer, "127.0.0.2", header)).startswith(b"HTTP/1."))
        self.assertFalse((await deferToThread(answer, "127.0.0.1", b"")).startswith(b"HTTP/1."))
