"""What a carrier's answer to a submit_sm means."""

from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.submit_results import AnswerClass, class_of
from relay.values import smpp_constants as c


class ClassOfTests(SynchronousTestCase):
    def test_esme_rok_means_that_the_part_was_accepted(self) -> None:
        self.assertIs(class_of(c.ESME_ROK), AnswerClass.TAKEN)

    def test_throttling_a_full_queue_and_a_system_error_mean_that_the_part_is_sent_later(self) -> None:
        for status in (c.ESME_RTHROTTLED, c.ESME_RMSGQFUL, c.ESME_RSYSERR):
            self.assertIs(class_of(status), AnswerClass.LATER, c.status_name(status))

    def test_a_fault_of_the_message_itself_ends_the_message(self) -> None:
        for status in (c.ESME_RINVMSGLEN, c.ESME_RINVESMCLASS, c.ESME_RINVEXPIRY):
            self.assertIs(class_of(status), AnswerClass.REFUSED, c.status_name(status))

    def test_a_destination_that_this_carrier_does_not_serve_may_be_served_by_another(self) -> None:
        for status in (c.ESME_RINVDSTADR, c.ESME_RSUBMITFAIL, 0x421):
            self.assertIs(class_of(status), AnswerClass.ELSEWHERE, c.status_name(status))
