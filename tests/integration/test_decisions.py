"""A decision service of the operator's own, over sockets: tags, senders, refusals, slow answers, and none."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import yaml
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from relay.values import smpp_constants as c
from relay.values.messages import destination_of, source_of
from tests.fakes import submit_body
from tests.integration.harness import ROOT, smpp_account, until, within
from tests.integration.test_traffic import TrafficTestCase
from tests.ports import free_port


class DecisionServer(Resource):
    """A decision service that decides by number.

    :ivar decide: makes the decision about a message.
    :ivar slow: requests with one of these numbers are kept until `release`.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.decide: Callable[[dict[str, Any]], dict[str, Any]] = lambda message: {}
        self.slow: set[str] = set()
        self.kept: list[Request] = []
        self.asked: list[dict[str, Any]] = []

    def render_POST(self, request: Request) -> int:
        assert request.content is not None
        messages = json.loads(request.content.read())["messages"]
        self.asked += messages
        body = json.dumps({"decisions": [self.decide(message) for message in messages]}).encode()
        if any(message["to"] in self.slow for message in messages):
            self.kept.append(request)
            request.notifyFinish().addErrback(lambda failure: self.kept.remove(request))
            request.later = body  # type: ignore[attr-defined]
        else:
            request.setHeader(b"Content-Type", b"application/json")
            request.write(body)
            request.finish()
        return NOT_DONE_YET

    def release(self) -> None:
        """Answers the requests that it has kept."""
        for request in self.kept:
            request.write(request.later)  # type: ignore[attr-defined]
            request.finish()


class DecisionTests(TrafficTestCase):
    async def decisions(self, over_socket: bool = False, **settings: Any) -> dict[str, Any]:
        """A decision service that listens; and the configuration that names it."""
        self.server = DecisionServer()
        site = Site(self.server)
        site.noisy = False
        endpoint: Any
        if over_socket:
            path = str(self.directory / "decide.sock")
            endpoint, url = UNIXServerEndpoint(reactor, path), f"http://unix:{path}:/decide"
        else:
            port = free_port()
            endpoint, url = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1"), f"http://127.0.0.1:{port}/decide"
        self.listening = await endpoint.listen(site)
        self.addCleanup(lambda: maybeDeferred(self.listening.stopListening))
        return {"url": url, "timeout_seconds": 20} | settings

    async def test_tags_senders_and_refusals_over_both_interfaces_and_a_unix_socket(self) -> None:
        told: dict[str, dict[str, Any]] = {
            "447700900001": {"tags": ["gold"]},
            "447700900002": {"from": "60300"},
            "447700900003": {"refuse": "The number has opted out.", "smpp_status": "ESME_RINVDSTADR"},
        }
        settings = await self.decisions(over_socket=True)
        self.server.decide = lambda message: told.get(message["to"], {}) | {"cache_seconds": 60}
        await self.world(
            "plain", "gold", decisions=settings, routes=[{"carriers": ["plain"]}, {"tag": "gold", "carriers": ["gold"]}]
        )
        answers = [await self.post(f"44770090000{n}") for n in range(1, 5)]
        self.assertEqual([status for status, _ in answers], [202, 202, 422, 202])
        self.assertEqual(answers[2][1]["detail"], "The number has opted out.")
        esme = await self.esme(self.daemon.smpp_port)
        results = await within(10, esme.submit([submit_body(f"44770090000{n}", source="ACME") for n in range(1, 5)]))
        self.assertEqual([status for status, _ in results], [0, 0, c.ESME_RINVDSTADR, 0])
        await until("all have come", lambda: len(self.got("plain")) == 4 and len(self.got("gold")) == 2)
        self.assertEqual(set(self.got("gold")), {(b"ACME", b"447700900001")})
        plain = {(b"60300", b"447700900002"), (b"ACME", b"447700900004")}
        self.assertEqual(set(self.got("plain")), plain)
        # Over SMPP the answers that were kept counted.
        self.assertEqual(len(self.server.asked), 4)
        counted = [await self.metric(self.daemon, "relay_decisions_total", result=r) for r in ("answered", "cached")]
        self.assertEqual(counted, [4, 4])

    async def test_a_slow_decision_delays_only_its_own_message(self) -> None:
        settings = await self.decisions()
        self.server.slow = {"447700900001"}
        await self.world("plain", decisions=settings, routes=[{"carriers": ["plain"]}])
        esme = await self.esme(self.daemon.smpp_port)
        slow = esme.submit([submit_body("447700900001")])
        await until("the service is asked", lambda: len(self.server.kept) == 1)
        other = await self.esme(self.daemon.smpp_port)
        quick = await within(10, other.submit([submit_body(f"4477009001{n:02}") for n in range(50)]))
        self.assertEqual({status for status, _ in quick}, {c.ESME_ROK})
        self.assertEqual((await self.post("447700900200"))[0], 202)
        self.assertFalse(slow.called)
        self.server.release()
        self.assertEqual([status for status, _ in await within(10, slow)], [c.ESME_ROK])
        await until("all have come", lambda: len(self.got("plain")) == 52)

    async def test_the_tags_of_a_message_hold_after_a_kill_without_the_service(self) -> None:
        settings = await self.decisions()
        self.server.decide = lambda message: {"tags": ["gold"]}
        await self.world(
            "plain", "gold", decisions=settings, routes=[{"carriers": ["plain"]}, {"tag": "gold", "carriers": ["gold"]}]
        )
        gold = self.carriers["gold"]
        gold.on_submit = lambda session, pdu: None
        self.assertEqual((await self.post("447700900001"))[0], 202)
        await until("the carrier has it, and says nothing", lambda: len(gold.submits) == 1)
        self.daemon.kill()
        await maybeDeferred(self.listening.stopListening)
        await self.daemon.start()
        await until("it is sent again", lambda: len(gold.submits) == 2)
        self.assertEqual([(source_of(p.addresses), destination_of(p.addresses)) for p in gold.submits],
                         [(b"ACME", b"447700900001")] * 2)  # fmt: skip
        self.assertEqual(self.got("plain"), [])

    async def test_the_service_in_the_documentation_decides(self) -> None:
        text = (ROOT / "docs" / "decision-service.md").read_text()
        [code] = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        [configuration] = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
        port = str(free_port())
        self.assertIn("8900", code)
        process = subprocess.Popen([sys.executable, "-c", code.replace("8900", port)], stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        await until("it listens", lambda: _listens(int(port)))
        settings = yaml.safe_load(configuration.replace("8900", port)) | {
            "accounts": {"bank": smpp_account("bank", api_key="bank")}
        }
        settings["decisions"]["timeout_seconds"] = 20
        await self.world("direct", "cheap", **settings)
        answers = [await self.post(to, account="bank") for to in ("447700900901", "447700900123")]
        self.assertEqual([status for status, _ in answers], [422, 202])
        await until("it has come", lambda: len(self.got("direct")) == 1)

    async def test_without_the_service_messages_are_put_off_until_a_reload_lets_them_pass(self) -> None:
        settings = await self.decisions()
        await maybeDeferred(self.listening.stopListening)
        await self.world("plain", decisions=settings, routes=[{"carriers": ["plain"]}])
        status, problem = await self.post("447700900001")
        self.assertEqual((status, problem["status"]), (503, 503))
        esme = await self.esme(self.daemon.smpp_port)
        [(refused, _)] = await within(10, esme.submit([submit_body("447700900001")]))
        self.assertEqual(refused, c.ESME_RSYSERR)
        self.assertIn("decisions_failing", self.daemon.log())
        self.daemon.configuration["decisions"]["on_failure"] = "pass"
        (self.daemon.directory / "relay.yaml").write_text(json.dumps(self.daemon.configuration))
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGHUP)
        await until("the file is read", lambda: "config_reloaded" in self.daemon.log())
        self.assertEqual((await self.post("447700900001"))[0], 202)
        await until("it has come", lambda: len(self.got("plain")) == 1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
