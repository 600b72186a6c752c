"""Message records: the content of a line, and what the relay learns from the end of a file."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.history.record_line import KnownLines, known_lines, record_line
from relay.values.message_view import MessageView, PartView
from relay.values.states import DELIVERED, REJECTED, UNDELIVERABLE

ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"


def view(number: int = 1, state: int = DELIVERED, done_at: float = 1_790_000_010.5) -> MessageView:
    return MessageView(
        id=number.to_bytes(16, "big"),
        account="acme",
        addresses=ADDRESSES,
        state=state,
        final=True,
        carrier="tier1",
        carrier_error="042",
        interface="http",
        accepted_at=1_790_000_000.0,
        expires_at=1_790_172_800.0,
        done_at=done_at,
        parts=[PartView("tier1", "1a2b", state, "042", 1_790_000_001.0, done_at, "FAILED")],
        attempts=[],
        owed=["webhook"],
        reference="order 7",
    )


class RecordLineTests(SynchronousTestCase):
    def test_a_line_has_what_billing_and_disputes_need(self) -> None:
        line = record_line(view(state=UNDELIVERABLE))
        self.assertTrue(line.endswith(b"\n"))
        self.assertEqual(
            {
                "id": "00000000-0000-0000-0000-000000000001",
                "account": "acme",
                "reference": "order 7",
                "interface": "http",
                "from": "RELAY",
                "to": "447700900123",
                "status": "UNDELIV",
                "send_status": "failed",
                "error": "005",
                "carrier": "tier1",
                "carrier_error": "042",
                "accepted_at": "2026-09-21T14:13:20.000Z",
                "done_at": "2026-09-21T14:13:30.500Z",
                "expires_at": "2026-09-23T14:13:20.000Z",
                "parts": [
                    {
                        "carrier": "tier1",
                        "carrier_message_id": "1a2b",
                        "status": "UNDELIV",
                        "carrier_error": "042",
                        "carrier_stat": "FAILED",
                        "submitted_at": "2026-09-21T14:13:21.000Z",
                        "done_at": "2026-09-21T14:13:30.500Z",
                    }
                ],
            },
            json.loads(line),
        )

    def test_a_message_that_went_to_another_carrier_has_the_parts_of_each_round(self) -> None:
        self.assertNotIn("rounds", json.loads(record_line(view())))
        first = [PartView("tier2", "9", UNDELIVERABLE, "027", 1_790_000_001.0, 1_790_000_002.0)]
        line = json.loads(record_line(msgspec.structs.replace(view(), rounds=[first, view().parts])))
        self.assertEqual([[part["carrier"] for part in parts] for parts in line["rounds"]], [["tier2"], ["tier1"]])
        self.assertEqual(line["rounds"][1], line["parts"])

    def test_missing_values_are_null(self) -> None:
        bare = MessageView(
            id=b"\1" * 16, account="acme", addresses=ADDRESSES, state=REJECTED, final=True, carrier="",
            carrier_error="", interface="smpp", accepted_at=0.0, expires_at=1.0, done_at=1.0,
            parts=[PartView("", "", REJECTED, "", None, None)], attempts=[], owed=[],
        )  # fmt: skip
        record = json.loads(record_line(bare))
        self.assertEqual([None] * 3, [record[name] for name in ("carrier", "carrier_error", "reference")])
        self.assertEqual([None] * 3, [record["parts"][0][name] for name in ("carrier", "submitted_at", "done_at")])

    def test_the_end_of_a_file_tells_the_ids_and_when_the_first_and_the_last_ended(self) -> None:
        lines = record_line(view(1, done_at=1_790_000_020.0)) + record_line(view(2, done_at=1_790_000_015.0))
        known = known_lines(lines)
        self.assertEqual({"00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"}, known.ids)
        self.assertEqual((1_790_000_015.0, 1_790_000_020.0), (known.earliest, known.latest))

    @given(st.integers(0, 400), st.binary(max_size=50))
    def test_torn_and_foreign_lines_are_passed_over(self, cut: int, noise: bytes) -> None:
        whole = record_line(view(3))
        known = known_lines(record_line(view(4))[:cut] + b"\n" + noise.replace(b"\n", b"") + b"\n" + whole)
        self.assertIn("00000000-0000-0000-0000-000000000003", known.ids)

    def test_nothing_tells_nothing(self) -> None:
        self.assertEqual(KnownLines(frozenset(), 0.0, 0.0), known_lines(b""))
