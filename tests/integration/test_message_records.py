"""Message records of a real relay, killed in mid-traffic."""

import json
from collections import Counter
from typing import Any

from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within


class MessageRecordsTests(IntegrationTestCase):
    async def start(self, history_days: float = 0.0, **journal: Any) -> Relay:
        self.simulated = await self.simulator(receipt_delay_seconds=0.3, states={"DELIVRD": 0.9, "UNDELIV": 0.1})
        self.file = self.directory / "records.jsonl"
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"]}],
            logs={"message_records": str(self.file)},
            history={"days": history_days},
            journal=journal,
        )
        await relay.carrier_bound(self.simulated)
        return relay

    def recorded(self) -> Counter[str]:
        if not self.file.exists():
            return Counter()
        found: Counter[str] = Counter()
        for line in self.file.read_text().splitlines():
            try:
                found[json.loads(line)["id"]] += 1
            except ValueError:
                # A line that the kill tore.
                continue
        return found

    async def test_every_message_that_ends_has_its_line(self) -> None:
        relay = await self.start(sync="interval")
        esme = await self.esme(relay.smpp_port)
        answers = await within(20, esme.submit([submit_body("447700900001")] * 300))
        ids = {message_id for _, message_id in answers}
        await until("every receipt is home", lambda: len(esme.receipts) == 300)
        await until("every message is recorded", lambda: set(self.recorded()) == ids)
        self.assertEqual({1}, set(self.recorded().values()))
        line = json.loads(self.file.read_text().splitlines()[0])
        self.assertEqual(("acme", "smpp", "447700900001", "tier1"),
                         tuple(line[name] for name in ("account", "interface", "to", "carrier")))  # fmt: skip

    async def test_a_killed_relay_s_lines_are_written_after_its_next_start(self) -> None:
        relay = await self.start()
        esme = await self.esme(relay.smpp_port)
        ids: set[str] = set()
        for _ in range(4):
            answers = await within(20, esme.submit([submit_body("447700900001")] * 100))
            ids |= {message_id for status, message_id in answers if status == 0}
        await until("some have ended", lambda: len(esme.receipts) > 50)
        relay.kill()
        await relay.start()
        await until("every message is recorded", lambda: set(self.recorded()) >= ids, 40)

    async def test_with_a_history_each_message_has_exactly_one_line_however_often_the_relay_is_killed(self) -> None:
        relay = await self.start(history_days=90.0)
        ids: set[str] = set()
        for _ in range(3):
            esme = await self.esme(relay.smpp_port)
            for _ in range(2):
                answers = await within(20, esme.submit([submit_body("447700900001")] * 100))
                ids |= {message_id for status, message_id in answers if status == 0}
            await until("some have ended", lambda esme=esme: len(esme.receipts) > 20)
            relay.kill()
            await relay.start()
            await relay.carrier_bound(self.simulated)
        await until("every message is recorded", lambda: set(self.recorded()) >= ids, 60)
        self.assertEqual({message_id: count for message_id, count in self.recorded().items() if count > 1}, {})

    async def test_a_file_that_can_not_be_written_stops_nothing(self) -> None:
        relay = await self.start()
        self.file.unlink(missing_ok=True)
        self.file.mkdir()
        esme = await self.esme(relay.smpp_port)
        await within(20, esme.submit([submit_body("447700900001")] * 20))
        await until("every receipt is home", lambda: len(esme.receipts) == 20)
        await until("the log says so", lambda: "records_unwritable" in relay.log())
        self.file.rmdir()
        await until("every message is recorded", lambda: len(self.recorded()) == 20)
