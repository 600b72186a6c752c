"""Traces: they have what goes over the connections of a carrier or an account, and end by themselves."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.operator.traces import KEPT, MOST_RUNNING, Trace, TraceRefused, Traces
from relay.values import smpp_constants as c
from tests.carriers.test_link import CarrierLinkTestCase
from tests.customers.test_smpp_sessions import SUBMIT, SessionTestCase
from tests.fakes import bind_body, pdu


class Taps:
    """Stands for the sessions and the webhooks of accounts."""

    def __init__(self) -> None:
        self.taps: dict[str, object] = {}

    def tap(self, account: str, tap: object) -> None:
        self.taps[account] = tap


def daemon_of(links: dict[str, Any], sessions: object) -> Any:
    """What traces need of a daemon."""
    draining = SimpleNamespace(link=lambda name: None)
    return SimpleNamespace(links=links, draining_carriers=draining, sessions=sessions, webhooks=Taps())


def texts(trace: Trace | None) -> list[str]:
    """The lines of a trace, without their times."""
    assert trace is not None
    return [" ".join(filter(None, (line.connection, line.way, line.text))) for line in trace.lines]


class CarrierTraceTests(CarrierLinkTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.traces = Traces(daemon_of(self.links, Taps()), self.clock)

    def assert_lines(self, wanted: Sequence[str], number: int = 1) -> None:
        lines = texts(self.traces.find(number))
        at = -1
        for text in wanted:
            at = next((n for n, line in enumerate(lines) if n > at and text in line), -2)
            self.assertGreater(at, -1, f"{text!r} is missing after the others in {lines}")

    def test_it_has_the_pdus_of_a_message_in_both_ways(self) -> None:
        self.link()
        self.traces.begin("carrier", "sim", 5.0, "alice")
        self.submit()
        self.turn(1.0)
        self.assert_lines(
            [
                "c1 a connection for bind_transceiver",
                "c1 sent submit_sm ",
                "c1 received submit_sm_resp ",
                "c1 received deliver_sm 1: ",
                "c1 sent deliver_sm_resp 1: ESME_ROK",
            ]
        )

    def test_it_has_the_bind_of_a_later_connection_and_why_the_earlier_one_ended(self) -> None:
        self.link()
        self.traces.begin("carrier", "sim", 5.0, "alice")
        self.network.cut("sim")
        self.turn(3.0)
        self.turn(3.0)
        self.assert_lines(["c1 the connection ended", "c2 sent bind_transceiver", "c2 received bind_transceiver_resp"])

    def test_it_ends_when_its_time_is_over_and_leaves_the_connection_as_it_was(self) -> None:
        self.link()
        self.traces.begin("carrier", "sim", 1.0, "alice")
        self.turn(59.0)
        self.assertEqual("", self.traces.all[0].ended)
        self.turn(1.5)
        self.assertEqual("its time is over", self.traces.all[0].ended)
        lines = self.traces.all[0].lines
        self.submit()
        self.turn(1.0)
        self.assertEqual(lines, self.traces.all[0].lines)
        self.assertEqual([], [call for call in self.clock.getDelayedCalls() if "_follow" in repr(call)])

    def test_it_follows_a_carrier_whose_link_a_reload_replaces(self) -> None:
        old = self.link()
        self.traces.begin("carrier", "sim", 5.0, "alice")
        Deferred.fromCoroutine(old.stop(0.0))
        self.turn()
        self.make_link("sim")
        self.turn(1.0)
        self.submit()
        self.assert_lines(["a reload has replaced the carrier's connections", "c2 sent submit_sm"])

    def test_it_ends_when_it_is_full(self) -> None:
        self.traces = Traces(daemon_of(self.links, Taps()), self.clock, most_lines=10)
        self.link()
        self.traces.begin("carrier", "sim", 5.0, "alice")
        self.submit(20)
        self.turn(1.0)
        self.assertEqual("it is full", self.traces.all[0].ended)
        self.assertEqual(11, self.traces.all[0].lines)
        # Another one can begin, and is not ended by the first one's end.
        self.traces.begin("carrier", "sim", 5.0, "alice")
        self.submit()
        self.assert_lines(["sent submit_sm"], number=2)

    def test_a_stop_of_the_relay_ends_it(self) -> None:
        self.link()
        self.traces.begin("carrier", "sim", 5.0, "alice")
        self.traces.stop()
        self.traces.stop()
        self.assertEqual("the relay stops", self.traces.all[0].ended)

    def test_few_run_at_once_and_few_are_kept(self) -> None:
        for name in ("a", "b", "d")[:MOST_RUNNING]:
            self.traces.begin("account", name, 1.0, "alice")
        self.assertRaises(TraceRefused, self.traces.begin, "account", "e", 1.0, "alice")
        self.assertRaises(TraceRefused, self.traces.begin, "account", "a", 1.0, "alice")
        for minutes in (0.0, -1.0, 61.0, float("nan"), float("inf")):
            self.assertRaises(TraceRefused, self.traces.begin, "account", "f", minutes, "alice")
        for number in range(2 * KEPT):
            self.traces.end(number + 1, "alice ended it")
            self.traces.begin("account", f"account{number}", 1.0, "alice")
        running = [trace for trace in self.traces.all if not trace.ended]
        self.assertLessEqual(len(self.traces.all), KEPT + len(running) + 1)
        self.assertEqual(self.traces.all[0].name, f"account{2 * KEPT - 1}")


class AccountTraceTests(SessionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.traces = Traces(daemon_of({}, self.side), self.clock)
        self.traces.begin("account", "acme", 5.0, "alice")
        self.lines = lambda: texts(self.traces.find(1))

    def test_it_has_the_pdus_of_sessions_that_are_bound(self) -> None:
        self.store.durable.callback(None)
        self.protocol.dataReceived(SUBMIT)
        self.assertIn("c1 received submit_sm 7: ", " ".join(self.lines()))
        self.assertIn("c1 sent submit_sm_resp 7: ESME_ROK, message_id ", " ".join(self.lines()))

    def test_a_pdu_that_had_begun_before_the_trace_is_whole_in_it(self) -> None:
        self.traces.end(1, "enough")
        self.protocol.dataReceived(SUBMIT[:20])
        self.traces.begin("account", "acme", 5.0, "alice")
        self.protocol.dataReceived(SUBMIT[20:])
        self.assertIn("c1 received submit_sm 7: from", " ".join(texts(self.traces.find(2))))

    def test_it_has_later_sessions_from_the_response_to_their_bind_on(self) -> None:
        protocol, _ = self.connect()
        bind = pdu(c.BIND_TRANSMITTER, bind_body("acme", "secret08"))
        protocol.dataReceived(bind + pdu(c.ENQUIRE_LINK, sequence_number=2))
        said = " | ".join(self.lines())
        self.assertRegex(said, r"c2 a session from .*, which has sent its bind \| c2 received enquire_link 2")
        self.assertIn("c2 sent bind_transmitter_resp 1: ESME_ROK", said)
        self.assertIn("c2 sent enquire_link_resp 2", said)

    def test_it_says_why_a_bind_was_refused(self) -> None:
        protocol, _ = self.connect()
        protocol.dataReceived(pdu(c.BIND_TRANSMITTER, bind_body("acme", "wrong")))
        self.assertRegex(self.lines()[-1], "a bind from .* was refused: ESME_RBINDFAIL, the password is wrong")

    def test_what_is_no_smpp_is_said_once(self) -> None:
        self.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n")
        self.assertIn("c1 received octets that are no PDU: command_length 1195725856", self.lines())

    def test_after_the_trace_nothing_is_copied(self) -> None:
        self.traces.end(1, "enough")
        count = len(self.lines())
        self.protocol.dataReceived(SUBMIT)
        self.assertEqual(count, len(self.lines()))
        self.assertNotIn("dataReceived", vars(self.protocol))
        self.assertNotIn("take_output", vars(self.protocol.session))


class LineTests(SynchronousTestCase):
    def test_a_line_that_can_not_be_written_disturbs_nothing(self) -> None:
        clock = Clock()
        trace = Trace(1, "account", "acme", "alice", clock.seconds, 60.0, lambda trace: None)
        not_a_url: Any = None
        trace.request("POST", not_a_url, {b"a": not_a_url}, b"")
        self.assertEqual(["h1 sent a line that could not be written; the log says why"], texts(trace))
        self.flushLoggedErrors()
