"""What the decision service is asked, and which of its answers are understood."""

import re

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from relay.decisions.decision_format import read_decisions, request_body
from relay.text.compose import source_address
from relay.values.decision import PASSED, Question
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RSUBMITFAIL
from tests.documented import ROOT

QUESTION = Question("acme", "ACME", "447700900123", 5, "hello")


class DocumentedTests(SynchronousTestCase):
    def test_the_page_shows_a_request_as_it_is_and_an_answer_that_can_be_read(self) -> None:
        page = (ROOT / "docs" / "decision-service.md").read_text()
        request, answer = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
        asked = [Question("acme", "ACME", "447700900123", 42), Question("acme", "ACME", "447700900124", 160)]
        self.assertEqual(msgspec.json.decode(request), msgspec.json.decode(request_body(asked, with_text=False)))
        (first, kept), (second, _) = read_decisions(answer.encode(), 2)
        assert second.refused is not None
        self.assertEqual((first.tags, kept, second.refused.command_status), (("gold",), 300.0, ESME_RINVDSTADR))


class RequestTests(SynchronousTestCase):
    def test_the_service_gets_the_text_only_if_it_is_to(self) -> None:
        told = {"account": "acme", "from": "ACME", "to": "447700900123", "length": 5}
        for with_text, expected in ((False, told), (True, told | {"text": "hello"})):
            self.assertEqual(
                msgspec.json.decode(request_body([QUESTION], with_text=with_text)), {"messages": [expected]}
            )

    def test_content_that_is_no_text_has_a_null_text(self) -> None:
        body = msgspec.json.decode(request_body([Question("acme", "", "4477", 9)], with_text=True))
        self.assertIsNone(body["messages"][0]["text"])


class AnswerTests(SynchronousTestCase):
    def read(self, *decisions: object) -> list[object]:
        return list(read_decisions(msgspec.json.encode({"decisions": decisions}), len(decisions)))

    def test_an_empty_decision_lets_the_message_pass(self) -> None:
        self.assertEqual(self.read({}), [(PASSED, 0.0)])

    def test_tags_and_another_sender_are_read_with_how_long_they_may_be_kept(self) -> None:
        [(decision, seconds)] = read_decisions(
            b'{"decisions": [{"tags": ["north", "gold"], "from": "60300", "cache_seconds": 60}]}', 1
        )
        self.assertEqual((decision.tags, decision.source, seconds), (("north", "gold"), source_address("60300"), 60.0))

    def test_a_refusal_names_its_status_by_number_or_name_or_has_the_usual_one(self) -> None:
        for named, expected in (
            ({}, ESME_RSUBMITFAIL),
            ({"smpp_status": 1061}, 1061),
            ({"smpp_status": "ESME_RINVDSTADR"}, ESME_RINVDSTADR),
        ):
            [(decision, _)] = read_decisions(
                msgspec.json.encode({"decisions": [{"refuse": "The number has opted out."} | named]}), 1
            )
            assert decision.refused is not None
            self.assertEqual(
                (decision.refused.command_status, decision.refused.reason), (expected, "The number has opted out.")
            )

    def test_an_answer_that_is_wrong_is_refused_with_the_place_and_without_the_customers_data(self) -> None:
        for wrong, place in (
            ({"tags": [""]}, "tags"),
            ({"tags": ["x"] * 17}, "tags"),
            ({"tag": "north"}, "tag"),
            ({"from": "much too long a sender"}, "decisions[0].from"),
            ({"refuse": "no", "smpp_status": "ESME_ROK"}, "decisions[0].smpp_status"),
            ({"refuse": "no", "smpp_status": 0}, "smpp_status"),
            ({"smpp_status": 11}, "decisions[0]"),
            ({"cache_seconds": -1}, "cache_seconds"),
        ):
            with self.subTest(wrong=wrong):
                error = self.assertRaises(ValueError, self.read, wrong)
                self.assertIn(place, str(error))
                self.assertNotIn("much too long", str(error))

    def test_an_answer_with_too_few_decisions_or_no_json_is_refused(self) -> None:
        for body in (b'{"decisions": []}', b'{"decisions": [{}, {}]}', b"[]", b"{", b"\xff"):
            self.assertRaises(ValueError, read_decisions, body, 1)
