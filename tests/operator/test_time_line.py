"""The events of a message, in order."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from relay.operator.time_line import time_line
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.states import DELIVERED, ENROUTE, REJECTED, UNDELIVERABLE

ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"


def view(
    parts: list[PartView], state: int, done_at: float | None, attempts: list[AttemptView] | None = None
) -> MessageView:
    return MessageView(
        id=b"\1" * 16,
        account="acme",
        addresses=ADDRESSES,
        state=state,
        final=done_at is not None,
        carrier="tier1",
        carrier_error="",
        interface="http",
        accepted_at=100.0,
        expires_at=900.0,
        done_at=done_at,
        parts=parts,
        attempts=attempts or [],
        owed=[],
    )


class TimeLineTests(SynchronousTestCase):
    def test_a_delivered_message_has_its_events_from_accepted_to_notified(self) -> None:
        line = time_line(
            view(
                [PartView("tier1", "a1", DELIVERED, "", 101.0, 105.0)],
                DELIVERED,
                105.0,
                [
                    AttemptView("webhook", 1, 106.0, "503", 0.25, "DELIVRD", 0.0, "http://a.example/", "busy"),
                    AttemptView("webhook", 2, 111.0, "204", 0.1, "DELIVRD"),
                ],
            )
        )
        self.assertEqual(
            [
                (100.0, "accepted from acme over HTTP", True),
                (101.0, "taken by tier1 as a1", True),
                (105.0, "DELIVRD", True),
                (105.0, "ended DELIVRD (error 000)", True),
                (106.0, "attempt 1 to notify of DELIVRD by webhook at http://a.example/: 503 (busy) in 0.25 s", False),
                (111.0, "attempt 2 to notify of DELIVRD by webhook: 204 in 0.10 s", True),
            ],
            [(event.at, event.what, event.good) for event in line.events],
        )
        self.assertEqual(("RELAY", "447700900123", "DELIVRD"), (line.sender, line.to, line.status))

    def test_a_message_that_went_to_another_carrier_has_the_events_of_each(self) -> None:
        first = [PartView("tier1", "a1", UNDELIVERABLE, "027", 101.0, 105.0)]
        second = [PartView("tier2", "b1", DELIVERED, "", 106.0, 110.0)]
        line = time_line(msgspec.structs.replace(view(second, DELIVERED, 110.0), rounds=[first, second]))
        self.assertEqual(
            [(event.at, event.what, event.good) for event in line.events[1:5]],
            [
                (101.0, "taken by tier1 as a1", True),
                (105.0, "UNDELIV from tier1, carrier's error 027", False),
                (106.0, "taken by tier2 as b1", True),
                (110.0, "DELIVRD from tier2", True),
            ],
        )

    def test_a_refused_message_says_who_refused_it_and_why(self) -> None:
        refused = view([PartView("tier1", "", REJECTED, "ESME_RINVDSTADR", None, 105.0)], REJECTED, 105.0)
        for carrier, error, said in (
            ("tier1", "ESME_RINVDSTADR", "tier1 refused it: ESME_RINVDSTADR"),
            ("tier1", "", "tier1 refused it"),
            ("", "", "no carrier could take it"),
        ):
            line = time_line(msgspec.structs.replace(refused, carrier=carrier, carrier_error=error))
            self.assertEqual(f"ended REJECTD (error 008): {said}", line.events[-1].what)

    def test_a_message_under_way_ends_with_what_lies_ahead(self) -> None:
        line = time_line(view([PartView("tier1", "a1", ENROUTE, "", 101.0, None)], ENROUTE, None))
        self.assertEqual("validity ends", line.events[-1].what)
        self.assertFalse(line.final)

    def test_each_part_of_a_long_message_has_its_events(self) -> None:
        parts = [
            PartView("tier1", "a1", DELIVERED, "", 101.0, 105.0),
            PartView("tier2", "", UNDELIVERABLE, "042", 102.0, 104.0),
        ]
        said = [event.what for event in time_line(view(parts, UNDELIVERABLE, 105.0)).events]
        self.assertIn("part 1 of 2 taken by tier1 as a1", said)
        self.assertIn("part 2 of 2 taken by tier2 without an id", said)
        self.assertIn("part 2 of 2 UNDELIV, carrier's error 042", said)
        self.assertLess(said.index("part 2 of 2 UNDELIV, carrier's error 042"), said.index("part 1 of 2 DELIVRD"))
