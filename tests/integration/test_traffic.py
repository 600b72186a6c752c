"""Which way messages take: routes, lists and senders, over sockets with several carriers."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.smpp.message_codec import encode_address, find_tlv, message_body
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

    async def test_hours_decide_where_routes_have_them(self) -> None:
        # Also at midnight this day is not today.
        other = (datetime.now(UTC) + timedelta(days=3)).strftime("%a")
        await self.world(
            "always", "later", "default",
            routes=[
                {"carriers": ["default"]},
                {"hours": f"{other} 00:00-24:00 UTC", "carriers": ["later"]},
                {"prefix": "49", "hours": "00:00-24:00 Europe/London", "carriers": ["always"]},
            ],
        )  # fmt: skip
        for to in ("447700900123", "4915112345678"):
            self.assertEqual((await self.post(to))[0], 202)
        await until("both have come", lambda: bool(self.got("default") and self.got("always")))
        self.assertEqual([], self.got("later"))


class SenderTests(TrafficTestCase):
    async def test_an_account_sends_only_as_its_own_senders_and_has_one_by_default(self) -> None:
        senders = {"allow": ["ACME", "4477009*"], "default": "ACME"}
        accounts = {"acme": smpp_account(senders=senders)}
        await self.world("tier1", accounts=accounts, routes=[{"carriers": ["tier1"]}])
        self.assertEqual((await self.post("447700900001", "447700900555"))[0], 202)
        status, problem = await self.post("447700900002", "OTHER")
        self.assertEqual((status, problem["field"]), (422, "from"))
        esme = await self.esme(self.daemon.smpp_port)
        others = [
            message_body(addresses=source + encode_address(1, 1, b"447700900003"), short_message=b"hi")
            for source in (encode_address(5, 0, b"OTHER"), encode_address(0, 0, b""))
        ]
        answers = await within(10, esme.submit(others))
        self.assertEqual([status for status, _ in answers], [c.ESME_RINVSRCADR, c.ESME_ROK])
        await until("both have come", lambda: len(self.got("tier1")) == 2)
        self.assertEqual([b"447700900555", b"ACME"], [sender for sender, _ in self.got("tier1")])

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


class MessageTests(TrafficTestCase):
    """What `POST /messages` can say of a message, and `GET /messages` finds."""

    async def test_parameters_flash_and_ready_made_octets_reach_the_carrier_and_messages_are_found(self) -> None:
        await self.world("tier1", routes=[{"carriers": ["tier1"]}], history={"days": 7})
        for fields in (
            {"text": "with a parameter", "tlvs": {"0x1400": "3131"}, "reference": "order 1"},
            {"text": "at once", "class": "flash"},
            {"text": None, "data_coding": 4, "udh": "0605040b8423f0", "payload": "0102"},
        ):
            message = {"to": "447700900001", "from": "ACME"} | fields
            status, answer = await self.http("POST", self.daemon, "/messages", message)
            self.assertEqual(status, 202, answer)
        await until("all have come", lambda: len(self.got("tier1")) == 3)
        first, flash, data = self.carriers["tier1"].submits
        self.assertEqual(b"11", find_tlv(first.body, first.tlvs_at, 0x1400))
        self.assertEqual((0x10, b"at once"), (flash.data_coding, flash.short_message))
        self.assertEqual((4, c.ESM_CLASS_UDHI), (data.data_coding, data.esm_class))
        self.assertEqual(bytes.fromhex("0605040b8423f00102"), data.short_message)

        async def found(query: str) -> int:
            status, page = await self.http("GET", self.daemon, f"/messages?{query}")
            self.assertEqual(status, 200, page)
            return len(page["messages"])

        while await found("to=447700900001") < 3:
            await task.deferLater(reactor, 0.1)
        self.assertEqual(1, await found("reference=order%201"))
        self.assertEqual(2, await found("from=ACME&limit=2"))
        self.assertEqual(0, await found("to=447700900002"))
        self.assertEqual(0, await found("status=DELIVRD"))


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

        async def tried(*statuses: str) -> bool:
            _, message = await self.http("GET", self.daemon, attempts)
            return [attempt["status"] for attempt in message["attempts"]] == list(statuses)

        await until("the first attempt has failed", lambda: tried("ENROUTE"))
        receiver.status = 200
        self.carriers["tier1"].bound[0].deliver(receipt_body("1"))
        await until("the end is told", lambda: len(receiver.posts) == 1)
        self.assertEqual([post.json["status"] for post in receiver.posts], ["DELIVRD"])
        await until("the second attempt is known", lambda: tried("ENROUTE", "DELIVRD"))


class FailoverTests(TrafficTestCase):
    async def failover_world(self, **failover: Any) -> Any:
        """Two carriers, the second for messages that the first doesn't deliver. Returns the customer's receiver."""
        receiver = await self.webhooks()
        account = smpp_account(notification_url=receiver.url, notification_concurrency=8)
        route = {"carriers": ["first", "second"], "failover": failover}
        await self.world("first", "second", accounts={"acme": account}, routes=[route])
        return receiver

    def receipt(self, carrier: str, *bodies: bytes) -> None:
        self.carriers[carrier].bound[0].deliver(*bodies)

    async def receipts(self, carrier: str, count: int) -> None:
        """Waits until the relay has so many receipts of a carrier."""

        async def come() -> bool:
            return await self.metric(self.daemon, "relay_receipts_total", carrier=carrier) >= count

        await until("the receipts have come", come)

    async def test_a_message_that_a_carrier_could_not_deliver_goes_to_the_next_one_and_the_customer_hears_one_end(
        self,
    ) -> None:
        receiver = await self.failover_world(on=["UNDELIV"])
        _, answer = await self.post("447700900001")
        await until("the first carrier has it", lambda: len(self.got("first")) == 1)
        self.receipt("first", receipt_body("1", "UNDELIV", "027"))
        await until("the second carrier has it", lambda: len(self.got("second")) == 1)
        first, second = (self.carriers[name].submits[0] for name in ("first", "second"))
        self.assertEqual((first.body, first.addresses), (second.body, second.addresses))
        _, waiting = await self.http("GET", self.daemon, f"/messages/{answer['id']}")
        self.assertEqual((waiting["status"], receiver.posts), ("ENROUTE", []))
        self.receipt("second", receipt_body("1"))
        await until("the customer hears of it", lambda: len(receiver.posts) == 1)
        # The first carrier changes its mind too late: this is only recorded.
        self.receipt("first", receipt_body("1"))
        await self.receipts("first", 2)
        _, report = await self.http("GET", self.daemon, f"/messages/{answer['id']}")
        self.assertEqual((report["status"], report["carrier"]), ("DELIVRD", "second"))
        tried = [(one["carrier"], one["status"], one["carrier_error"]) for one in report["tried"]]
        self.assertEqual(tried, [("first", "UNDELIV", "027"), ("second", "DELIVRD", "000")])
        self.assertEqual(
            [(post.json["id"], post.json["status"]) for post in receiver.posts], [(answer["id"], "DELIVRD")]
        )

    async def test_without_a_receipt_in_time_the_next_carrier_gets_it_and_the_first_one_s_late_delivery_counts(
        self,
    ) -> None:
        receiver = await self.failover_world(on=[], no_receipt_seconds=0.2)
        _, answer = await self.post("447700900001")
        await until("both carriers have it", lambda: len(self.got("second")) == 1)
        self.receipt("first", receipt_body("1"))
        await until("the customer hears of it", lambda: len(receiver.posts) == 1)
        self.receipt("second", receipt_body("1", "UNDELIV"))
        await self.receipts("second", 1)
        _, report = await self.http("GET", self.daemon, f"/messages/{answer['id']}")
        self.assertEqual((report["status"], report["carrier"], len(receiver.posts)), ("DELIVRD", "first", 1))

    async def test_after_a_refusal_for_any_reason_the_next_carrier_gets_the_message(self) -> None:
        receiver = await self.failover_world(on=["REJECTD"])
        self.carriers["first"].on_submit = lambda session, pdu: session.queue_answer(pdu, b"", c.ESME_RINVMSGLEN)
        await self.post("447700900001")
        await until("the second carrier has it", lambda: len(self.got("second")) == 1)
        self.receipt("second", receipt_body("1"))
        await until("the customer hears of it", lambda: len(receiver.posts) == 1)
        self.assertEqual(receiver.posts[0].json["status"], "DELIVRD")


class QualityTests(TrafficTestCase):
    async def test_a_route_avoids_a_carrier_that_does_not_deliver_also_after_a_restart(self) -> None:
        numbers = [f"4477009{number:05}" for number in range(200)]
        quality = {"delivered_share": 0.5, "messages": 10, "trickle": 0.01}
        await self.world("bad", "good", routes=[{"prefix": "44", "carriers": ["bad", "good"], "quality": quality}])
        for number in numbers[:10]:
            await self.post(number)
        await until("the first carrier has them", lambda: len(self.got("bad")) == 10)
        self.carriers["bad"].bound[0].deliver(*[receipt_body(str(n + 1), "UNDELIV", "027") for n in range(10)])
        await until("the route avoids it", lambda: "carrier_avoided" in self.daemon.log())
        self.assertEqual(await self.metric(self.daemon, "relay_quality_messages_total", result="failed"), 10)
        for number in numbers[10:20]:
            await self.post(number)
        # The trickle has one number of a hundred.
        await until("the second carrier has nearly all", lambda: len(self.got("good")) >= 7)
        await self.daemon.stop()
        await self.daemon.start()
        self.assertEqual(await self.metric(self.daemon, "relay_quality_messages_total", result="failed"), 10)
        self.assertEqual(await self.metric(self.daemon, "relay_quality_avoided", carrier="bad"), 1)

    async def test_a_crash_counts_each_message_once(self) -> None:
        await self.world("tier1", routes=[{"carriers": ["tier1"]}])
        for number in range(6):
            await self.post(f"4477009{number:05}")
        await until("the carrier has them", lambda: len(self.got("tier1")) == 6)
        self.carriers["tier1"].bound[0].deliver(*[receipt_body(str(n + 1)) for n in range(4)])
        await self.counted("delivered", 4)
        # The file was written at the start, so it has none of these.
        self.daemon.kill()
        await self.daemon.start()
        await self.counted("delivered", 4)
        await until("the relay has bound again", lambda: bool(self.carriers["tier1"].bound))
        self.carriers["tier1"].bound[-1].deliver(receipt_body("5"), receipt_body("6", "UNDELIV", "027"))
        await self.counted("failed", 1)
        await self.counted("delivered", 5)
        # A stop writes the file.
        await self.daemon.stop()
        await self.daemon.start()
        await self.counted("delivered", 5)
        await self.counted("failed", 1)

    async def counted(self, result: str, messages: int) -> None:
        """Waits until the relay has counted so many messages with a result."""
        found = -1.0

        async def enough() -> bool:
            nonlocal found
            # Until the first message is counted, there is no such metric.
            with contextlib.suppress(AssertionError):
                found = await self.metric(self.daemon, "relay_quality_messages_total", result=result)
            return found >= messages

        await until(f"{messages} messages are counted as {result}", enough)
        self.assertEqual(found, messages)
