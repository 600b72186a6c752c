"""Messages over HTTP about which a decision service is asked."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from relay.smpp.message_codec import decode_message
from relay.values.messages import source_of
from relay.values.smpp_constants import ESME_RINVDSTADR, SUBMIT_SM
from tests.decisions.deciding import HandService, service_in_hand
from tests.http.http_driver import KEY, Connection, HttpDriver
from tests.http.test_http_api import MESSAGE, HttpTestCase

KANNEL = f"/cgi-bin/sendsms?username=acme&password={KEY}&from=ACME&to=447700900123&text=Hello"


class DecidedRequestTests(HttpTestCase):
    def setUp(self) -> None:
        self.http = HttpDriver(kannel=True)
        self.flow, self.store = self.http.flow, self.http.store
        self.hand = self.ask_about_messages()

    def ask_about_messages(self, **settings: Any) -> HandService:
        clock: Clock = self.http.clock
        self.flow.decisions, hand = service_in_hand(clock, **settings)
        return hand

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Connection:
        connection = self.http.connect()
        connection.send(method, path, body, headers)
        return connection

    def test_a_message_is_accepted_with_its_tags_and_its_new_sender_when_it_is_decided(self) -> None:
        connection = self.send("POST", "/messages", MESSAGE)
        self.assertEqual(self.flow.accepted, [])
        self.assertEqual(
            self.hand.asked[0][0], [{"account": "acme", "from": "RELAY", "to": "447700900123", "length": 5}]
        )
        self.hand.answer(lambda message: {"tags": ["gold"], "from": "60300"})
        self.assertEqual(connection.reply().status, 202)
        [submission] = self.flow.prepared
        self.assertEqual((submission.tags, submission.source[2:-1]), (("gold",), b"60300"))
        self.assertEqual(source_of(decode_message(SUBMIT_SM, 0, submission.parts[0]).addresses), b"RELAY")

    def test_a_refusal_is_422_with_the_reason_of_the_service_and_is_counted(self) -> None:
        connection = self.send("POST", "/messages", MESSAGE)
        self.hand.answer(lambda message: {"refuse": "The number has opted out.", "smpp_status": "ESME_RINVDSTADR"})
        reply = connection.reply()
        self.assertProblem(reply, 422, kind="refused")
        self.assertEqual(reply.json["detail"], "The number has opted out.")
        self.assertEqual((self.flow.accepted, self.flow.refused), ([], [("acme", ESME_RINVDSTADR)]))

    def test_each_item_of_an_array_is_decided_alone(self) -> None:
        items = [MESSAGE, {"to": "x"}, MESSAGE | {"to": "447700900999"}]
        connection = self.send("POST", "/messages", items)
        self.assertEqual(self.hand.numbers(), [["447700900123", "447700900999"]])
        self.hand.answer(lambda message: {"refuse": "No."} if message["to"] == "447700900999" else {})
        answers = connection.reply().json
        self.assertEqual([answer.get("status", "accepted") for answer in answers], ["accepted", 422, 422])
        self.assertEqual(answers[2]["detail"], "No.")

    def test_without_a_decision_the_customer_is_told_when_to_try_again(self) -> None:
        connection = self.send("POST", "/messages", MESSAGE)
        self.hand.fail()
        reply = connection.reply()
        self.assertProblem(reply, 503, kind="queue-full")
        self.assertEqual(reply.headers["Retry-After"], "5")

    def test_a_repeat_of_an_accepted_request_is_answered_without_a_question(self) -> None:
        first = self.send("POST", "/messages", MESSAGE, **{"Idempotency-Key": "one"})
        self.hand.answer()
        accepted = first.reply()
        self.assertEqual(accepted.status, 202)
        again = self.send("POST", "/messages", MESSAGE, **{"Idempotency-Key": "one"})
        self.assertEqual((again.reply().json, self.hand.asked), (accepted.json, []))

    def test_messages_through_the_interfaces_of_other_gateways_are_decided_too(self) -> None:
        gold: Callable[[object], dict[str, Any]] = lambda message: {"tags": ["gold"]}  # noqa: E731
        no: Callable[[object], dict[str, Any]] = lambda message: {"refuse": "The number has opted out."}  # noqa: E731
        for decide, status in ((gold, 202), (no, 400)):
            connection = self.send("GET", KANNEL)
            self.assertEqual(self.hand.asked[0][0][0]["length"], 5)
            self.hand.answer(decide)
            self.assertEqual(connection.reply().status, status)
        self.assertEqual([submission.tags for submission in self.flow.prepared], [("gold",)])

    def test_the_service_gets_the_text_only_if_it_is_to(self) -> None:
        hand = self.ask_about_messages(with_text=True)
        self.send("POST", "/messages", MESSAGE)
        self.send("POST", "/messages", {"to": "4477", "from": "A", "data_coding": 4, "payload": "0102"})
        told = [messages[0] for messages, _ in hand.asked]
        self.assertEqual([(one["text"], one["length"]) for one in told], [("Hello", 5), (None, 2)])
