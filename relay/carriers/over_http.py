"""Keeps the parts that a session over HTTP has taken, and reports about each of them once.

Theory of operation: a part waits, then it is in a request that is under way, then it is reported. Whoever learns what
became of parts takes them out of their request's list. Parts that are left in the list when the request is over, or at
a stop, have no report yet.
"""

from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.carriers.session_api import Request, SessionReports
from relay.values import smpp_constants as c
from relay.values.pdus import Answered
from relay.values.wire_tap import WireTap


class SessionOverHttp:
    """What the sessions with carriers over HTTP have in common. Each is a `CarrierSession` and its `SessionKeeper`.

    :param reports: the link.
    """

    log = Logger()

    def __init__(self, reports: SessionReports, clock: IReactorTime) -> None:
        self.outstanding = 0
        #: Nobody asks: no query_sm and no cancel_sm go over HTTP.
        self.heard_at = 0.0
        self._reports = reports
        self._clock = clock
        #: The link's parts that are in no request yet.
        self._waiting: deque[Request] = deque()
        #: The parts of each request that is under way.
        self._under_way: dict[Deferred[None], list[Request]] = {}
        self._filling: IDelayedCall | None = None
        self._bound = False
        self._stopped = False
        #: Gets a copy of all requests; None: nobody traces the carrier.
        self._tap: WireTap | None = None

    def tap(self, tap: WireTap | None) -> None:
        """See `SessionKeeper`."""
        self._tap = tap

    def start(self) -> None:
        """See `SessionKeeper`."""
        raise NotImplementedError

    def stop(self) -> "Deferred[None]":
        """See `SessionKeeper`."""
        raise NotImplementedError

    def _end(self, doubtful: list[Request]) -> "Deferred[None]":
        """Ends all requests, for `stop`. Parts under way are reported as lost, and those that wait as unsent.

        :param doubtful: further parts that a carrier may have.
        """
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
        was_bound, self._bound = self._bound, False
        unsent = self._take_waiting()
        for asking, batch in tuple(self._under_way.items()):
            doubtful += taken_out(batch)
            asking.cancel()
        self.outstanding = 0
        if was_bound:
            self._reports.lost(self, _tokens(doubtful), "closed by us")
        elif doubtful:
            self._reports.unanswered(self, _tokens(doubtful))
        if unsent:
            self._reports.unsent(self, _tokens(unsent))
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def unbind(self) -> None:
        """Does nothing: HTTP has no unbind. `stop` ends the session."""

    def _unbound(self, reason: str) -> None:
        """Takes no more parts from the link, and gives back those that wait."""
        if self._bound:
            self._bound = False
            self._reports.lost(self, (), reason)
        self._give_back(self._take_waiting())

    # Sending

    @property
    def takes_messages(self) -> bool:
        """Always true: parts may be sent over it."""
        return True

    @property
    def brings_receipts(self) -> bool:
        """Always false: receipts come to the HTTP listener."""
        return False

    @property
    def room(self) -> int:
        """How many more parts it can take."""
        raise NotImplementedError

    def send(self, command_id: int, batch: Sequence[Request]) -> None:
        """Takes parts. Each will be reported once: as answered, unsent, unanswered or lost."""
        self.outstanding += len(batch)
        self._waiting.extend(batch)
        self._fill_soon()

    def sending(self) -> Sequence[object]:
        """The tokens of the parts that have no answer yet, also while it isn't bound."""
        return _tokens([*self._waiting, *(part for batch in self._under_way.values() for part in batch)])

    def _fill_soon(self) -> None:
        # It never runs inside the link's own loop, because reports must not come while the link is in that loop.
        if self._filling is None and not self._stopped:
            self._filling = self._clock.callLater(0, self._fill_now)

    def _fill_now(self) -> None:
        self._filling = None
        self._fill()

    def _fill(self) -> None:
        """Begins as many requests as are allowed, if it is bound."""
        raise NotImplementedError

    def _begin(self, request: Coroutine["Deferred[Any]", Any, None], batch: list[Request]) -> None:
        """Begins a request, which takes the parts that it reports out of `batch`."""
        asking = Deferred.fromCoroutine(request)
        self._under_way[asking] = batch
        asking.addErrback(self._broken)
        asking.addCallback(self._over, asking)

    def _over(self, result: object, asking: "Deferred[None]") -> None:
        left = self._under_way.pop(asking)
        if left:
            # Only an error in our own code leaves parts here. It must not lose messages.
            self._left_over(left)
        self._fill_soon()

    def _left_over(self, batch: list[Request]) -> None:
        """Handles parts that a request has left without a report."""
        raise NotImplementedError

    def _broken(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("carrier_http_broken: an error in the relay itself", failure=failure)

    # Reports to the link

    def _answer_all(self, batch: list[Request], command_status: int) -> None:
        self._answer([Answered(token, c.SUBMIT_SM_RESP, command_status, b"") for _, token in batch])

    def _answer(self, answers: list[Answered]) -> None:
        if not self._stopped:
            self.outstanding -= len(answers)
            self._reports.answered(self, answers)

    def _unanswered(self, batch: list[Request]) -> None:
        if not self._stopped:
            self.outstanding -= len(batch)
            self._reports.unanswered(self, _tokens(batch))

    def _give_back(self, batch: list[Request]) -> None:
        if batch and not self._stopped:
            self.outstanding -= len(batch)
            self._reports.unsent(self, _tokens(batch))

    def _take_waiting(self) -> list[Request]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting


def _tokens(batch: Iterable[Request]) -> list[object]:
    return [token for _, token in batch]


def taken_out(batch: list[Request]) -> list[Request]:
    """Empties the list. Returns what was in it."""
    taken = list(batch)
    batch.clear()
    return taken
