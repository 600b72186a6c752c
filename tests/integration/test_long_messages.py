"""Long messages on real sockets: responses and receipts for each part alone, in any order, with unrelated ids."""

import itertools
from collections.abc import Iterable
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu
from tests.fakes import FastEsme, ScriptedCarrier, ScriptedSession, receipt_body, submit_body
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until, within
from tests.ports import free_port

#: Three parts in the GSM alphabet.
TEXT = "One message, however many parts it takes on its way. " * 7
PARTS = 3
MODES = ("all", "first", "last", "any")
#: How long after a message's validity its receipts are waited for.
RECEIPT_HOURS = 2.0 / 3600


def part_of(pdu: MessagePdu) -> int:
    """Which part a submit_sm is, from 0, by its user data header."""
    header = pdu.short_message[:6]
    assert header[:3] == b"\5\0\3" and header[4] == PARTS, header
    return header[5] - 1


class FromTheSimulator(IntegrationTestCase):
    """Many long messages at once, from HTTP, through simulated carriers."""

    async def test_many_long_messages_have_one_notification_each_whichever_parts_are_receipted(self) -> None:
        receiver = await self.webhooks()
        simulators = {
            mode: await self.simulator(
                parts_receipted=mode,
                response_id="uuid",
                states={"DELIVRD": 0.8, "UNDELIV": 0.2},
                duplicate_share=0.3,
                seed=n,
            )
            for n, mode in enumerate(MODES)
        }
        relay = await self.relay(
            accounts={"acme": smpp_account(notification_url=receiver.url)},
            carriers={m: smpp_carrier(s.port, parts_receipted=m, binds=2) for m, s in simulators.items()},
            routes=[{"prefix": str(100 + n), "carriers": [mode]} for n, mode in enumerate(MODES)],
        )
        items = [
            {"to": f"+{100 + n % len(MODES)}{n:07}", "from": "RELAY", "text": TEXT} for n in range(100 * len(MODES))
        ]
        status, answers = await self.http("POST", relay, "/messages", items)
        self.assertEqual(status, 202)
        await until("all are told", lambda: len(receiver.posts) >= len(items))
        await until("the receipts are acknowledged", lambda: all(s.all_home() for s in simulators.values()))
        self.assertEqual(sorted(post.json["id"] for post in receiver.posts), sorted(item["id"] for item in answers))
        self.assertEqual({post.json["status"] for post in receiver.posts}, {"DELIVRD", "UNDELIV"})
        self.assertEqual({s.counters.taken for s in simulators.values()}, {100 * PARTS})
        owed = {mode: simulator.counters.receipts_owed for mode, simulator in simulators.items()}
        self.assertGreaterEqual(owed["all"], 100 * PARTS)
        for mode in ("first", "last", "any"):
            self.assertTrue(100 <= owed[mode] < 200, owed)
        self.assertEqual(await self.metric(relay, "relay_store_orphans"), 0)


class LongMessages(IntegrationTestCase):
    """One relay with a carrier for each way of receipting parts, told apart by the number's first digits."""

    async def world(self, **account: Any) -> None:
        self.ids = (f"{n * 7919 % 100_003:x}" for n in itertools.count(1))
        self.receiver = await self.webhooks()
        carriers: dict[str, Any] = {}
        self.carriers: dict[str, ScriptedCarrier] = {}
        for mode in MODES:
            carrier = self.carriers[mode] = ScriptedCarrier(reactor)
            port = free_port()
            listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(carrier)
            self.addCleanup(until, "the carrier's sessions are closed", lambda carrier=carrier: not carrier.open)
            self.addCleanup(listening.stopListening)
            carriers[mode] = smpp_carrier(port, parts_receipted=mode, receipt_hours=RECEIPT_HOURS)
        self.relay_process = await self.relay(
            accounts={"acme": smpp_account(**{"notification_url": self.receiver.url} | account)},
            carriers=carriers,
            routes=[{"prefix": str(100 + n), "carriers": [mode]} for n, mode in enumerate(MODES)],
        )
        await until("the relay has bound", lambda: all(carrier.bound for carrier in self.carriers.values()))

    async def submitted(self, mode: str, answered: Iterable[int], validity_seconds: float) -> tuple[str, list[str]]:
        """Hands in the long text; the carrier answers its parts in the order `answered`, all once it has the last.

        Gives the message's id and the carrier's id of each part.
        """
        carrier = self.carriers[mode]
        came: dict[int, MessagePdu] = {}
        carrier_ids = [next(self.ids) for _ in range(PARTS)]

        def on_submit(session: ScriptedSession, pdu: MessagePdu) -> None:
            came[part_of(pdu)] = pdu
            if len(came) == PARTS:
                for part in answered:
                    session.queue_answer(came[part], carrier_ids[part].encode())

        carrier.on_submit = on_submit
        status, answer = await self.http(
            "POST",
            self.relay_process,
            "/messages",
            {
                "to": f"+{100 + MODES.index(mode)}5550123",
                "from": "RELAY",
                "text": TEXT,
                "validity_seconds": validity_seconds,
            },
        )
        self.assertEqual(status, 202)
        await until("the carrier has every part", lambda: len(came) == PARTS)
        return answer["id"], carrier_ids

    async def told(self, mode: str, *receipts: tuple[str, str]) -> None:
        """The carrier sends receipts, one after the other, each once the one before is acknowledged."""
        carrier = self.carriers[mode]
        for carrier_id, stat in receipts:
            count = len(carrier.answers)
            carrier.bound[0].deliver(receipt_body(carrier_id, stat))
            await until("the receipt is acknowledged", lambda count=count: len(carrier.answers) > count)
            self.assertEqual(carrier.answers[-1][1], c.ESME_ROK)

    def news_of(self, message_id: str) -> list[str]:
        return [post.json["status"] for post in self.receiver.posts if post.json["id"] == message_id]

    async def test_one_notification_whatever_the_order_of_answers_and_receipts(self) -> None:
        await self.world()
        # Which parts' receipts decide; in `any`, whichever comes.
        deciding = {"all": {0, 1, 2}, "first": {0}, "last": {2}, "any": {0, 1, 2}}
        for mode, (number, order) in itertools.product(MODES, enumerate(itertools.permutations(range(PARTS)))):
            with self.subTest(mode=mode, order=order):
                answered = list(itertools.permutations(range(PARTS)))[-1 - number]
                message_id, ids = await self.submitted(mode, answered, 3600)
                left = set(deciding[mode])
                for part in order:
                    if part not in deciding[mode]:
                        continue
                    self.assertEqual(self.news_of(message_id), [], "it was told before every part had ended")
                    await self.told(mode, (ids[part], "DELIVRD"))
                    left.discard(part)
                    if not left or mode == "any":
                        break
                await until("it is told", lambda message_id=message_id: self.news_of(message_id))
                # What comes afterwards is acknowledged and tells nothing new.
                await self.told(mode, *((ids[part], "UNDELIV") for part in order))
                self.assertEqual(self.news_of(message_id), ["DELIVRD"])

    async def test_one_refused_part_refuses_the_whole(self) -> None:
        await self.world()
        bad_part = {"all": 1, "first": 0, "last": 2, "any": 1}
        for mode in MODES:
            with self.subTest(mode=mode):
                message_id, ids = await self.submitted(mode, (2, 0, 1), 3600)
                others = [part for part in range(PARTS) if part != bad_part[mode]]
                if mode == "all":
                    await self.told(mode, *((ids[part], "DELIVRD") for part in others))
                    self.assertEqual(self.news_of(message_id), [])
                await self.told(mode, (ids[bad_part[mode]], "REJECTD"))
                await until("it is told", lambda message_id=message_id: self.news_of(message_id))
                [post] = [post for post in self.receiver.posts if post.json["id"] == message_id]
                self.assertEqual(
                    (post.json["status"], post.json["send_status"], post.json["error"]),
                    ("REJECTD", "carrier-reject", "008"),
                )

    async def test_a_silent_part_times_out_alone_where_its_receipt_is_waited_for(self) -> None:
        await self.world()
        expected = {"all": "UNKNOWN", "first": "DELIVRD", "last": "DELIVRD", "any": "DELIVRD"}
        messages: dict[str, tuple[str, list[str]]] = {}
        for mode in MODES:
            messages[mode] = _message_id, ids = await self.submitted(mode, range(PARTS), 1)
            # The middle part stays silent.
            await self.told(mode, (ids[0], "DELIVRD"), (ids[2], "DELIVRD"))
        self.assertEqual(self.news_of(messages["all"][0]), [])
        await until("all are told", lambda: len(self.receiver.posts) >= len(MODES))
        # Its receipt after all, which is too late.
        await self.told("all", (messages["all"][1][1], "DELIVRD"))
        told = {mode: self.news_of(message_id) for mode, (message_id, _) in messages.items()}
        self.assertEqual(told, {mode: [status] for mode, status in expected.items()})

    async def test_a_long_message_without_any_receipt_times_out_once(self) -> None:
        await self.world()
        messages = {mode: (await self.submitted(mode, range(PARTS), 1))[0] for mode in MODES}
        await until("all are told", lambda: len(self.receiver.posts) >= len(MODES))
        self.assertEqual({mode: self.news_of(i) for mode, i in messages.items()}, {key: ["UNKNOWN"] for key in MODES})

    async def test_a_receipt_before_the_answer_of_its_part_counts(self) -> None:
        await self.world()
        for mode in MODES:
            with self.subTest(mode=mode):
                carrier = self.carriers[mode]
                came: dict[int, MessagePdu] = {}
                carrier_ids = [next(self.ids) for _ in range(PARTS)]

                def on_submit(
                    session: ScriptedSession,
                    pdu: MessagePdu,
                    came: dict[int, MessagePdu] = came,
                    carrier_ids: list[str] = carrier_ids,
                ) -> None:
                    came[part_of(pdu)] = pdu
                    if len(came) == PARTS:
                        session.queue_deliver(*(receipt_body(carrier_id) for carrier_id in reversed(carrier_ids)))
                        for part, request in came.items():
                            session.queue_answer(request, carrier_ids[part].encode())

                carrier.on_submit = on_submit
                status, answer = await self.http(
                    "POST",
                    self.relay_process,
                    "/messages",
                    {"to": f"+{100 + MODES.index(mode)}5550123", "from": "RELAY", "text": TEXT},
                )
                self.assertEqual(status, 202)
                await until("it is told", lambda answer=answer: self.news_of(answer["id"]))
                self.assertEqual(self.news_of(answer["id"]), ["DELIVRD"])

    async def test_an_smpp_customers_parts_are_messages_of_their_own(self) -> None:
        await self.world(notification_url=None)
        carrier = self.carriers["all"]
        esme = await self.esme(self.relay_process.smpp_port)
        await self.parts_come_home(carrier, esme)

    async def parts_come_home(self, carrier: ScriptedCarrier, esme: FastEsme) -> None:
        texts = [b"\5\0\3\x2a\3%c%b" % (n + 1, b"part %d" % n) for n in range(PARTS)]
        ids = [next(self.ids) for _ in range(PARTS)]
        came: list[MessagePdu] = []

        def on_submit(session: ScriptedSession, pdu: MessagePdu) -> None:
            came.append(pdu)
            if len(came) == PARTS:
                for request in reversed(came):
                    session.queue_answer(request, ids[part_of(request)].encode())
                session.queue_deliver(*(receipt_body(ids[n], stat) for n, stat in ((2, "DELIVRD"), (0, "REJECTD"))))

        carrier.on_submit = on_submit
        validity = b"000000000001000R"
        bodies = []
        for text in texts:
            body = submit_body("1005550123", text, esm_class=c.ESM_CLASS_UDHI)
            # schedule_delivery_time and validity_period are the two empty strings behind the three octets after the
            # addresses; the second gets a value.
            at = body.index(b"1005550123\0") + 11 + 3
            assert body[at : at + 2] == b"\0\0"
            bodies.append(body[: at + 1] + validity + body[at + 1 :])
        answers = await within(10, esme.submit(bodies))
        self.assertEqual([status for status, _ in answers], [c.ESME_ROK] * PARTS)
        await until("every part is told", lambda: len(esme.receipts) >= PARTS)
        self.assertEqual([pdu.short_message for pdu in sorted(came, key=part_of)], texts)
        told = {receipt.message_id: receipt.stat for receipt in esme.receipts}
        self.assertEqual([told[message_id] for _, message_id in answers], ["REJECTD", "UNKNOWN", "DELIVRD"])
        self.assertEqual(len(esme.receipts), PARTS)
