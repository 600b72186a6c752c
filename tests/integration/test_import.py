"""A gateway's own configuration is imported, and the relay does the gateway's work with it."""

import subprocess
import sys
from typing import Any

import yaml
from twisted.internet.threads import deferToThread

from tests import HUNG_SECONDS
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, until
from tests.integration.kannel_gateway import CONFIGURATION, reports_of, sendsms
from tests.ports import free_port


class ImportedKannelTests(IntegrationTestCase):
    def command(self, *arguments: str) -> str:
        """What `python -m relay` prints on standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "relay", *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=HUNG_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    async def imported(self, carrier_port: int) -> Relay:
        """A relay that runs with the import of the kannel.conf with which other tests run Kannel itself."""
        http_port = free_port()
        login = f"host = 127.0.0.1\nport = {carrier_port}\nsmsc-username = relay\nsmsc-password = secret08"
        kannel = self.directory / "kannel.conf"
        kannel.write_text(
            CONFIGURATION.format(
                admin=1, boxes=2, http=http_port, directory=self.directory, resend=1,
                carrier=f'smsc = smpp\ntransceiver-mode = true\nsystem-type = ""\n{login}',
            )
        )  # fmt: skip
        written = self.directory / "written.yaml"
        written.write_text(await deferToThread(self.command, "import", str(kannel)))
        self.assertIn("1 account, 1 carrier, 1 route", await deferToThread(self.command, "check", str(written)))
        tables: dict[str, Any] = yaml.safe_load(written.read_text())
        # The report of this test goes to loopback.
        tables["accounts"]["kannel"]["allow_private_urls"] = True
        relay = self.prepare_relay(**tables)
        relay.http_port = http_port
        return await relay.start()

    async def test_a_customer_of_kannel_s_sends_with_the_same_request_and_gets_the_report(self) -> None:
        carrier = await self.simulator()
        relay = await self.imported(carrier.port)
        reports = await reports_of(self)
        answer = await sendsms(
            relay.http_port,
            {
                "username": "kannel", "password": "kannel", "from": "447700900000", "to": "447700900123",
                "text": "Hello", "dlr-mask": 3, "dlr-url": reports.url_of(1),
            },
        )  # fmt: skip
        self.assertEqual(answer, (202, "0: Accepted for delivery"))
        await until("the report is home", lambda: reports.calls)
        self.assertEqual((reports.calls, carrier.counters.taken), ([("1", "1")], 1))
