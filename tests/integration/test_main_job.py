"""The main job on real sockets: a message out, its notification home."""

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from relay.core import states
from relay.core.smpp import constants as c
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import (
    IntegrationTestCase,
    Relay,
    SimulatorPort,
    smpp_account,
    smpp_carrier,
    until,
    within,
)
from tests.integration.smpplib_customer import submit_and_read


class MainJob(IntegrationTestCase):
    async def relay_and_carrier(self, account: dict[str, object] | None = None, **simulator: object) -> Relay:
        """A relay with the account acme, bound to a simulated carrier."""
        self.carrier: SimulatorPort = await self.simulator(**simulator)
        relay = await self.relay(
            accounts={"acme": account or smpp_account()},
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["sim"]}],
        )
        await relay.carrier_bound(self.carrier)
        return relay

    async def submit(self, esme: FastEsme, count: int, **more: object) -> list[str]:
        """Submits messages that are all accepted, and gives their ids."""
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}", **more) for n in range(count)]))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        return [message_id for _, message_id in answers]


class Smpp(MainJob):
    async def test_smpplib_submits_1000_and_gets_1000_receipts_with_the_ids_of_its_responses(self) -> None:
        relay = await self.relay_and_carrier()
        customer = await within(90, deferToThread(submit_and_read, relay.smpp_port, 1000))
        self.assertEqual(len(set(customer.ids)), 1000)
        self.assertEqual(sorted(customer.receipts), sorted((message_id, "DELIVRD") for message_id in customer.ids))

    async def test_10000_messages_come_home_with_none_lost_none_unmatched_and_memory_bounded(self) -> None:
        relay = await self.relay_and_carrier()
        esme = await self.esme(relay.smpp_port)
        await self.submit(esme, 2_000)
        await until("the first receipts are home", lambda: len(esme.receipts) == 2_000)
        resident_before = relay.resident_bytes()
        esme.receipts.clear()
        ids = await self.submit(esme, 10_000)
        await until("all receipts are home", lambda: len(esme.receipts) >= 10_000, 60)
        self.assertEqual(sorted(receipt.message_id for receipt in esme.receipts), sorted(ids))
        self.assertTrue(self.carrier.all_home())
        self.assertEqual(self.carrier.counters.nacked, 0)
        # Ten thousand ended messages are kept for queries; they may cost a kilobyte each and not more.
        self.assertLess(relay.resident_bytes() - resident_before, 10_000 * 2_000)

    async def test_a_customer_that_left_gets_its_receipts_when_it_binds_again(self) -> None:
        relay = await self.relay_and_carrier()
        esme = await self.esme(relay.smpp_port, command_id=c.BIND_TRANSMITTER)
        ids = await self.submit(esme, 100)
        await esme.leave()
        await until("the carrier's receipts are acknowledged", lambda: self.carrier.counters.acked == 100)
        back = await self.esme(relay.smpp_port, command_id=c.BIND_RECEIVER)
        await until("the receipts are home", lambda: len(back.receipts) >= 100)
        self.assertEqual(sorted(receipt.message_id for receipt in back.receipts), sorted(ids))

    async def test_a_customer_hears_only_what_it_asked_for(self) -> None:
        relay = await self.relay_and_carrier(states={"DELIVRD": 0.5, "UNDELIV": 0.5})
        esme = await self.esme(relay.smpp_port)
        asked: dict[str, int] = {}
        for registered_delivery in (0, 1, 2, 3):
            for message_id in await self.submit(esme, 100, registered_delivery=registered_delivery):
                asked[message_id] = registered_delivery
        await until("the carrier's receipts are acknowledged", lambda: self.carrier.counters.acked == 400)
        # One more, by which all that is owed has left before it.
        [last] = await self.submit(esme, 1)
        await until("the last receipt is home", lambda: any(r.message_id == last for r in esme.receipts))
        heard = {(asked[r.message_id], r.stat) for r in esme.receipts if r.message_id != last}
        self.assertEqual(heard, {(1, "DELIVRD"), (1, "UNDELIV"), (2, "UNDELIV"), (3, "DELIVRD")})


class Http(MainJob):
    async def test_1000_posts_lead_to_1000_webhooks_with_exactly_five_fields(self) -> None:
        names = {"DELIVRD": 0.4, "EXPIRED": 0.1, "DELETED": 0.1, "UNDELIV": 0.2, "UNKNOWN": 0.1, "REJECTD": 0.1}
        receiver = await self.webhooks()
        relay = await self.relay_and_carrier(smpp_account(notification_url=receiver.url), states=names)
        ids: list[str] = []

        async def submit_some(count: int) -> None:
            for n in range(count):
                body = {"to": f"+4477009{n:05}", "from": "447700900000", "text": "hello"}
                status, answer = await self.http("POST", relay, "/messages", body)
                self.assertEqual(status, 202, answer)
                ids.append(answer["id"])

        await within(90, gatherResults([Deferred.fromCoroutine(submit_some(125)) for _ in range(8)]))
        await until("all webhooks came", lambda: len(receiver.posts) >= 1000, 60)
        self.assertEqual(len(receiver.posts), 1000)
        self.assertEqual(sorted(post.json["id"] for post in receiver.posts), sorted(ids))
        expected = {
            ("delivered", "DELIVRD", "000"),
            ("failed", "EXPIRED", "003"),
            ("failed", "DELETED", "004"),
            ("failed", "UNDELIV", "005"),
            ("failed", "UNKNOWN", "007"),
            ("carrier-reject", "REJECTD", "008"),
        }
        for post in receiver.posts:
            self.assertEqual(set(post.json), {"url", "id", "send_status", "status", "error"})
            self.assertEqual(post.json["url"], receiver.url)
            self.assertEqual({type(value) for value in post.json.values()}, {str})
        words = {(p.json["send_status"], p.json["status"], p.json["error"]) for p in receiver.posts}
        self.assertEqual(words, expected)

    async def test_a_message_that_the_carrier_refuses_for_good_is_notified_as_rejected(self) -> None:
        receiver = await self.webhooks()
        relay = await self.relay_and_carrier(smpp_account(notification_url=receiver.url), reject_share=1.0)
        status, answer = await self.http("POST", relay, "/messages", {"to": "+447700900001", "from": "RELAY", "text": "x"})
        self.assertEqual(status, 202)
        await until("the webhook came", lambda: receiver.posts)
        self.assertEqual(
            receiver.posts[0].json,
            {
                "url": receiver.url,
                "id": answer["id"],
                "send_status": "carrier-reject",
                "status": "REJECTD",
                "error": "008",
            },
        )

    async def test_every_message_of_an_account_with_a_url_is_notified_there_and_over_smpp_where_asked(self) -> None:
        receiver = await self.webhooks()
        relay = await self.relay_and_carrier(smpp_account(notification_url=receiver.url))
        esme = await self.esme(relay.smpp_port)
        silent = await self.submit(esme, 10, registered_delivery=0)
        loud = await self.submit(esme, 10, registered_delivery=1)
        await until("the webhooks came", lambda: len(receiver.posts) >= 20)
        await until("the receipts came", lambda: len(esme.receipts) >= 10)
        self.assertEqual(sorted(post.json["id"] for post in receiver.posts), sorted(silent + loud))
        self.assertEqual(sorted(receipt.message_id for receipt in esme.receipts), sorted(loud))

    async def test_a_message_can_be_looked_up(self) -> None:
        relay = await self.relay_and_carrier(states={"UNDELIV": 1.0})
        body = {"to": "+447700900001", "from": "447700900000", "text": "hello", "reference": "r1"}
        _, answer = await self.http("POST", relay, "/messages", body)
        await until("the receipt is acknowledged", lambda: self.carrier.counters.acked == 1)
        status, view = await self.http("GET", relay, f"/messages/{answer['id']}")
        self.assertEqual(status, 200)
        self.assertEqual((view["status"], view["send_status"], view["error"]), ("UNDELIV", "failed", "005"))
        self.assertEqual(view["carrier"], "sim")
        self.assertIn("carrier_error", view)
        self.assertEqual(states.CUSTOMER_WORDS[states.UNDELIVERABLE].status, view["status"])
