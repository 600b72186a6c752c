"""Programs that were written for Kannel's and Jasmin's HTTP interfaces send to the relay."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.http import Request

from tests import HUNG_SECONDS
from tests.integration.harness import IntegrationTestCase, Relay, WebhookReceiver, smpp_account, smpp_carrier, until

CLIENTS = Path(__file__).parent / "clients"
KANNEL = [202, "0: Accepted for delivery"]


class Reports(WebhookReceiver):
    """Keeps the fields of the delivery reports."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[dict[str, str]] = []

    def render(self, request: Request) -> bytes:
        self.reports.append(dict(parse_qsl(urlsplit(request.uri).query.decode(), keep_blank_values=True)))
        return b""


class GatewayCallerTests(IntegrationTestCase):
    async def world(self) -> Relay:
        carrier = await self.simulator()
        relay = self.prepare_relay(
            accounts={"acme": smpp_account(senders={"default": "ACME"})},
            carriers={"north": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["north"]}],
        )
        relay.configuration["http"] |= {"kannel": True, "jasmin": True}
        return await relay.start()

    async def output_of(self, *command: object) -> str:
        """What a program prints; it must succeed and complain of nothing."""
        done = await deferToThread(
            subprocess.run,
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS / 2,
            env={name: os.environ[name] for name in ("PATH", "no_proxy", "NO_PROXY")}
            # What a language says of a library is not about the relay.
            | {"NODE_NO_WARNINGS": "1", "PYTHONWARNINGS": "ignore"},
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return str(done.stdout)

    def assertAnswers(self, output: str, kannel: int, jasmin: int, rest: int = 0) -> None:
        """So many of Kannel's answers, then of Jasmin's, then of its REST API's: all are good ones."""
        answers: list[Any] = json.loads(output)
        self.assertEqual(len(answers), kannel + jasmin + rest)
        self.assertEqual(answers[:kannel], [KANNEL] * kannel)
        for status, text in answers[kannel : kannel + jasmin]:
            self.assertEqual(status, 200)
            self.assertRegex(text, r'\ASuccess "[0-9a-f-]{36}"\Z')
        for status, text in answers[kannel + jasmin :]:
            self.assertEqual(status, 200)
            self.assertRegex(json.loads(text)["data"], r'\ASuccess "[0-9a-f-]{36}\Z')

    async def test_programs_of_nodes(self) -> None:
        program = shutil.which("node")
        if program is None:
            raise SkipTest("node isn't installed")
        relay = await self.world()
        output = await self.output_of(program, CLIENTS / "callers.js", f"http://127.0.0.1:{relay.http_port}")
        self.assertAnswers(output, kannel=2, jasmin=4, rest=1)

    async def test_programs_of_phps(self) -> None:
        program = shutil.which("php")
        if program is None:
            raise SkipTest("PHP isn't installed (Debian's package php-cli)")
        relay = await self.world()
        self.assertAnswers(await self.output_of(program, CLIENTS / "callers.php", relay.http_port), kannel=2, jasmin=3)

    async def test_rapidsms_hears_what_became_of_its_messages(self) -> None:
        if importlib.util.find_spec("rapidsms") is None:
            raise SkipTest("RapidSMS isn't installed: make .venv/.installed-for-tests")
        relay = await self.world()
        reports = Reports()
        self.addCleanup(lambda: Deferred.fromCoroutine(reports.close()))
        await reports.listen()
        await self.output_of(
            sys.executable,
            CLIENTS / "callers_rapidsms.py",
            f"http://127.0.0.1:{relay.http_port}/cgi-bin/sendsms",
            f"http://127.0.0.1:{reports.port}/",
        )
        await until("both reports are home", lambda: len(reports.reports) >= 2)
        # RapidSMS refuses a report in which one of these is empty.
        names = {"message_id", "status", "status_text", "smsc", "sms_id", "date_sent", "identity"}
        for report in reports.reports:
            self.assertEqual({name for name, value in report.items() if value}, names)
            self.assertEqual((report["message_id"], report["status"], report["smsc"]), ("message-7", "1", "north"))
        self.assertEqual({report["identity"] for report in reports.reports}, {"447700900123", "447700900124"})
