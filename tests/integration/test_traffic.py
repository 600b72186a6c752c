"""Which way messages take: routes, lists and senders, over sockets with several carriers."""

from typing import Any

from twisted.internet import reactor, task
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.smpp.message_codec import encode_address, message_body
from relay.values import smpp_constants as c
from relay.values.messages import destination_of, source_of
from relay.values.pdus import MessagePdu
from tests.fakes import ScriptedCarrier, ScriptedSession, receipt_body, submit_body
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until, within
from tests.ports import free_port


class TrafficTestCase(IntegrationTestCase):
    """A relay between customers and carriers that take every message and note it."""

    async def world(self, *names: str, carriers: dict[str, dict[str, Any]] | None = None, **configuration: Any) -> None:
        self.carriers: dict[str, ScriptedCarrier] = {}
        settings: dict[str, Any] = {}
        for name in names:
            carrier = self.carriers[name] = ScriptedCarrier(reactor)
            carrier.on_submit = self.take
            port = free_port()
            listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(carrier)
            self.addCleanup(until, "the carrier's sessions are closed", lambda carrier=carrier: not carrier.open)
            self.addCleanup(listening.stopListening)
            settings[name] = smpp_carrier(port, **(carriers or {}).get(name, {}))
        accounts = {"acme": smpp_account(), "other": smpp_account("other", api_key="other")}
        self.daemon = await self.relay(**({"accounts": accounts, "carriers": settings} | configuration))
        await until("the relay has bound", lambda: all(carrier.bound for carrier in self.carriers.values()))

    def take(self, session: ScriptedSession, pdu: MessagePdu) -> None:
        """What a carrier does with a message; ids count up."""
        carrier = next(carrier for carrier in self.carriers.values() if session in carrier.bound)
        session.queue_answer(pdu, b"%d" % len(carrier.submits))

    async def post(self, to: str, sender: str = "ACME", account: str = "acme", **more: Any) -> tuple[int, Any]:
        """Hands in a message over HTTP: the answer."""
        key = "key" if account == "acme" else account
        message = {"to": to, "from": sender, "text": "hello"} | more
        return await self.http("POST", self.daemon, "/messages", message, account=account, key=key)

    def got(self, carrier: str) -> list[tuple[bytes, bytes]]:
        """Sender and number of each message that a carrier got."""
        return [(source_of(pdu.addresses), destination_of(pdu.addresses)) for pdu in self.carriers[carrier].submits]


class RouteTests(TrafficTestCase):
    async def test_messages_go_by_account_sender_tag_and_number_over_both_interfaces(self) -> None:
        ported = self.directory / "ported.csv"
        ported.write_text("number,network\n447700900234,north\n")
        blocked = self.directory / "blocked.txt"
        blocked.write_text("# have asked for it\n4477009009\n")
        await self.world(
            "default", "bulk", "otp", "north",
            lists={
                "blocked": {"file": str(blocked), "on_match": "refuse"},
                "ported": {"file": str(ported), "tag_column": "network"},
            },
            routes=[
                {"carriers": ["default"]},
                {"account": "other", "carriers": ["bulk"]},
                {"account": "other", "sender": "OTP*", "carriers": ["otp"]},
                {"tag": "north", "prefix": "44", "carriers": ["north"]},
            ],
        )  # fmt: skip
        for to, sender, account in (
            ("447700900123", "ACME", "acme"),
            ("447700900124", "OTHER", "other"),
            ("447700900125", "OTP-1", "other"),
            ("447700900234", "ACME", "acme"),
        ):
            self.assertEqual((await self.post(to, sender, account))[0], 202)
        status, problem = await self.post("447700900999")
        self.assertEqual((status, problem["field"]), (422, "to"))
        esme = await self.esme(self.daemon.smpp_port, "other")
        answers = await within(10, esme.submit([submit_body("447700900126"), submit_body("447700900998")]))
        self.assertEqual([status for status, _ in answers], [c.ESME_ROK, c.ESME_RINVDSTADR])
        wanted = {"default": [b"447700900123"], "bulk": [b"447700900124", b"447700900126"],
                  "otp": [b"447700900125"], "north": [b"447700900234"]}  # fmt: skip
        await until("all have come", lambda: sum(len(self.got(name)) for name in wanted) == 5)
        self.assertEqual({name: [number for _, number in self.got(name)] for name in wanted}, wanted)


class SenderTests(TrafficTestCase):
    async def test_routes_and_carriers_replace_senders_and_the_customer_sees_their_own(self) -> None:
        await self.world(
            "plain", "fixed",
            carriers={"fixed": {"replace_sender": "60400"}},
            routes=[
                {"carriers": ["plain"]},
                {"prefix": "44", "carriers": ["plain"], "replace_sender": "REPLACED"},
                {"prefix": "49", "carriers": ["fixed"], "replace_sender": "REPLACED"},
            ],
        )  # fmt: skip
        _, first = await self.post("447700900123")
        for to in ("4915112345678", "33612345678"):
            await self.post(to)
        addresses = encode_address(5, 0, b"MINE") + encode_address(1, 1, b"447700900124")
        body = message_body(addresses=addresses, short_message=b"hi", service_type=b"CMT")
        esme = await self.esme(self.daemon.smpp_port)
        await within(10, esme.submit([body]))
        await until("all have come", lambda: len(self.got("plain")) == 3 and len(self.got("fixed")) == 1)
        self.assertEqual(
            self.got("plain"),
            [(b"REPLACED", b"447700900123"), (b"ACME", b"33612345678"), (b"REPLACED", b"447700900124")],
        )
        self.assertEqual(self.got("fixed"), [(b"60400", b"4915112345678")])
        self.assertEqual(self.carriers["plain"].submits[-1].service_type, b"CMT")
        self.assertEqual((await self.http("GET", self.daemon, f"/messages/{first['id']}"))[1]["from"], "ACME")


class ProgressTests(TrafficTestCase):
    async def test_the_customer_hears_of_each_step_once_and_in_order(self) -> None:
        receiver = await self.webhooks()
        account = smpp_account(notification_url=receiver.url, notify="progress", notification_concurrency=8)
        await self.world("tier1", accounts={"acme": account}, routes=[{"carriers": ["tier1"]}])
        status, answer = await self.post("447700900001", reference="Zoë 1")
        self.assertEqual(status, 202)

        def told() -> list[tuple[str, str, str]]:
            return [(post.json["status"], post.json["send_status"], post.json["error"]) for post in receiver.posts]

        steps = [("ENROUTE", "pending", "001"), ("ACCEPTD", "pending", "006"), ("DELIVRD", "delivered", "000")]
        await until("it is told that the carrier has taken it", lambda: told() == steps[:1])
        carrier = self.carriers["tier1"].bound[0]
        carrier.deliver(receipt_body("1", "ENROUTE"), receipt_body("1", "ACCEPTD"))
        await until("the carrier's own state is told", lambda: told() == steps[:2])
        carrier.deliver(receipt_body("1"))
        await until("the end is told", lambda: told() == steps)
        self.assertEqual({post.json["id"] for post in receiver.posts}, {answer["id"]})
        self.assertEqual({post.headers["x-relay-reference"] for post in receiver.posts}, {"Zo%C3%AB%201"})

    async def test_what_was_not_handed_over_is_replaced_by_the_final_state(self) -> None:
        receiver = await self.webhooks()
        receiver.status = 500
        account = smpp_account(notification_url=receiver.url, notify="progress")
        await self.world("tier1", accounts={"acme": account}, routes=[{"carriers": ["tier1"]}])
        _, answer = await self.post("447700900001")
        attempts = "/messages/" + answer["id"]

        async def tried() -> list[str]:
            return [attempt["status"] for attempt in (await self.http("GET", self.daemon, attempts))[1]["attempts"]]

        while await tried() != ["ENROUTE"]:
            await task.deferLater(reactor, 0.05)
        receiver.status = 200
        self.carriers["tier1"].bound[0].deliver(receipt_body("1"))
        await until("the end is told", lambda: len(receiver.posts) == 1)
        self.assertEqual([post.json["status"] for post in receiver.posts], ["DELIVRD"])
        while await tried() != ["ENROUTE", "DELIVRD"]:
            await task.deferLater(reactor, 0.05)
