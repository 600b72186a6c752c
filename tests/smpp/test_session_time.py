"""The session's rules about time, with plain numbers as times."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp.session import Role, Session, SessionLimits, SessionState
from relay.values import smpp_constants as c
from relay.values.pdus import BindRefused, Ended, PeerUnbound, Unanswered
from tests.smpp.pairs import bound_session
from tests.smpp.strategies import frame, frames_in
from tests.smpp.test_session import BIND_BODY, BODY, replies, sent_number


class BindTimeTests(SynchronousTestCase):
    def test_a_connection_that_does_not_bind_in_time_ends(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 100.0)
        self.assertEqual(session.deadline, 110.0)
        self.assertEqual(session.check_time(109.9), [])
        self.assertEqual(session.check_time(110.0), [Ended("no bind within 10 s")])
        self.assertEqual((session.state, session.deadline), (SessionState.CLOSED, None))

    def test_enquire_links_and_refused_binds_do_not_buy_time(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 100.0)
        (request,) = session.receive(frame(c.BIND_RECEIVER, 1, BIND_BODY), 109.0)
        session.refuse_bind(request, c.ESME_RINVPASWD)
        session.receive(frame(c.ENQUIRE_LINK, 2), 109.0)
        self.assertEqual(len(session.check_time(110.0)), 1)

    def test_a_bind_of_ours_that_is_not_answered_in_time_is_refused(self) -> None:
        session = Session(Role.CLIENT, SessionLimits(), 100.0)
        session.bind(c.BIND_RECEIVER, "relay", "secret", now=105.0)
        self.assertEqual(session.deadline, 115.0)
        self.assertEqual(session.check_time(115.0), [BindRefused(c.ESME_RBINDFAIL)])
        self.assertEqual(session.state, SessionState.CLOSED)

    def test_without_a_bind_timeout_nothing_is_timed(self) -> None:
        session = Session(Role.SERVER, SessionLimits(bind_timeout_seconds=0.0), 100.0)
        self.assertIsNone(session.deadline)
        self.assertEqual(session.check_time(1e9), [])


class ProbeTests(SynchronousTestCase):
    """What frees the place of a peer that is frozen."""

    def test_a_peer_that_does_not_answer_a_probe_is_gone(self) -> None:
        session = bound_session(Role.SERVER, limits=SessionLimits(enquire_link_seconds=0.0))
        session.probe(100.0, 5.0)
        self.assertEqual([command for command, _, _, _ in frames_in(session.take_output())], [c.ENQUIRE_LINK])
        self.assertEqual((session.deadline, session.check_time(104.9)), (105.0, []))
        (ended,) = session.check_time(105.0)
        assert isinstance(ended, Ended)
        self.assertTrue(ended.peer_gone)

    def test_a_peer_that_says_anything_after_a_probe_stays(self) -> None:
        session = bound_session(Role.SERVER, limits=SessionLimits(enquire_link_seconds=0.0))
        session.probe(100.0, 5.0)
        session.receive(frame(c.ENQUIRE_LINK_RESP, 1), 101.0)
        self.assertEqual((session.check_time(105.0), session.deadline), ([], None))

    def test_a_second_probe_waits_for_the_first(self) -> None:
        session = bound_session(Role.SERVER)
        session.probe(10.0, 5.0)
        session.take_output()
        session.probe(12.0, 5.0)
        self.assertEqual((session.take_output(), session.deadline), (b"", 15.0))


class EnquireLinkTests(SynchronousTestCase):
    def test_a_silent_peer_is_asked_twice_and_given_up_at_the_third_silence(self) -> None:
        session = bound_session(Role.SERVER, now=100.0)
        session.request(c.DELIVER_SM, [(BODY, "token")], 100.0)
        session.take_output()
        self.assertEqual(session.deadline, 130.0)
        self.assertEqual(session.check_time(129.0), [])
        self.assertEqual(session.take_output(), b"")
        for now in (130.0, 160.0):
            self.assertEqual([e for e in session.check_time(now) if isinstance(e, Ended)], [])
            self.assertEqual([command for command, _, _ in replies(session)], [c.ENQUIRE_LINK])
            self.assertEqual(session.deadline, now + 30.0)
        self.assertEqual(session.check_time(190.0), [Ended("2 enquire_link were not answered", peer_gone=True)])

    def test_silence_counts_from_the_bind_and_not_from_the_connection(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 100.0)
        (request,) = session.receive(frame(c.BIND_TRANSCEIVER, 1, BIND_BODY), 105.0)
        session.accept_bind(request, "relay", 108.0)
        self.assertEqual(session.deadline, 138.0)

    def test_any_complete_pdu_is_a_sign_of_life(self) -> None:
        for pdu in (frame(c.ENQUIRE_LINK_RESP, 99), frame(c.ENQUIRE_LINK, 5), frame(c.SUBMIT_SM, 6, BODY)):
            session = bound_session(Role.SERVER, now=100.0)
            session.check_time(130.0)
            session.check_time(160.0)
            session.receive(pdu, 170.0)
            session.take_output()
            self.assertEqual(session.check_time(190.0), [])
            self.assertEqual((session.take_output(), session.deadline), (b"", 200.0))

    def test_a_peer_that_drips_octets_is_not_alive(self) -> None:
        session = bound_session(Role.SERVER, now=0.0)
        ended = []
        for now in range(1, 91):
            session.receive(b"\0\0\4\0"[now - 1 : now] or b"\0", float(now))
            ended += session.check_time(float(now))
        self.assertEqual(ended, [Ended("2 enquire_link were not answered", peer_gone=True)])

    def test_a_busy_peer_is_never_asked(self) -> None:
        session = bound_session(Role.CLIENT)
        for now in range(1, 300):
            session.receive(frame(c.ENQUIRE_LINK, now), float(now))
            session.check_time(float(now))
        self.assertEqual({command for command, _, _ in replies(session)}, {c.ENQUIRE_LINK_RESP})

    def test_zero_seconds_means_never(self) -> None:
        session = bound_session(Role.CLIENT, limits=SessionLimits(enquire_link_seconds=0.0))
        self.assertIsNone(session.deadline)
        self.assertEqual(session.check_time(1e9), [])


class InactivityTests(SynchronousTestCase):
    limits = SessionLimits(inactivity_seconds=100.0)

    def test_a_peer_that_only_answers_enquire_link_is_inactive(self) -> None:
        session = bound_session(Role.SERVER, limits=self.limits)
        for now in (30.0, 60.0, 90.0):
            self.assertEqual(session.check_time(now), [])
            session.receive(frame(c.ENQUIRE_LINK_RESP, sent_number(session)), now)
        self.assertEqual(session.check_time(99.0), [])
        self.assertEqual(session.deadline, 100.0)
        self.assertEqual(session.check_time(100.0), [Ended("inactive for 100 s")])

    def test_anything_else_is_activity(self) -> None:
        for pdu in (frame(c.ENQUIRE_LINK, 1), frame(c.SUBMIT_SM, 1, BODY), frame(c.DELIVER_SM_RESP, 1)):
            session = bound_session(Role.SERVER, limits=self.limits)
            session.receive(pdu + frame(c.ENQUIRE_LINK_RESP, 9), 90.0)
            self.assertEqual(session.check_time(189.0), [])
            self.assertEqual([type(event) for event in session.check_time(190.0)], [Ended])

    def test_a_carrier_is_never_inactive(self) -> None:
        session = bound_session(Role.CLIENT, limits=SessionLimits(inactivity_seconds=1.0, enquire_link_seconds=0.0))
        self.assertEqual(session.check_time(1e6), [])


class ResponseTimeTests(SynchronousTestCase):
    limits = SessionLimits(enquire_link_seconds=0.0)

    def test_requests_are_given_up_in_their_order_when_their_time_is_up(self) -> None:
        session = bound_session(Role.CLIENT, limits=self.limits)
        session.request(c.SUBMIT_SM, [(BODY, "a"), (BODY, "b")], 10.0)
        session.request(c.SUBMIT_SM, [(BODY, "c")], 20.0)
        self.assertEqual(session.deadline, 70.0)
        self.assertEqual(session.check_time(69.9), [])
        self.assertEqual(session.check_time(70.0), [Unanswered("a"), Unanswered("b")])
        self.assertEqual((session.deadline, session.outstanding), (80.0, 1))
        self.assertEqual(session.check_time(100.0), [Unanswered("c")])
        self.assertIsNone(session.deadline)
        self.assertEqual(list(session.connection_lost()), [])

    def test_an_answered_request_is_not_given_up(self) -> None:
        session = bound_session(Role.CLIENT, limits=self.limits)
        session.request(c.SUBMIT_SM, [(BODY, "a")], 10.0)
        session.receive(frame(c.SUBMIT_SM_RESP, sent_number(session), b"id\0"), 11.0)
        self.assertEqual(session.check_time(70.0), [])

    def test_a_request_brings_the_deadline_nearer_where_nothing_waited(self) -> None:
        session = bound_session(Role.CLIENT, limits=SessionLimits(response_timeout_seconds=5.0))
        self.assertEqual(session.deadline, 30.0)
        session.request(c.SUBMIT_SM, [(BODY, "a")], 1.0)
        self.assertEqual(session.deadline, 6.0)

    def test_zero_seconds_means_never(self) -> None:
        limits = SessionLimits(enquire_link_seconds=0.0, response_timeout_seconds=0.0)
        session = bound_session(Role.CLIENT, limits=limits)
        session.request(c.SUBMIT_SM, [(BODY, "a")], 10.0)
        self.assertEqual((session.deadline, session.check_time(1e9)), (None, []))


class UnbindTimeTests(SynchronousTestCase):
    limits = SessionLimits(enquire_link_seconds=0.0)

    def test_an_unbind_that_is_not_answered_ends_the_session(self) -> None:
        session = bound_session(Role.CLIENT, limits=self.limits)
        session.unbind(10.0)
        self.assertEqual(session.deadline, 70.0)
        self.assertEqual(session.check_time(70.0), [Ended("unbind was not answered")])

    def test_a_peer_that_unbinds_does_not_wait_for_ever_for_its_answers(self) -> None:
        session = bound_session(Role.SERVER, limits=self.limits)
        session.receive(frame(c.SUBMIT_SM, 1, BODY) + frame(c.UNBIND, 2), 10.0)
        self.assertEqual(session.deadline, 70.0)
        self.assertEqual(session.check_time(69.0), [])
        self.assertEqual(session.check_time(70.0), [PeerUnbound()])
        self.assertEqual(replies(session), [(c.UNBIND_RESP, "ESME_ROK", 2)])


class DeadlineTests(SynchronousTestCase):
    @given(
        st.sampled_from(Role),
        st.lists(
            st.tuples(st.sampled_from(["send", "answer", "hear", "ask", "check"]), st.floats(0.1, 40.0)), max_size=30
        ),
    )
    def test_a_session_that_is_checked_only_at_its_deadlines_misses_nothing(
        self, role: Role, steps: list[tuple[str, float]]
    ) -> None:
        """A session that is asked the time at its deadlines only says what one says that is asked all the time."""
        limits = SessionLimits(
            window=1000, response_timeout_seconds=17.0, enquire_link_seconds=11.0, inactivity_seconds=90.0
        )
        lazy, eager = (bound_session(role, limits=limits) for _ in range(2))
        lazy_said, eager_said = [], []
        now = 0.0
        for kind, seconds in steps:
            now += seconds
            while lazy.deadline is not None and lazy.deadline <= now:
                due_at = lazy.deadline
                lazy_said += lazy.check_time(due_at)
                eager_said += eager.check_time(due_at)
                self.assertTrue(lazy.deadline is None or lazy.deadline > due_at)
            eager_said += eager.check_time(now)
            for session in (lazy, eager):
                if kind == "send" and session.can_send:
                    session.request(c.SUBMIT_SM, [(BODY, now)], now)
                elif kind == "answer":
                    for number in list(session._window.waiting)[:1]:
                        session.receive(frame(c.SUBMIT_SM_RESP, number), now)
                elif kind == "hear":
                    session.receive(frame(c.ENQUIRE_LINK_RESP, 1), now)
                elif kind == "ask":
                    session.receive(frame(c.ENQUIRE_LINK, 1), now)
            self.assertEqual(lazy_said, eager_said)
            self.assertEqual(lazy.state, eager.state)
        self.assertEqual(
            [command for command, _, _, _ in frames_in(lazy.take_output())],
            [command for command, _, _, _ in frames_in(eager.take_output())],
        )
