"""A session with a carrier over HTTP: what it posts, and the outcome of each part, whatever the other side answers."""

import json
from collections.abc import Sequence
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import ResponseNeverReceived

from relay.carriers.http_exchange import ANSWER_BYTES, LONGEST_PAUSE_SECONDS
from relay.carriers.http_session import ITEMS_A_POST, POSTS, HttpCarrierSession
from relay.carriers.session_api import CarrierSession, Responder
from relay.values import smpp_constants as c
from relay.values.pdus import Accepted, Answered, CodecError, LateAnswer, MessagePdu
from tests.http_upstream import QueryOutcome, Response, Upstream

TIMEOUT_SECONDS = 30.0
LOST_IN_BETWEEN = ResponseNeverReceived([Failure(ConnectionDone())])


class Owner:
    """The link: remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.answers: dict[object, tuple[int, bytes]] = {}
        self.given_back: list[object] = []
        self.in_doubt: list[object] = []
        self.paused: list[float] = []
        self.up = False

    def bound(self, session: CarrierSession) -> None:
        self.up = True
        self.told.append(("bound",))

    def unreachable(self, reason: str) -> None:
        self.told.append(("unreachable", reason))

    def bind_refused(self, command_status: int) -> None:
        self.told.append(("bind_refused", command_status))

    def lost(self, session: CarrierSession, tokens: Sequence[object], reason: str) -> None:
        self.up = False
        self.in_doubt += tokens
        self.told.append(("lost", reason))

    def answered(self, session: CarrierSession, answers: list[Answered]) -> None:
        for answer in answers:
            assert answer.token not in self.answers, f"{answer.token} was answered twice"
            self.answers[answer.token] = answer.command_status, answer.message_id

    def accepted(self, session: CarrierSession, accepted: Accepted) -> None:
        self.answered(session, accepted.each())

    def unanswered(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        self.in_doubt += tokens

    def unsent(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        self.given_back += tokens

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    def late_answers(self, session: CarrierSession, answers: list[LateAnswer]) -> None:
        raise AssertionError("HTTP has no late answers")

    def abandoned(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        raise AssertionError("HTTP sessions end by being lost")

    def messages(self, session: Responder, pdus: list[MessagePdu]) -> None:
        raise AssertionError("receipts come to the HTTP listener")


class SessionTestCase(SynchronousTestCase):
    window = 2000

    base_url = "https://relay.example.net/api"

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000.0)
        self.http = Upstream()
        self.owner = Owner()
        self.expired: set[object] = set()
        self.unreadable: set[object] = set()
        self.session = HttpCarrierSession(
            self.owner,
            cast(HTTPClient, self.http),
            self.base_url,
            b"Basic key",
            self.item_of,
            self.clock,
            window=self.window,
            timeout_seconds=TIMEOUT_SECONDS,
            pause_seconds=lambda failures: float(2**failures),
        )

    def item_of(self, body: bytes, token: object) -> bytes | None:
        if token in self.unreadable:
            raise CodecError("cut off", c.ESME_RINVMSGLEN)
        return None if token in self.expired else json.dumps(body.decode()).encode()

    def turn(self) -> None:
        """What is to happen at once has happened."""
        for _ in range(10):
            self.clock.advance(0)

    def send(self, *names: str) -> None:
        self.session.send(c.SUBMIT_SM, [(name.encode(), name) for name in names])
        self.turn()

    def next(self) -> QueryOutcome:
        self.turn()
        return self.http.asked.popleft()

    def bind(self) -> None:
        """The account answers."""
        self.session.start()
        self.next().answer(200, b"{}")
        self.turn()
        self.assertTrue(self.owner.up)

    def rebind(self, seconds: float = 0.0) -> None:
        """As `bind`, after a fall, where the session asks after so long by itself."""
        self.turn()
        self.clock.advance(seconds)
        asked = self.next()
        self.assertEqual(asked.method, "GET")
        asked.answer(200, b"{}")
        self.turn()

    def settled(self) -> None:
        """Nothing is under way, and no timer is left over once it has stopped."""
        self.assertEqual(self.session.outstanding, 0)
        self.session.stop()
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BindTests(SessionTestCase):
    def test_the_account_is_asked_for_with_our_key_and_no_redirect_is_followed(self) -> None:
        self.session.start()
        asked = self.next()
        self.assertEqual((asked.method, asked.url), ("GET", b"https://relay.example.net/api/account"))
        names = [name for name, _ in asked.headers.getAllRawHeaders()]
        self.assertEqual(names, [b"Host", b"Authorization", b"User-Agent", b"Accept"])
        self.assertEqual(asked.headers.getRawHeaders(b"Host"), [b"relay.example.net"])
        self.assertEqual(asked.headers.getRawHeaders(b"Authorization"), [b"Basic key"])
        self.assertIs(asked.options["allow_redirects"], False)

    def test_a_name_beyond_ascii_is_written_by_idna_2008(self) -> None:
        self.base_url = "https://faß.example:8443"
        self.setUp()
        self.session.start()
        asked = self.next()
        self.assertEqual(asked.url, b"https://xn--fa-hia.example:8443/account")
        self.assertEqual(asked.headers.getRawHeaders(b"Host"), [b"xn--fa-hia.example:8443"])

    def test_it_is_asked_again_after_growing_pauses_until_it_answers(self) -> None:
        self.session.start()
        for number, pause_seconds in enumerate((2.0, 4.0, 8.0)):
            self.next().done.errback(ConnectionRefusedError())
            self.assertEqual(len(self.owner.told), number + 1)
            self.clock.advance(pause_seconds - 0.01)
            self.turn()
            self.assertEqual(len(self.http.asked), 0)
            self.clock.advance(0.02)
        self.next().answer(200, b"{}")
        self.assertEqual(self.owner.told[-1], ("bound",))
        self.assertEqual(set(self.owner.told[:-1]), {("unreachable", "connection refused")})

    def test_a_wrong_key_is_a_refused_bind_and_counts_once(self) -> None:
        self.session.start()
        for pause_seconds in (2.0, 4.0, 8.0):
            self.next().answer(401)
            self.clock.advance(pause_seconds - 0.01)
            self.turn()
            self.assertEqual(len(self.http.asked), 0)
            self.clock.advance(0.02)
        self.assertEqual([told[0] for told in self.owner.told], ["bind_refused"] * 3)

    def test_an_answer_that_is_not_from_a_relay_is_reported_with_its_status(self) -> None:
        self.session.start()
        self.next().answer(301, b"", Location="http://elsewhere/")
        self.assertEqual(self.owner.told, [("unreachable", "GET /account was answered 301")])

    def test_an_account_that_never_answers_is_given_up_after_the_timeout(self) -> None:
        self.session.start()
        silent = self.next()
        self.clock.advance(TIMEOUT_SECONDS + 1)
        self.assertTrue(silent.cancelled)
        self.assertEqual(self.owner.told[0], ("unreachable", "timeout"))

    def test_a_second_start_asks_nothing_more(self) -> None:
        self.bind()
        self.session.start()
        self.turn()
        self.assertEqual(len(self.http.asked), 0)

    def test_a_stop_while_asking_leaves_nothing_behind(self) -> None:
        self.session.start()
        asked = self.next()
        self.session.stop()
        self.assertTrue(asked.cancelled)
        self.assertEqual((self.owner.told, self.clock.getDelayedCalls()), ([], []))


class PostTests(SessionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.bind()

    def test_parts_that_come_together_go_in_one_array_and_get_their_ids(self) -> None:
        self.send("a", "b")
        post = self.next()
        self.assertEqual(
            (post.method, post.url, post.items), ("POST", b"https://relay.example.net/api/messages", ["a", "b"])
        )
        self.assertEqual(post.headers.getRawHeaders(b"Content-Type"), [b"application/json"])
        self.assertEqual(self.session.room, self.window - 2)
        post.take()
        self.assertEqual(self.owner.answers, {"a": (c.ESME_ROK, b"id-a"), "b": (c.ESME_ROK, b"id-b")})
        self.settled()

    def test_each_refused_item_has_the_status_that_says_why(self) -> None:
        self.send("a", "b", "c", "d")
        self.next().answer(
            202,
            [
                {"id": "1"},
                {"status": 422, "field": "to", "type": "/docs#problem-invalid-field"},
                {"status": 429, "type": "/docs#problem-rate-limit"},
                {"status": 422, "field": "idempotency_key", "type": "/docs#problem-unknown-field"},
            ],
        )
        statuses = [self.owner.answers[name][0] for name in "abcd"]
        self.assertEqual(statuses, [c.ESME_ROK, c.ESME_RINVDSTADR, c.ESME_RTHROTTLED, c.ESME_RSYSERR])
        self.settled()

    def test_while_every_post_is_under_way_arrays_grow_up_to_their_bound(self) -> None:
        for n in range(POSTS):
            self.send(f"first-{n}")
        self.send(*(f"later-{n}" for n in range(ITEMS_A_POST + 1)))
        self.assertEqual(len(self.http.asked), POSTS)
        self.next().take()
        self.next().take()
        self.turn()
        self.assertEqual([len(asked.items) for asked in self.http.asked], [1, 1, ITEMS_A_POST, 1])

    def test_a_part_that_can_not_be_read_costs_the_others_nothing(self) -> None:
        self.unreadable.add("b")
        self.send("a", "b", "c")
        self.next().take()
        self.assertEqual({name: status for name, (status, _) in self.owner.answers.items()},
                         {"a": c.ESME_ROK, "b": c.ESME_RINVMSGLEN, "c": c.ESME_ROK})  # fmt: skip
        self.settled()

    def test_a_part_that_expires_while_it_waits_goes_back_and_is_not_posted(self) -> None:
        self.expired.add("b")
        self.send("a", "b")
        self.assertEqual(self.next().items, ["a"])
        self.assertEqual((self.owner.given_back, self.owner.in_doubt), (["b"], []))

    def test_without_a_connection_parts_go_back_and_nothing_is_posted_until_the_account_answers(self) -> None:
        for problem in (ConnectionRefusedError(), DNSLookupError("no such host")):
            with self.subTest(problem=problem):
                for n in range(POSTS):
                    self.send(f"a{n}")
                self.send("waits")
                self.next().done.errback(problem)
                self.assertFalse(self.owner.up)
                self.assertEqual(self.owner.given_back, ["waits", "a0"])
                for _ in range(POSTS - 1):
                    asked = self.next()
                    self.assertEqual(asked.method, "POST")
                    asked.done.errback(problem)
                self.turn()
                self.assertEqual(sorted(map(str, self.owner.given_back)), ["a0", "a1", "a2", "a3", "waits"])
                self.assertEqual([asked.method for asked in self.http.asked], ["GET"])
                self.rebind()
                self.assertEqual((self.owner.in_doubt, self.owner.answers), ([], {}))
                self.owner.given_back.clear()
                self.send("again")
                self.next().take()
                self.owner.answers.clear()
        self.settled()

    def test_a_connection_that_was_closed_meanwhile_is_tried_once_more_at_once(self) -> None:
        self.send("a")
        self.next().done.errback(LOST_IN_BETWEEN)
        again = self.next()
        self.assertEqual((again.method, again.items), ("POST", ["a"]))
        again.take()
        self.assertTrue(self.owner.up)
        self.settled()

    def test_parts_in_doubt_stay_and_are_posted_again_before_all_others(self) -> None:
        self.send("a")
        self.next().done.errback(LOST_IN_BETWEEN)
        self.next().done.errback(LOST_IN_BETWEEN)
        self.assertFalse(self.owner.up)
        self.assertEqual((self.owner.given_back, self.owner.in_doubt, self.owner.answers), ([], [], {}))
        self.send("b")
        self.rebind(2.0)
        self.assertEqual([asked.items for asked in self.http.asked], [["a"], ["b"]])
        self.next().take()
        self.next().take()
        self.assertEqual(sorted(map(str, self.owner.answers)), ["a", "b"])
        self.settled()

    def test_an_answer_that_never_comes_leaves_the_parts_in_doubt(self) -> None:
        self.send("a")
        silent = self.next()
        self.clock.advance(TIMEOUT_SECONDS + 1)
        self.assertTrue(silent.cancelled)
        self.assertEqual(self.next().items, ["a"])

    def test_half_an_answer_and_one_that_never_ends_are_closed_and_leave_the_parts_in_doubt(self) -> None:
        for body in (None, b"x" * (ANSWER_BYTES + 1)):
            with self.subTest(body=body and len(body)):
                self.send("a")
                response = Response(202, body)
                self.next().done.callback(response)
                self.clock.advance(TIMEOUT_SECONDS + 1)
                self.assertTrue(response.closed)
                again = self.next()
                self.assertEqual(again.items, ["a"])
                again.take()
                self.owner.answers.clear()
        self.settled()

    def test_an_answer_that_makes_no_sense_is_none(self) -> None:
        for nonsense in (
            b"",
            b"<html>",
            b"{}",
            b"[]",
            b"[7]",
            b'[{"id": 7}]',
            b'[{"id": "1"}, {"id": "2"}]',
            b"[{}]",
            b'[{"status": 200}]',
            b'[{"status": "422"}]',
            json.dumps([{"id": "x" * 65}]).encode(),
            b'[{"id": "\\ud800"}]',
            b'[{"id": "\xff"}]',
            b'[{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        ):
            with self.subTest(nonsense=nonsense[:30]):
                self.send("a")
                self.next().answer(202, nonsense)
                again = self.next()
                self.assertEqual((again.items, self.owner.answers), (["a"], {}))
                again.take()
                self.owner.answers.clear()
        self.flushLoggedErrors()
        self.settled()

    def test_while_posts_fail_the_pauses_grow_although_the_account_answers(self) -> None:
        self.send("a")
        self.next().answer(502)
        for pause_seconds in (2.0, 4.0, 8.0):
            self.next().answer(502)
            self.turn()
            self.clock.advance(pause_seconds - 0.01)
            self.turn()
            self.assertEqual(len(self.http.asked), 0, pause_seconds)
            self.rebind(0.02)
        self.next().take()
        self.assertEqual(self.owner.answers["a"], (c.ESME_ROK, b"id-a"))
        self.settled()

    def test_while_posts_fail_they_get_smaller_and_large_again_when_one_succeeds(self) -> None:
        sizes: list[int] = []
        failing = True

        def answer(asked: QueryOutcome) -> Response:
            if asked.method == "GET":
                return Response(200, b"{}")
            if len(asked.items) not in sizes:
                sizes.append(len(asked.items))
            return (
                Response(502) if failing else Response(202, json.dumps([{"id": name} for name in asked.items]).encode())
            )

        self.http.at_once = answer
        names = [f"{n}" for n in range(ITEMS_A_POST)]
        self.send(*names)
        for _ in range(4):
            self.clock.advance(1000.0)
            self.turn()
        self.assertEqual(sizes[:4], [ITEMS_A_POST >> n for n in range(4)])
        failing = False
        self.clock.advance(1000.0)
        self.turn()
        self.assertEqual(len(self.owner.answers), ITEMS_A_POST)
        sizes.clear()
        self.send(*(f"more-{name}" for name in names))
        self.assertEqual(sizes, [ITEMS_A_POST])
        self.settled()

    def test_the_link_decides_on_a_part_in_doubt_whose_validity_ends(self) -> None:
        self.send("a", "b")
        self.next().answer(500)
        self.expired.add("a")
        self.next().answer(500)
        self.rebind(2.0)
        self.assertEqual(self.next().items, ["b"])
        self.assertEqual((self.owner.in_doubt, self.owner.given_back), (["a"], []))

    def test_a_part_that_expires_in_doubt_does_not_delay_the_parts_that_wait(self) -> None:
        self.send("a")
        post = self.next()
        self.expired.add("a")
        post.answer(500)
        self.send("b")
        self.assertEqual(self.next().items, ["b"])
        self.assertEqual(self.owner.in_doubt, ["a"])

    def test_a_409_is_waited_out(self) -> None:
        self.send("a")
        self.next().answer(409, b"", Retry_After="3")
        self.clock.advance(2.9)
        self.turn()
        self.assertEqual(len(self.http.asked), 0)
        self.clock.advance(0.2)
        again = self.next()
        self.assertEqual((again.items, self.owner.up), (["a"], True))
        again.take()
        self.settled()

    def test_429_and_503_put_off_all_that_waits_for_as_long_as_they_say(self) -> None:
        for code, command_status in ((429, c.ESME_RTHROTTLED), (503, c.ESME_RMSGQFUL)):
            with self.subTest(code=code):
                for n in range(POSTS):
                    self.send(f"{code}-{n}")
                self.send("waits")
                self.next().answer(code, b"", Retry_After="7")
                self.assertEqual(self.owner.answers[f"{code}-0"], (command_status, b""))
                self.assertEqual((self.owner.paused[-1], self.owner.given_back), (7.0, ["waits"]))
                self.assertTrue(self.owner.up)
                self.owner.given_back.clear()
                for _ in range(POSTS - 1):
                    self.next().take()
        self.turn()
        self.assertEqual(len(self.http.asked), 0)
        self.settled()

    def test_a_retry_after_is_read_as_far_as_it_makes_sense(self) -> None:
        in_a_minute = "Tue, 14 Nov 2023 22:14:20 GMT"
        for value, seconds in (
            ("0", 0.0),
            ("soon", 0.0),
            ("\u00b2", 0.0),
            ("-5", 0.0),
            ("9" * 400, LONGEST_PAUSE_SECONDS),
            (in_a_minute, 60.0),
        ):
            with self.subTest(value=value[:40]):
                self.send("a")
                self.next().answer(503, b"", Retry_After=value)
                self.assertEqual(self.owner.paused[-1], seconds)
                self.owner.answers.clear()

    def test_one_part_that_spoils_a_whole_request_is_found_and_costs_the_others_nothing(self) -> None:
        for code in (400, 413, 422):
            with self.subTest(code=code):

                def spoilt(asked: QueryOutcome, code: int = code) -> Response:
                    if "bad" in asked.items:
                        return Response(code)
                    return Response(202, json.dumps([{"id": name} for name in asked.items]).encode())

                self.http.at_once = spoilt
                names = [f"{n}" for n in range(20)]
                self.send(*names[:13], "bad", *names[13:])
                self.assertEqual({self.owner.answers.pop(name) for name in names},
                                 {(c.ESME_ROK, name.encode()) for name in names})  # fmt: skip
                self.assertEqual(self.owner.answers.pop("bad"), (c.ESME_RSUBMITFAIL, b""))
        self.http.at_once = None
        self.assertTrue(self.owner.up)
        self.settled()

    def test_a_half_that_is_in_doubt_is_posted_again_and_no_other(self) -> None:
        self.send("a", "b", "c", "d")
        self.next().answer(413)
        self.next().done.errback(LOST_IN_BETWEEN)
        second_half = self.next()
        self.assertEqual(second_half.items, ["c", "d"])
        second_half.take()
        again = self.next()
        self.assertEqual(again.items, ["a", "b"])
        again.take()
        self.assertEqual(len(self.owner.answers), 4)
        self.settled()

    def test_a_refusal_of_another_kind_gives_the_parts_back_and_asks_for_the_account(self) -> None:
        for code in (301, 401, 403, 404, 405, 200):
            with self.subTest(code=code):
                self.send("a")
                self.next().answer(code)
                self.assertEqual((self.owner.given_back, self.owner.up), (["a"], False))
                self.owner.given_back.clear()
                self.turn()
                if not self.http.asked:
                    # Not the first failure in a row: after a pause.
                    self.clock.advance(1000.0)
                self.rebind()
                self.assertEqual(self.owner.answers, {})
        self.settled()

    def test_a_stop_says_of_each_part_whether_it_may_have_been_taken(self) -> None:
        for n in range(POSTS):
            self.send(f"posted-{n}")
        self.send("waits")
        posts = list(self.http.asked)
        self.session.stop()
        self.assertEqual(sorted(map(str, self.owner.in_doubt)), [f"posted-{n}" for n in range(POSTS)])
        self.assertEqual(self.owner.given_back, ["waits"])
        self.assertTrue(all(post.cancelled for post in posts))
        self.turn()
        self.assertEqual((self.owner.answers, self.clock.getDelayedCalls()), ({}, []))

    def test_a_stop_while_something_is_in_doubt_or_waits_out_a_409_reports_it_once(self) -> None:
        self.send("a")
        self.next().answer(409)
        self.send("b")
        self.next().answer(500)
        self.next().answer(500)
        self.session.stop()
        self.turn()
        self.assertEqual(sorted(map(str, self.owner.in_doubt)), ["a", "b"])
        self.assertEqual((self.owner.given_back, self.clock.getDelayedCalls()), ([], []))

    def test_a_mistake_of_our_own_costs_no_part(self) -> None:
        self.send("a")
        self.next().answer("no number")  # type: ignore[arg-type]
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        again = self.next()
        self.assertEqual(again.items, ["a"])
        again.take()
        self.settled()
