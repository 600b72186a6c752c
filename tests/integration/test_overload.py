"""Too much of everything: memory stays within limits, other customers go on, and nothing accepted is dropped.

How long another customer's message waits is counted in messages of the customer that overloads the relay: those that go
out between its submit_sm and its receipt. The test also prints the relay's processor time in between, beside the same
without the load. It doesn't assert it, because on a busy machine it depends more on the machine than on the relay.
"""

import statistics

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from relay.values import smpp_constants as c
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import (
    IntegrationTestCase,
    RawPeer,
    Relay,
    smpp_account,
    smpp_carrier,
    until,
    within,
)
from tests.ports import free_port

MEGABYTE = 1_000_000
#: No message of a bystander's waits for more of the other customer's, who hands in up to 20,000 at once.
MOST_MEANWHILE = 5_000


class Overload(IntegrationTestCase):
    """`acme` overdoes it on its own carrier; `other` is the bystander, on another one."""

    async def world(self, account: dict[str, object] | None = None, **carrier: object) -> Relay:
        self.loaded = await self.simulator(**{k: v for k, v in carrier.items() if k == "receipt_delay_seconds"})
        self.spare = await self.simulator(receipt_delay_seconds=0.0)
        settings = {k: v for k, v in carrier.items() if k != "receipt_delay_seconds"}
        relay = self.prepare_relay(
            accounts={
                "acme": account or smpp_account(),
                "other": smpp_account("other", api_key="other-key"),
            },
            carriers={
                "loaded": smpp_carrier(self.loaded.port, **settings),
                "spare": smpp_carrier(self.spare.port),
            },
            routes=[{"prefix": "44", "carriers": ["loaded"]}, {"prefix": "49", "carriers": ["spare"]}],
            limits={"connections_per_address": 700},
        )
        relay.configuration["smpp"] |= {"window": 100, "pending_requests": 1000}
        await relay.start()
        await relay.carrier_bound(self.loaded)
        await relay.carrier_bound(self.spare)
        self.bystander = await self.esme(relay.smpp_port, "other")
        await self.cost(relay)
        self.quiet_seconds = await self.cost(relay)
        self.resident_before = relay.resident_bytes()
        return relay

    async def cost(self, relay: Relay, rounds: int = 25) -> float:
        """The median of how many seconds the relay works until a message of the bystander's has its receipt home."""
        taken = []
        self.most_meanwhile = 0
        for _ in range(rounds):
            before, done = len(self.bystander.receipts), self.loaded.counters.submits
            begun_at = relay.cpu_seconds()
            ((status, _),) = await within(20, self.bystander.submit([submit_body("491700000001")]))
            self.assertEqual(status, c.ESME_ROK)
            await until("its receipt is home", lambda before=before: len(self.bystander.receipts) > before)
            taken.append(relay.cpu_seconds() - begun_at)
            self.most_meanwhile = max(self.most_meanwhile, self.loaded.counters.submits - done)
        return statistics.median(taken)

    async def others_go_on(self, relay: Relay, megabytes: float) -> None:
        loaded_seconds = await self.cost(relay)
        more = (relay.resident_bytes() - self.resident_before) / MEGABYTE
        print(
            f"\n    {self._testMethodName}: median {self.quiet_seconds * 1000:.1f} ms -> {loaded_seconds * 1000:.1f} ms"
            f" of work, {more:+.1f} MB, at most {self.most_meanwhile} of the other's messages meanwhile"
        )
        self.assertLess(self.most_meanwhile, MOST_MEANWHILE)
        self.assertLess(more, megabytes)

    async def account_for_all(self, esme: FastEsme, ids: list[str], seconds: float = 60) -> None:
        await until("every accepted message's receipt is home", lambda: len(esme.receipts) >= len(ids), seconds)
        self.assertEqual(sorted(receipt.message_id for receipt in esme.receipts), sorted(ids))

    async def test_a_customer_that_floods_gets_receipts_for_exactly_what_was_accepted(self) -> None:
        relay = await self.world()
        esme = await self.esme(relay.smpp_port, window=20_000)
        # All at once, whatever the window; nothing is sent again.
        flood = esme.submit([submit_body("447700900001")] * 20_000)
        await self.others_go_on(relay, 120)
        answers = await within(60, flood)
        statuses = {status for status, _ in answers}
        self.assertLessEqual(statuses, {c.ESME_ROK, c.ESME_RTHROTTLED, c.ESME_RMSGQFUL})
        await self.account_for_all(esme, [message_id for status, message_id in answers if status == c.ESME_ROK])

    async def test_a_customer_that_never_answers_receipts_gets_a_window_full_and_the_rest_later(self) -> None:
        relay = await self.world(receipt_delay_seconds=0.0)
        esme = await self.esme(relay.smpp_port)
        esme.answer = lambda pdu: None
        answers = await within(60, esme.submit([submit_body("447700900001")] * 5_000))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("the carrier has all receipts acknowledged", self.loaded.all_home, 60)
        await self.others_go_on(relay, 60)
        self.assertEqual(esme.all_read, 100)
        esme.abort()
        await within(10, esme.gone)
        again = await self.esme(relay.smpp_port)
        await self.account_for_all(again, [message_id for _, message_id in answers])

    async def test_a_customer_that_never_reads_is_not_read_either_and_gets_its_receipts_when_it_is_back(self) -> None:
        relay = await self.world(receipt_delay_seconds=0.0)
        esme = await self.esme(relay.smpp_port, window=20_000)
        # From here on it reads nothing: neither responses nor receipts. What it submits fills both sides' sockets.
        # (As a producer it would read again whenever its own writes have left.)
        esme.stream.unregisterProducer()
        esme.stream.pauseProducing()
        esme.submit([submit_body("447700900001", b"x" * 100)] * 20_000).addErrback(lambda _: None)
        await until("the relay has taken something", lambda: self.loaded.counters.receipts_owed > 0)
        await self.others_go_on(relay, 60)
        await until("the carrier has all receipts acknowledged", self.loaded.all_home, 60)
        esme.abort()
        await within(10, esme.gone)
        # What it had sent may still be read, and accepted, until the relay has seen the end of the connection.

        async def unbound() -> bool:
            return await self.metric(relay, "relay_customer_binds", account="acme") == 0

        await until("the relay has seen it", unbound)
        again = await self.esme(relay.smpp_port)
        accepted = await self.metric(relay, "relay_messages_total", account="acme")
        await until("what was accepted is told", lambda: len({r.message_id for r in again.receipts}) >= accepted, 60)
        self.assertEqual(len({receipt.message_id for receipt in again.receipts}), accepted)

    async def test_a_thousand_idle_connections_cost_little(self) -> None:
        relay = await self.world()
        for address in ("127.0.0.2", "127.0.0.3"):
            for port in (relay.smpp_port, relay.http_port):
                for _ in range(250):
                    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, bindAddress=(address, 0))
                    peer = await connectProtocol(endpoint, RawPeer())
                    self.addCleanup(self._end_peer, peer)
        await self.others_go_on(relay, 40)

    def _end_peer(self, peer: RawPeer) -> object:
        if peer.closed:
            return None
        peer.abort()
        return peer.gone

    async def test_a_carrier_with_a_window_of_one_holds_nobody_else_up(self) -> None:
        relay = await self.world(window=1, receipt_delay_seconds=0.0)
        esme = await self.esme(relay.smpp_port)
        answers = await within(60, esme.submit([submit_body("447700900001")] * 3_000))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await self.others_go_on(relay, 60)
        await self.account_for_all(esme, [message_id for _, message_id in answers], 90)

    async def owe(self, relay: Relay, count: int) -> None:
        """Has `acme` owed so many webhooks."""
        for _ in range(count // 1000):
            batch = [{"to": "+447700900001", "from": "447700900000", "text": "hello"}] * 1000
            status, answer = await self.http("POST", relay, "/messages", batch)
            self.assertEqual(status, 202)
            self.assertTrue(all("id" in item for item in answer))
        await until("the carrier has all receipts acknowledged", lambda: self.loaded.counters.acked >= count, 60)

    async def test_a_webhook_receiver_that_never_answers_is_asked_a_few_times_at_once(self) -> None:
        asked: list[bytes] = []

        class Silent(Protocol):
            def dataReceived(self, data: bytes) -> None:
                asked.append(data)

        port = free_port()
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(Factory.forProtocol(Silent))
        self.addCleanup(listening.stopListening)
        relay = await self.world(smpp_account(notification_url=f"http://127.0.0.1:{port}/"), receipt_delay_seconds=0.0)
        await self.owe(relay, 5_000)
        await self.others_go_on(relay, 60)
        self.assertLessEqual(sum(data.count(b"POST / ") for data in asked), 16)
        self.assertEqual(await self.metric(relay, "relay_store_owed"), 5_000)

    async def test_notifications_for_a_dead_url_wait_in_little_room(self) -> None:
        url = f"http://127.0.0.1:{free_port()}/"
        relay = await self.world(smpp_account(notification_url=url), receipt_delay_seconds=0.0)
        await self.owe(relay, 100_000)
        await self.others_go_on(relay, 200)
        self.assertEqual(await self.metric(relay, "relay_store_owed"), 100_000)
