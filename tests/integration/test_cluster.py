"""Two relays with one state: one works, the other stands by and takes over."""

import signal
import time
from typing import Any

from relay.values import smpp_constants as c
from tests.fakes import submit_body
from tests.integration.cluster_nodes import LEASE_SECONDS, ClusterTestCase, Node
from tests.integration.harness import smpp_account, smpp_carrier, until

#: Numbers that begin with it have a route to a carrier that takes them. Another one rejects all others.
ROUTED = "4477"
#: How many receipts a customer may leave unanswered.
WINDOW = 5


class TakeOverTests(ClusterTestCase):
    async def pair(
        self, receipt_delay_seconds: float = 0.05, *, history_days: float = 0, **carrier: Any
    ) -> tuple[Node, Node]:
        """Two nodes with a carrier, an SMPP customer and a webhook receiver."""
        self.carrier = await self.simulator(receipt_delay_seconds=receipt_delay_seconds)
        rejecting = await self.simulator(reject_share=1.0)
        self.hooks = await self.webhooks()
        return await self.started_pair(
            accounts={"acme": smpp_account(), "hooked": {"api_key": "hooked-key", "allow_private_urls": True,
                                                         "notification_url": self.hooks.url}},
            carriers={"up": smpp_carrier(self.carrier.port, **carrier), "rejecting": smpp_carrier(rejecting.port)},
            routes=[{"prefix": ROUTED, "carriers": ["up"]}, {"carriers": ["rejecting"]}],
            smpp_window=WINDOW,
            history={"days": history_days},
        )  # fmt: skip

    async def post(self, node: Node, count: int, prefix: str = ROUTED) -> list[str]:
        """Submits messages over HTTP in one request. Gives their ids."""
        messages = [{"to": f"{prefix}{number:08}", "from": "A", "text": "x"} for number in range(count)]
        status, answer = await self.http("POST", node, "/messages", messages, account="hooked", key="hooked-key")
        self.assertEqual(status, 202, answer)
        return [item["id"] for item in answer]

    async def test_b_takes_over_with_all_messages_when_a_is_killed(self) -> None:
        a, b = await self.pair(receipt_delay_seconds=3600.0)
        ids = await self.post(a, 20)
        await until("they are at the carrier", lambda: self.carrier.counters.taken == 20)
        a.kill()
        await self.works(b)
        self.assertEqual(self.owners(), [(2, "b")])
        for message_id in ids:
            status, answer = await self.http("GET", b, f"/messages/{message_id}", account="hooked", key="hooked-key")
            self.assertEqual((status, answer["status"]), (200, "ENROUTE"))
        self.assertEqual(len(await self.post(b, 1)), 1)
        # The one that was killed comes back, and stands by.
        a.launch()
        await self.stands_by(a)
        self.assertEqual(await b.stop(), 0)
        await self.works(a)

    async def test_the_history_goes_on_after_a_take_over(self) -> None:
        a, b = await self.pair(history_days=3)
        before = await self.post(a, 20)
        await until("they are told", lambda: len(self.hooks.posts) == 20)
        a.kill()
        await self.works(b)
        after = await self.post(b, 5)

        async def all_found() -> bool:
            path = "/messages?status=DELIVRD&limit=100"
            _, page = await self.http("GET", b, path, account="hooked", key="hooked-key")
            ids = [message["id"] for message in page["messages"]]
            self.assertEqual(len(ids), len(set(ids)))
            self.assertLessEqual(set(ids), {*before, *after})
            return len(ids) == 25

        await until("all are found", all_found, 60)

    async def test_a_clean_stop_hands_over_before_the_lease_is_over(self) -> None:
        a, b = await self.pair()
        ids = await self.post(a, 5)
        self.assertEqual(await a.stop(), 0)
        self.assertIn("cluster_handed_over", a.log())
        await self.works(b)
        self.assertIn("before it: nobody", b.log())
        await until("all are notified", lambda: {post.json["id"] for post in self.hooks.posts} == set(ids))

    async def test_a_stop_of_the_node_that_stands_by_disturbs_nobody(self) -> None:
        a, b = await self.pair()
        self.assertEqual(await b.stop(), 0)
        await self.post(a, 1)
        self.assertEqual(self.owners(), [(1, "a")])

    async def test_a_paused_owner_that_wakes_up_sends_no_message_that_another_node_has_sent(self) -> None:
        a, b = await self.pair(rate=20, receipt_delay_seconds=3600.0)
        await self.post(a, 100)
        await until("some are at the carrier", lambda: self.carrier.counters.taken >= 10)
        a.pause()
        await self.works(b)
        await until("b has sent the others", lambda: self.carrier.counters.taken >= 100, 60)
        # While b sends nothing any more, everything that comes is from a.
        await self.still()
        await self.wakes_up(a)
        # What was in flight at the pause came twice, and nothing else.
        self.assertLessEqual(self.carrier.counters.submits, 100 + 20)

    async def test_a_paused_owner_that_wakes_up_tells_nobody_what_another_node_has_told(self) -> None:
        # A carrier rejects these, so each message ends at once, and its customer is told.
        a, b = await self.pair()
        self.hooks.status = 503
        to_a = await self.esme(a.smpp_port)
        # This customer reads, and doesn't answer yet.
        unanswered: list[int] = []
        to_a.answer = lambda pdu: unanswered.append(pdu.sequence_number)
        await self.post(a, 20, "999")
        answers = await to_a.submit([submit_body(f"9998{number:05}") for number in range(20)])
        smpp_ids = {message_id for status, message_id in answers if status == c.ESME_ROK}
        self.assertEqual(len(smpp_ids), 20)
        await until("a tells its customer of the first ones", lambda: to_a.all_read == WINDOW)
        await until("a has tried to post", lambda: self.hooks.refused >= 8)
        a.pause()
        # The customer's answers wait for a, which would send further receipts after each of them.
        to_a.respond(c.DELIVER_SM_RESP, [(number, c.ESME_ROK, b"\0") for number in unanswered])
        self.hooks.status = 200
        await self.works(b)
        to_b = await self.esme(b.smpp_port)
        await until("b has told everything", lambda: self.told(to_b) == (20, smpp_ids), 60)
        await self.still()
        await self.wakes_up(a, to_a)

    def told(self, esme: Any) -> tuple[int, set[str]]:
        """How many messages the webhooks were about, and the ids of those that a customer has receipts for."""
        return len({post.json["id"] for post in self.hooks.posts}), {receipt.message_id for receipt in esme.receipts}

    def seen(self, *esmes: Any) -> tuple[int, ...]:
        """How much has come to the carrier, to the webhook receiver, and to customers."""
        return self.carrier.counters.submits, len(self.hooks.posts), *(esme.all_read for esme in esmes)

    async def still(self) -> None:
        """Waits until nothing has come anywhere for a while."""
        seen, since = self.seen(), time.monotonic()

        def nothing_more() -> bool:
            nonlocal seen, since
            if self.seen() != seen:
                seen, since = self.seen(), time.monotonic()
            return time.monotonic() - since > LEASE_SECONDS

        await until("nothing more comes", nothing_more, 60)

    async def wakes_up(self, a: Node, *esmes: Any) -> None:
        """Lets a paused node go on, and checks that nothing comes from it until it stands by."""
        seen = self.seen(*esmes)
        a.resume()
        await until("it stands by", lambda: a.said("cluster_starts_again") and a.said("cluster_stands_by"), 60)
        self.assertEqual(self.seen(*esmes), seen)
        self.assertEqual(self.owners(), [(2, "b")])

    async def test_a_cut_database_is_survived_without_a_new_epoch_and_without_a_replay(self) -> None:
        a, b = await self.pair(receipt_delay_seconds=0.0)
        esme = await self.esme(a.smpp_port)
        await self.post(a, 10)
        await until("all are notified", lambda: len(self.hooks.posts) >= 10)
        await self.in_thread(self.servers.fail_over)
        # The new primary has no standby yet, so nothing may be acknowledged.
        await until("a refuses what it can't keep", lambda: self.refusal_of(a), 60)
        self.assertFalse(esme.lost)
        await self.in_thread(self.servers.rejoin)
        await until("a works again", lambda: self.owners() and "cluster_trouble" in a.log() and True, 60)

        async def accepted() -> bool:
            status, _ = await self.http("POST", a, "/messages", {"to": "447700900001", "from": "A", "text": "x"},
                                        account="hooked", key="hooked-key")  # fmt: skip
            return status == 202

        while not await accepted():
            pass
        self.assertFalse(esme.lost)
        self.assertEqual(self.owners(), [(1, "a")])
        self.assertFalse(b.works)

    def refusal_of(self, node: Node) -> bool:
        return "journal_held_up" in node.log() or "cluster_trouble" in node.log()


class FileTests(ClusterTestCase):
    with_standby = False

    async def test_a_node_with_an_older_file_takes_nothing_over_until_it_has_the_new_one(self) -> None:
        a, b = await self.started_pair(validity_seconds=60)
        a.configuration["validity_seconds"] = 120
        a.write_file()
        assert a.process is not None and b.process is not None
        a.process.send_signal(signal.SIGHUP)
        await until("the other node knows it", lambda: "older" in b.log(), 30)
        a.kill()
        await until("the lease is over", lambda: self.silent_for(LEASE_SECONDS * 1.5), 30)
        self.assertFalse(b.works)
        b.configuration["validity_seconds"] = 120
        b.write_file()
        b.process.send_signal(signal.SIGHUP)
        await self.works(b)

    def silent_for(self, seconds: float) -> bool:
        query = f"SELECT clock_timestamp() - renewed_at > interval '{seconds} s' FROM relay.lease"
        return bool(self.servers.primary.query(query, "relay")[0][0])


class RefusalTests(ClusterTestCase):
    with_standby = False

    async def test_a_database_without_tables_refuses_the_start_and_says_what_to_do(self) -> None:
        self.servers.primary.query("DROP SCHEMA relay CASCADE", "relay")
        a = self.node("a")
        a.launch()
        await until("it has ended", lambda: not a.running)
        self.assertIn("cluster init", a.log())

    async def test_a_relay_that_is_alone_imports_no_driver(self) -> None:
        relay = await self.relay()
        assert relay.process is not None
        with open(f"/proc/{relay.process.pid}/maps") as maps:
            self.assertNotIn("libpq", maps.read())
