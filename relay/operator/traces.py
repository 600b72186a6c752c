"""Traces: what goes between the relay and one carrier or account for some minutes, as lines without secrets.

Theory of operation: a trace is a `WireTap`. It writes each PDU and each HTTP request as a line when it comes, and keeps
only the lines, in memory. It ends by itself when its time is over, or when it has too many lines. While it runs, it
looks every second whether a reload has replaced the carrier's link. While no trace runs, this costs nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from relay.carriers.draining import DrainingCarriers
from relay.carriers.link import CarrierLink
from relay.customers.smpp_sessions import CustomerSessions
from relay.operator.trace_lines import Kind, TraceLine, TraceView
from relay.operator.trace_words import pdu_words, request_words

MOST_MINUTES: Final = 60.0
#: The most lines of a trace, and the most characters in them. A busy carrier fills a trace within seconds.
MOST_LINES: Final = 20_000
MOST_CHARACTERS: Final = 4_000_000
#: Traces that may run at once. Each takes a part of the reactor's time.
MOST_RUNNING: Final = 2
#: Traces that are kept after their end; the oldest goes first.
KEPT: Final = 5
_FOLLOW_SECONDS: Final = 1.0
#: A PDU with a larger command_length is none.
_MOST_PDU_BYTES: Final = 1_048_576
_HEADER_OCTETS: Final = 16


class TraceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for a trace.

    :ivar reason: for the record of operators' actions.
    """

    minutes: float = 5.0
    reason: str = ""


class TraceRefused(Exception):
    """The trace can't begin. The text says why."""


class Trace:
    """What goes between the relay and one carrier or account. It is the `WireTap` of their connections.

    :param full: called once, when it has too many lines.
    """

    log = Logger()

    def __init__(
        self,
        number: int,
        kind: Kind,
        name: str,
        by: str,
        seconds: Callable[[], float],
        ends_at: float,
        full: Callable[["Trace"], None],
        most_lines: int = MOST_LINES,
    ) -> None:
        self.number = number
        self.kind = kind
        self.name = name
        self.lines: list[TraceLine] = []
        self.ended = ""
        self._by = by
        self._seconds = seconds
        self._began_at = seconds()
        self.ends_at = ends_at
        self._full = full
        self._most_lines = most_lines
        self._characters = 0
        self._connections = 0
        self._requests = 0
        #: The octets of a PDU whose rest has not come, by connection and way. None: they can't be divided into PDUs.
        self._unfinished: dict[tuple[str, bool], bytes | None] = {}

    @property
    def view(self) -> TraceView:
        """The trace without its lines."""
        return TraceView(
            self.number, self.kind, self.name, self._by, self._began_at, self.ends_at, self.ended, len(self.lines)
        )

    # WireTap

    def opened(self, what: str) -> str:
        self._connections += 1
        name = f"c{self._connections}"
        self._add(name, "", what)
        return name

    def octets(self, connection: str, data: bytes, *, sent: bool) -> None:
        key = (connection, sent)
        before = self._unfinished.get(key, b"")
        if self.ended or before is None:
            return
        way: Literal["sent", "received"] = "sent" if sent else "received"
        data = before + data
        at = 0
        while len(data) - at >= _HEADER_OCTETS:
            length = int.from_bytes(data[at : at + 4], "big")
            if not _HEADER_OCTETS <= length <= _MOST_PDU_BYTES:
                self._add(connection, way, f"octets that are no PDU: command_length {length}")
                self._unfinished[key] = None
                return
            if at + length > len(data):
                break
            self._add(connection, way, self._written(pdu_words, data[at : at + length]))
            at += length
        self._unfinished[key] = data[at:]

    def note(self, connection: str, what: str) -> None:
        self._add(connection, "", what)

    def request(self, method: str, url: str, headers: Mapping[bytes, Sequence[bytes]], body: bytes | None) -> str:
        self._requests += 1
        name = f"h{self._requests}"
        self._add(name, "sent", self._written(request_words, method, url, headers, body))
        return name

    def answer(self, request: str, what: str, seconds: float) -> None:
        self._add(request, "received", f"answer: {what}, after {seconds:.3f} s")

    # Lines

    def _written(self, words: Callable[..., str], *arguments: object) -> str:
        try:
            return words(*arguments)
        except Exception:
            # A trace must never disturb what it is about.
            self.log.failure("trace_line_failed: a line of a trace could not be written")
            return "a line that could not be written; the log says why"

    def _add(self, connection: str, way: Literal["sent", "received", ""], text: str) -> None:
        if self.ended:
            return
        self.lines.append(TraceLine(self._seconds(), connection, way, text))
        self._characters += len(text)
        if len(self.lines) >= self._most_lines or self._characters >= MOST_CHARACTERS:
            self.finish("it is full")
            self._full(self)

    def finish(self, why: str) -> None:
        """Takes no more lines. A second call does nothing."""
        if not self.ended:
            self.lines.append(TraceLine(self._seconds(), "", "", f"the trace ends: {why}"))
            self.ended = why


class Traced(Protocol):
    """The parts of the daemon that can be traced."""

    links: dict[str, CarrierLink]
    draining_carriers: DrainingCarriers
    sessions: CustomerSessions
    webhooks: Any


class Traces:
    """Begins and ends traces, and keeps the latest.

    :param clock: the reactor's time.
    :param most_lines: the most lines of a trace, see `MOST_LINES`.
    """

    def __init__(self, daemon: Traced, clock: Any, most_lines: int = MOST_LINES) -> None:
        self._most_lines = most_lines
        self._daemon = daemon
        self._clock = clock
        self._numbers = 0
        self._traces: dict[int, Trace] = {}
        #: The traces that get lines, by number, each with the link that gives them; None: it is an account's.
        self._tapped: dict[int, CarrierLink | None] = {}
        self._timer: IDelayedCall | None = None

    @property
    def all(self) -> list[TraceView]:
        """The traces that run or are kept, the newest first."""
        return [trace.view for trace in reversed(self._traces.values())]

    def find(self, number: int) -> Trace | None:
        """The trace with this number; None: there is none, or it is kept no more."""
        return self._traces.get(number)

    def check(self, kind: Kind, name: str, minutes: float) -> None:
        """Checks whether a trace could begin now.

        :raises TraceRefused: it could not.
        """
        if not 0.0 < minutes <= MOST_MINUTES:
            raise TraceRefused(f"a trace takes more than 0 and at most {MOST_MINUTES:g} minutes, not {minutes:g}")
        running = [trace for trace in self._traces.values() if not trace.ended]
        for trace in running:
            if (trace.kind, trace.name) == (kind, name):
                raise TraceRefused(f"trace {trace.number} of {name} runs already; end it first")
        if len(running) >= MOST_RUNNING:
            numbers = " and ".join(str(trace.number) for trace in running)
            raise TraceRefused(f"traces {numbers} run already, and no more may run at once; end one first")

    def begin(self, kind: Kind, name: str, minutes: float, by: str) -> TraceView:
        """Begins to trace a carrier or an account.

        :param by: the operator's name.
        :raises TraceRefused: see `check`.
        """
        self.check(kind, name, minutes)
        self._numbers += 1
        seconds = self._clock.seconds
        trace = Trace(
            self._numbers, kind, name, by, seconds, seconds() + minutes * 60.0, self._is_full, self._most_lines
        )
        for old in self._traces.values():
            if old.ended:
                self._untap(old)
        self._traces[trace.number] = trace
        self._tapped[trace.number] = None
        if kind == "account":
            self._daemon.sessions.tap(name, trace)
            self._daemon.webhooks.tap(name, trace)
        self._follow()
        ended = [number for number, each in self._traces.items() if each.ended]
        for over in ended[: max(0, len(ended) - KEPT)]:
            del self._traces[over]
        return trace.view

    def end(self, number: int, why: str) -> None:
        """Ends a trace. Does nothing if it has ended.

        :param why: the reason, in words.
        """
        trace = self._traces.get(number)
        if trace is not None:
            trace.finish(why)
            self._untap(trace)

    def _untap(self, trace: Trace) -> None:
        if trace.number not in self._tapped:
            return
        link = self._tapped.pop(trace.number)
        if trace.kind == "account":
            self._daemon.sessions.tap(trace.name, None)
            self._daemon.webhooks.tap(trace.name, None)
        elif link is not None:
            link.tap(None)

    def stop(self) -> None:
        """Ends all traces."""
        for number in tuple(self._traces):
            self.end(number, "the relay stops")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_full(self, trace: Trace) -> None:
        # A connection is in the middle of its work. The tap is taken away when that is done.
        self._clock.callLater(0, self._untap, trace)

    def _follow(self) -> None:
        """Ends the traces whose time is over, and lets the others follow a carrier whose link a reload has replaced."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        now = self._clock.seconds()
        for trace in tuple(self._traces.values()):
            if trace.ended:
                continue
            if now >= trace.ends_at:
                self.end(trace.number, "its time is over")
            elif trace.kind == "carrier":
                self._follow_link(trace)
        running = [trace.ends_at for trace in self._traces.values() if not trace.ended]
        if running:
            self._timer = self._clock.callLater(max(0.0, min(_FOLLOW_SECONDS, min(running) - now)), self._follow)

    def _follow_link(self, trace: Trace) -> None:
        link = self._daemon.links.get(trace.name) or self._daemon.draining_carriers.link(trace.name)
        before = self._tapped[trace.number]
        if link is before:
            return
        if before is not None:
            before.tap(None)
            trace.note("", "a reload has replaced the carrier's connections" if link else "the carrier was removed")
        self._tapped[trace.number] = link
        if link is not None:
            link.tap(trace)
