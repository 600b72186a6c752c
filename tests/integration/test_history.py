"""The history of a real relay, killed in mid-traffic, agrees with an independent count."""

from collections import Counter

from relay.history.history_numbers import number_keeper
from relay.history.history_search import HistoryQuery, HistorySearch
from relay.values.ids import id_text
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within


class HistoryTests(IntegrationTestCase):
    async def start(self) -> Relay:
        self.simulated = await self.simulator(receipt_delay_seconds=0.3, states={"DELIVRD": 0.7, "UNDELIV": 0.3})
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"]}],
            history={"days": 90},
            # Small segments, so that the journal is compacted meanwhile.
            journal={"segment_bytes": 65_536},
        )
        await relay.carrier_bound(self.simulated)
        return relay

    def states(self, relay: Relay) -> Counter[tuple[str, int, bool]]:
        """How often each id is in the history in which state."""
        path = relay.directory / "data" / "history.sqlite3"
        if not path.exists():
            return Counter()
        search = HistorySearch(str(path), number_keeper("full", ""))
        found: Counter[tuple[str, int, bool]] = Counter()
        after = None
        while True:
            page = search.search(HistoryQuery(after=after, limit=500))
            found.update((id_text(view.id), view.state, view.final) for view in page.messages)
            after = page.cursor
            if after is None:
                search.close()
                return found

    async def test_every_message_is_in_it_once_and_as_its_customer_was_told_however_often_the_relay_is_killed(
        self,
    ) -> None:
        relay = await self.start()
        ids: set[str] = set()
        for _ in range(3):
            esme = await self.esme(relay.smpp_port)
            for _ in range(3):
                answers = await within(30, esme.submit([submit_body("447700900001")] * 100))
                ids |= {message_id for status, message_id in answers if status == 0}
            relay.kill()
            await relay.start()
            await relay.carrier_bound(self.simulated)

        def all_ended() -> bool:
            states = self.states(relay)
            return {message_id for message_id, _, final in states if final} >= ids

        await until("every message has ended in the history", all_ended, 60)
        found = self.states(relay)
        self.assertEqual({message_id for message_id, _, _ in found}, ids)
        self.assertEqual(set(found.values()), {1})
