"""The running relay agrees with its OpenAPI document and with the page `/docs`: schemathesis tries to find a
contradiction, and the commands of the page are run."""

import re
import sys
from html import unescape
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutput
from twisted.python.failure import Failure

from relay.http.api_examples import URL
from relay.http.api_operations import OPERATIONS
from relay.http.docs_page import docs_page
from relay.http.openapi import openapi_document
from tests.integration.harness import IntegrationTestCase

CONFIGURATION = Path(__file__).resolve().parents[1] / "data" / "schemathesis.toml"


class _Run(ProcessProtocol):
    """Collects what a process prints, and says how it ended."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.ended: Deferred[int] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.output += data

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(getattr(reason.value, "exitCode", None) or 0)


class OpenApiTests(IntegrationTestCase):
    async def test_the_commands_of_the_page_do_what_they_say(self) -> None:
        nobody = "http://127.0.0.1:1/nobody"
        relay = await self.relay(
            accounts={"acme": {"api_key": "key", "allow_private_urls": True, "notification_url": nobody}},
            carriers={"sim": {"kind": "simulator", "simulator": {"receipt_delay_seconds": 0.05}}},
            routes=[{"carriers": ["sim"]}],
        )
        page = docs_page(openapi_document("1.0.0"))
        commands = [unescape(text) for text in re.findall(r"<code>(curl .*?)</code></pre>", page, re.DOTALL)]
        self.assertEqual(len(commands), len(OPERATIONS))
        for operation, command in zip(OPERATIONS, commands, strict=True):
            command = command.replace("ACCOUNT:KEY", "acme:key").replace(URL, nobody)
            command = command.replace("https://HOST", f"http://127.0.0.1:{relay.http_port}")
            command = command.replace("curl ", "curl -s -o /dev/null -w '%{http_code}' ", 1)
            done = await getProcessOutput("/bin/sh", ("-c", command), env={"PATH": "/usr/bin:/bin"}, errortoo=True)
            # The account has no message with the id of the examples.
            expected = {404} if "{id}" in operation.path else set(operation.answers)
            self.assertIn(int(done), expected, command)

    async def test_schemathesis_finds_nothing_that_is_not_as_documented(self) -> None:
        relay = await self.relay(
            accounts={"acme": {"api_key": "key", "allow_private_urls": True}},
            carriers={"sim": {"kind": "simulator", "simulator": {"receipt_delay_seconds": 0.05}}},
            routes=[{"carriers": ["sim"]}],
        )
        run = _Run()
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run"]
        command += [f"http://127.0.0.1:{relay.http_port}/openapi.json", "-a", "acme:key", "-n", "15"]
        command += ["--generation-deterministic", "--no-color"]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(relay.directory), "PYTHONUTF8": "1"}
        reactor.spawnProcess(run, command[0], command, environment, path=str(relay.directory))
        status = await run.ended
        text = run.output.decode("utf-8", "replace")
        self.assertEqual(status, 0, text)
        # Every operation of the document was tried, however many there are.
        counts = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", text)
        self.assertIsNotNone(counts, text)
        assert counts is not None
        self.assertEqual(counts[1], counts[2])
        self.assertEqual(counts[1], counts[3])
