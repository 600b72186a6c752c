"""Submissions made of customers' submit_sm."""

from twisted.trial.unittest import SynchronousTestCase

from relay.customers.submissions import with_default_sender
from relay.smpp.message_codec import encode_address, message_body
from relay.values.messages import Submission, destination_of, source_of

TO = encode_address(1, 1, b"447700900123")


def submission(source: bytes) -> Submission:
    return Submission(source + TO, (message_body(addresses=source + TO, short_message=b"hi"),))


class DefaultSenderTests(SynchronousTestCase):
    def test_a_message_without_a_sender_gets_the_default_as_if_it_had_been_sent_so(self) -> None:
        for empty in (encode_address(0, 0, b""), encode_address(5, 1, b"")):
            done = with_default_sender(submission(empty), "ACME")
            self.assertEqual(done, submission(encode_address(5, 0, b"ACME")))
            self.assertEqual((source_of(done.addresses), destination_of(done.addresses)), (b"ACME", b"447700900123"))

    def test_a_message_with_a_sender_keeps_it(self) -> None:
        one = submission(encode_address(1, 1, b"447700900001"))
        self.assertIs(with_default_sender(one, "ACME"), one)
