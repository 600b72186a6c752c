"""The running relay agrees with its OpenAPI document: schemathesis tries to find a contradiction."""

import re
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

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
