"""Long messages in segments: no faster than the window allows, with one answer, and sent anew after a session's end."""

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from relay.customers.segmented_messages import Segmented, SegmentSender
from relay.values.smpp_constants import ESME_ROK, ESME_RX_T_APPN
from tests.customers.test_smpp_receivers import FakeProtocol


def as_protocol(fake: Any) -> Any:
    """The fake as what the sender takes."""
    return fake


class SegmentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sender = SegmentSender()
        self.protocol = FakeProtocol(2)
        self.ended: list[int | None] = []
        self.sender.send(as_protocol(self.protocol), [b"1", b"2", b"3", b"4", b"5"], self.ended.append)

    def answer(self, count: int, status: int = ESME_ROK) -> None:
        for answered in self.protocol.answer(count, status):
            self.sender.answered(cast(Segmented, answered.token), answered.command_status)
        self.sender.pump()

    def test_no_more_leave_than_the_window_takes_and_the_last_answer_ends_it(self) -> None:
        self.assertEqual(2, len(self.protocol.sent))
        for _ in range(2):
            self.answer(2)
        self.assertEqual(([], 1), (self.ended, len(self.protocol.sent)))
        self.answer(1)
        self.assertEqual([ESME_ROK], self.ended)
        self.sender.session_ended(as_protocol(self.protocol))
        self.assertEqual([ESME_ROK], self.ended)

    def test_after_a_refusal_no_further_segment_leaves(self) -> None:
        self.answer(1, ESME_RX_T_APPN)
        self.assertEqual(([], 1), (self.ended, len(self.protocol.sent)))
        self.answer(1)
        self.assertEqual([ESME_RX_T_APPN], self.ended)
        self.assertEqual([], self.protocol.sent)

    def test_a_segment_without_an_answer_ends_it_once(self) -> None:
        for token in self.protocol.sent:
            self.sender.lost(cast(Segmented, token))
        self.sender.session_ended(as_protocol(self.protocol))
        self.assertEqual([None], self.ended)

    def test_a_session_that_ends_while_segments_wait_for_room_ends_it(self) -> None:
        self.sender.send(as_protocol(self.protocol), [b"1", b"2"], self.ended.append)
        self.sender.session_ended(as_protocol(self.protocol))
        self.assertEqual([None, None], self.ended)
