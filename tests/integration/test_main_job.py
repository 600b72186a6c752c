"""The main job on real sockets: a message goes out, and its notification comes back."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from relay.values import smpp_constants as c
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
from tests.ports import free_port

#: A message as it is posted.
MESSAGE = {"to": "+447700900001", "from": "447700900000", "text": "hello"}


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

    async def submit(self, esme: FastEsme, count: int, **more: Any) -> list[str]:
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
        # The customer may have the last receipt before the carrier has the answer to it.
        await until("the carrier has every answer", self.carrier.all_home)
        self.assertEqual(self.carrier.counters.nacked, 0)
        self.assertEqual(await self.metric(relay, "relay_store_orphans"), 0)
        # Ten thousand ended messages are kept for queries; they may cost a kilobyte each and not more.
        self.assertLess(relay.resident_bytes() - resident_before, 10_000 * 1_000)

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

    async def test_notifications_that_a_customers_server_missed_come_soon_after_it_is_back(self) -> None:
        receiver = await self.webhooks()
        # Large batches, so that 200 that fail are no outage: the server is found to be back by what comes next.
        account = smpp_account(notification_url=receiver.url, notification_batch=100)
        relay = await self.relay_and_carrier(account)
        esme = await self.esme(relay.smpp_port)
        await receiver.close()
        ids = await self.submit(esme, 200, registered_delivery=0)

        async def failed_twice() -> bool:
            return await self.metric(relay, "relay_notification_attempts_total", result="retry") >= 400

        # By the schedule, what has failed twice is due in five minutes.
        await until("each has failed twice", failed_twice, 60)
        await receiver.listen()
        ids += await self.submit(esme, 1, registered_delivery=0)

        def home() -> list[str]:
            return sorted(notification["id"] for post in receiver.posts for notification in post.json)

        await until("all notifications are home", lambda: len(home()) >= 201, 40)
        self.assertEqual(home(), sorted(ids))

    async def test_a_message_that_the_carrier_refuses_for_good_is_notified_as_rejected(self) -> None:
        receiver = await self.webhooks()
        relay = await self.relay_and_carrier(smpp_account(notification_url=receiver.url), reject_share=1.0)
        status, answer = await self.http(
            "POST", relay, "/messages", {"to": "+447700900001", "from": "RELAY", "text": "x"}
        )
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
        _, answer = await self.http("POST", relay, "/messages", MESSAGE)
        await until("the receipt is acknowledged", lambda: self.carrier.counters.acked == 1)
        status, view = await self.http("GET", relay, f"/messages/{answer['id']}")
        self.assertEqual(status, 200)
        self.assertEqual((view["status"], view["send_status"], view["error"]), ("UNDELIV", "failed", "005"))
        self.assertEqual(view["carrier"], "sim")
        self.assertEqual(view["carrier_error"], "011")

    async def test_a_long_text_goes_out_in_parts_and_comes_home_as_one_notification(self) -> None:
        receiver = await self.webhooks()
        account = smpp_account(notification_url=receiver.url)
        relay = await self.relay_and_carrier(account, duplicate_share=0.5)
        ids = []
        for length, parts in [(160, 1), (161, 2), (459, 3), (460, 4)]:
            _, answer = await self.http("POST", relay, "/messages", MESSAGE | {"text": "x" * length})
            ids.append(answer["id"])
            await until(f"a text of {length} has ended", lambda: len(receiver.posts) >= len(ids))
            _, view = await self.http("GET", relay, f"/messages/{answer['id']}")
            self.assertEqual((view["parts"], view["status"]), (parts, "DELIVRD"), length)
        await until("the carrier's receipts are acknowledged", self.carrier.all_home)
        self.assertEqual(self.carrier.counters.taken, 10)
        self.assertEqual([post.json["id"] for post in receiver.posts], ids)


class Routing(MainJob):
    async def test_messages_take_the_next_carrier_while_the_first_is_down_or_refuses(self) -> None:
        refusing = await self.simulator(reject_share=1.0)
        working = await self.simulator()
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={
                "down": smpp_carrier(free_port()),
                "refusing": smpp_carrier(refusing.port),
                "working": smpp_carrier(working.port),
            },
            routes=[{"carriers": ["down", "refusing", "working"]}],
        )
        await relay.carrier_bound(refusing)
        await relay.carrier_bound(working)
        esme = await self.esme(relay.smpp_port)
        ids = await self.submit(esme, 100)
        await until("the receipts are home", lambda: len(esme.receipts) >= 100)
        self.assertEqual(sorted(receipt.message_id for receipt in esme.receipts), sorted(ids))
        self.assertEqual({receipt.stat for receipt in esme.receipts}, {"DELIVRD"})
        self.assertEqual((refusing.counters.rejected, working.counters.taken), (100, 100))
