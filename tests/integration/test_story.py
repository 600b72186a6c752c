"""The story in docs/traffic.md: its configuration runs as it stands, and does what the story says."""

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import treq
import yaml
from twisted.internet import reactor
from twisted.web.client import Agent

from relay.app.list_files import read_lists
from relay.app.load_config import load
from relay.routing.explanation import explain
from relay.routing.routes import Routes
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, WebhookReceiver, http_reactor, until

PAGE = (ROOT / "docs" / "traffic.md").read_text("utf-8")
#: What the numbers of the story begin with.
PREFIX = "4477009"


def fenced(kind: str) -> str:
    """The page's block of this kind."""
    [text] = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(text)


class StoryRelay(Relay):
    """A relay with the page's own text as its file; only ports and the place of files are this test's."""

    def write(self, receiver: WebhookReceiver) -> None:
        """Writes what the page says to save."""
        text = fenced("yaml")
        ports = {8080: self.http_port, 2775: self.smpp_port, 9090: self.admin_port, 8099: receiver.port}
        for port, own in ports.items():
            assert str(port) in text, port
            text = text.replace(str(port), str(own))
        (self.directory / "optouts.txt").write_text(fenced("text"))
        text = text.replace("file: optouts.txt", f"file: {self.directory}/optouts.txt")
        self.configuration = yaml.safe_load(text.replace("var/story", f"{self.directory}/data"))


class StoryTests(IntegrationTestCase):
    async def start(self) -> None:
        self.receiver = await self.webhooks()
        self.story = StoryRelay(self.directory, "story")
        self.addCleanup(self._end, self.story)
        self.story.write(self.receiver)
        await self.story.start()
        for name in ("north", "south", "spare"):
            await until(f"{name} is up", lambda name=name: self.metric(self.story, "relay_carrier_up", carrier=name))

    async def post(self, account: str, numbers: list[str]) -> list[Any]:
        """Hands in a message to each number: the answers."""
        messages = [{"to": number, "text": "hello"} for number in numbers]
        status, answers = await self.http(
            "POST", self.story, "/messages", messages, account=account, key=f"{account}-key"
        )
        self.assertEqual(status, 202)
        return list(answers)

    async def ended(self, account: str, answers: list[Any]) -> list[Any]:
        """The messages when they have ended."""
        found: list[Any] = []

        async def next_one() -> bool:
            path = f"/messages/{answers[len(found)]['id']}"
            _, message = await self.http("GET", self.story, path, account=account, key=f"{account}-key")
            if message["done_at"] is not None:
                found.append(message)
            return len(found) == len(answers)

        await until("all have ended", next_one)
        return found

    def told(self, path: str) -> list[Any]:
        """What the shop's web server got under this path."""
        return [post.json for post in self.receiver.posts if post.path == path]

    async def test_two_carriers_share_the_country_and_the_third_one_helps_when_both_are_slow(self) -> None:
        await self.start()
        few = [f"{PREFIX}{n:05}" for n in range(60)]
        first = await self.ended("shop", await self.post("shop", few))
        config = load(yaml.safe_dump(self.story.configuration), name="story", environ={}, read_file=lambda path: "")
        routes = Routes(config.routes, read_lists(config))
        wanted = {number: explain(routes, "shop", "60300", number, 0.0).carriers[0] for number in few}
        self.assertEqual({message["to"]: message["carrier"] for message in first}, wanted)
        self.assertEqual(set(wanted.values()), {"north", "south"})

        # Far more than north and south send in five seconds.
        many = await self.post("shop", [f"{PREFIX}{n:05}" for n in range(1000, 1900)])
        shares = Counter(message["carrier"] for message in await self.ended("shop", many))
        self.assertGreater(shares["spare"], 0)

    async def test_one_time_passwords_go_before_what_has_waited_longer(self) -> None:
        await self.start()
        for name in ("north", "south", "spare"):
            await self.act(name, "hold")
        waiting = await self.post("shop", [f"{PREFIX}{n:05}" for n in range(200)])
        password = await self.post("bank", [f"{PREFIX}00001"])
        await self.act("north", "resume")
        [first] = await self.ended("bank", password)
        self.assertEqual(first["from"], "BANK-OTP")
        before = [message for message in await self.ended("shop", waiting) if message["carrier"] == first["carrier"]]
        # At 40 a second, and all of them handed in earlier.
        self.assertEqual(len(before), 200)
        # Simulated receipts have dates without seconds, so `done_at` says little.
        self.assertLess(first["learnt_at"], max(message["learnt_at"] for message in before))

    async def act(self, carrier: str, action: str) -> None:
        """What an operator does."""
        client = treq.client.HTTPClient(Agent(reactor, pool=self.pool))
        url = f"http://127.0.0.1:{self.story.admin_port}/carriers/{carrier}/{action}"
        headers: dict[bytes | str, bytes | str] = {"X-Relay-Action": "test"}
        response = await client.post(url, json={"reason": "a test"}, headers=headers, reactor=http_reactor)
        self.assertEqual(response.code, 200, await response.text())

    async def test_opt_outs_are_refused_and_replies_come_to_the_customer_s_url(self) -> None:
        await self.start()
        [refused] = await self.refusals("447700900999")
        self.assertEqual((refused["status"], refused["field"]), (422, "to"))
        numbers = [f"{PREFIX}{n:05}" for n in range(60)]
        await self.post("shop", numbers)
        await until("some have replied", lambda: bool(self.told("/replies")))
        reply = self.told("/replies")[0]
        self.assertEqual((reply["text"], reply["to"], reply["carrier"]), ("STOP", "60300", "north"))
        self.assertIn(reply["from"], numbers)
        with (self.story.directory / "optouts.txt").open("a") as file:
            file.write(f"{reply['from']}\n")
        assert self.story.process is not None
        self.story.process.send_signal(signal.SIGHUP)
        await until("the file is read", lambda: "config_reloaded" in self.story.log(1_000_000))
        [refused] = await self.refusals(reply["from"])
        self.assertEqual((refused["status"], refused["field"]), (422, "to"))

    async def refusals(self, *numbers: str) -> list[Any]:
        """What each message is refused with."""
        return [
            (await self.http("POST", self.story, "/messages", {"to": number, "text": "hello"}, account="shop",
                             key="shop-key"))[1]
            for number in numbers
        ]  # fmt: skip

    def test_the_command_on_the_page_says_what_the_page_says(self) -> None:
        text = fenced("yaml")
        Path(self.directory / "optouts.txt").write_text(fenced("text"))
        config = load(
            text.replace("optouts.txt", f"{self.directory}/optouts.txt"),
            name="story",
            environ={},
            read_file=lambda path: "",
        )
        routes = Routes(config.routes, read_lists(config))
        found = explain(routes, "shop", "", "447700900123", 0.0)
        self.assertIn(found.decision, PAGE)
        self.assertIn(f"{found.steps[0].route} ({found.steps[0].asks_for}): {found.steps[0].verdict}", PAGE)
        shares = Counter(explain(routes, "shop", "", f"{PREFIX}{n:05}", 0.0).carriers[0] for n in range(900))
        self.assertLess(abs(shares["north"] / 900 - 0.7), 0.05)
