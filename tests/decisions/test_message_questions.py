"""What is asked about a message that is ready to be sent."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.decisions.message_questions import decide_all, decided_now, question_about
from relay.text.compose import compose, source_address
from relay.values.decision import Question
from relay.values.messages import Submission
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RINVMSGLEN, ESME_RSUBMITFAIL
from tests.decisions.deciding import service_in_hand


def submission(text: str = "hello", to: str = "+447700900123") -> Submission:
    return Submission(*compose("ACME", to, text, reference=1)[:2])


class QuestionTests(SynchronousTestCase):
    def test_a_text_is_told_as_the_customer_wrote_it_whatever_its_alphabet_and_parts(self) -> None:
        for text in ("hello", "Zoë [1] €", "привет", "a" * 500, "п" * 200):
            self.assertEqual(
                question_about("acme", submission(text)), Question("acme", "ACME", "447700900123", len(text), text)
            )

    def test_octets_that_are_no_text_have_a_length_only(self) -> None:
        body = submission().parts[0]
        # data_coding 4: binary. It stands before sm_default_msg_id, sm_length and the five octets of the text.
        body = body[:-8] + b"\x04" + body[-7:]
        self.assertEqual(
            question_about("acme", Submission(submission().addresses, (body,))),
            Question("acme", "ACME", "447700900123", 5),
        )


class DecidedTests(SynchronousTestCase):
    def test_statuses_stay_and_submissions_become_what_the_decisions_say(self) -> None:
        service, hand = service_in_hand(Clock())
        wanted: list[Submission | int] = [
            submission(),
            ESME_RINVMSGLEN,
            submission(to="4477009001"),
            submission(to="4477009002"),
        ]
        self.assertEqual(decided_now(service, "acme", wanted), [None, ESME_RINVMSGLEN, None, None])
        asked = Deferred.fromCoroutine(decide_all(service, "acme", wanted))
        told: dict[str, dict[str, Any]] = {
            "447700900123": {"tags": ["north"], "from": "60300"},
            "4477009001": {"refuse": "no", "cache_seconds": 9},
            "4477009002": {"refuse": "no", "smpp_status": ESME_RINVDSTADR},
        }
        hand.answer(lambda message: told[message["to"]])
        first, *others = self.successResultOf(asked)
        assert isinstance(first, Submission)
        self.assertEqual((first.tags, first.source), (("north",), source_address("60300")))
        self.assertEqual((first.addresses, first.parts), (submission().addresses, submission().parts))
        self.assertEqual(others, [ESME_RINVMSGLEN, ESME_RSUBMITFAIL, ESME_RINVDSTADR])
        self.assertEqual(decided_now(service, "acme", wanted[2:3]), [ESME_RSUBMITFAIL])
