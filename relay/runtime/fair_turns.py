"""Shares the reactor's turns between the connections of the HTTP listeners.

Theory of operation: one connection may send a thousand requests in one write. If they were handled in one turn of the
reactor, everybody else would wait for the last of them. So a connection works in steps of one request each. If nobody
waits and little time was used lately, a step is done at once. Otherwise the connection waits in a line, and goes on in
a later turn. There are two lines: one for parties that have logged in, one for strangers. In each turn the first line
gets `TURN_SECONDS` and the second a tenth of that; then the reactor serves all other sockets.

A line has parties. All connections of an account are one party. All connections from one network on which nobody has
logged in are one party, too. The party that has used least time comes next (start-time fair queueing). A new party
comes before all that have used some time. So it waits for one step at most, however many other parties there are and
whatever they send.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: The time of one turn of the reactor for parties that have logged in. Another customer's message takes about six turns
#: on its way, so a flood of requests delays it by some 12 ms. A turn itself costs only 0.1 ms.
TURN_SECONDS: Final = 0.002

#: The time of one turn for strangers.
STRANGERS_SECONDS: Final = TURN_SECONDS / 10

#: The least time that a step is counted with: that of the smallest request. So a turn has at most 20 steps, and 2 steps
#: of strangers.
LEAST_SECONDS: Final = 0.0001

#: The part of the time that steps may use at once, outside of the lines. At most the time of one turn is saved up. A
#: stranger's step counts ten times.
AT_ONCE_SHARE: Final = 0.5
STRANGER_FACTOR: Final = TURN_SECONDS / STRANGERS_SECONDS

#: The most parties whose used time is remembered while others wait. If there are more, those that have used least are
#: forgotten.
PARTIES_KEPT: Final = 10_000


class Worker(Protocol):
    """A connection with work to do, step by step.

    :ivar party: the party whose time it uses.
    :ivar stranger: nobody has logged in on it.
    :ivar in_line: whether it waits in a line. Only `FairTurns` may change it.
    """

    party: str
    stranger: bool
    in_line: bool

    def step(self) -> bool:
        """Does one step, and says whether there is another one."""


class _Party:
    """The workers of one party that wait in line, and how much time the party has used."""

    __slots__ = ("used", "workers")

    def __init__(self, used: float) -> None:
        self.used = used
        self.workers: deque[Worker] = deque()


class _Line:
    """The parties that wait, ordered by the time that they have used."""

    def __init__(self) -> None:
        self.waiting: dict[str, _Party] = {}
        #: The parties that wait, least used first. The number keeps equal parties in the order in which they came.
        self._order: list[tuple[float, int, str]] = []
        self._number = 0
        #: The used time of parties that don't wait now. Empty when nobody waits.
        self._used: dict[str, float] = {}
        #: The used time of the party that was served last.
        self._now_used = 0.0

    def join(self, worker: Worker) -> None:
        """Puts a worker into the line."""
        worker.in_line = True
        name = worker.party
        party = self.waiting.get(name)
        if party is None:
            # A new party comes before the parties that have been served already.
            newcomer = self._now_used - LEAST_SECONDS
            party = self.waiting[name] = _Party(max(newcomer, self._used.pop(name, newcomer)))
            self._push(name, party)
        party.workers.append(worker)

    def _push(self, name: str, party: _Party) -> None:
        self._number += 1
        heapq.heappush(self._order, (party.used, self._number, name))

    def serve(
        self, seconds: float, step: Callable[[Worker], tuple[bool, float]], rejoin: Callable[[Worker], None]
    ) -> None:
        """Does steps until the time is used or nobody waits.

        :param step: does one step. Returns whether there are more, and how many seconds it took.
        :param rejoin: gets the workers that have more to do, and that belong to another party after their step.
        """
        while self._order and seconds > 0.0:
            self._now_used, _, name = heapq.heappop(self._order)
            party = self.waiting[name]
            worker = party.workers.popleft()
            worker.in_line = False
            stranger = worker.stranger
            more, spent = step(worker)
            seconds -= spent
            if (worker.party, worker.stranger) != (name, stranger):
                # The step was a login. Neither its time nor later steps count for the strangers.
                if more:
                    rejoin(worker)
            else:
                party.used += spent
                if more:
                    worker.in_line = True
                    party.workers.append(worker)
            if party.workers:
                self._push(name, party)
            else:
                del self.waiting[name]
                self._used[name] = party.used
        self._forget()

    def _forget(self) -> None:
        if not self._order:
            self._used.clear()
            self._now_used = 0.0
        elif len(self._used) > PARTIES_KEPT:
            self._used = {name: used for name, used in self._used.items() if used > self._now_used}


class FairTurns:
    """Gives turns to connections. All HTTP listeners share one."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._at_once = TURN_SECONDS
        self._at_once_at = clock.seconds()
        self._customers, self._strangers = _Line(), _Line()
        self._stepping = False
        self._turn_call: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        """The number of workers that wait in line."""
        return sum(len(party.workers) for line in self._lines() for party in line.waiting.values())

    def _lines(self) -> tuple[_Line, _Line]:
        return self._customers, self._strangers

    def ready(self, worker: Worker) -> None:
        """Does a worker's steps, now or in later turns. Does nothing for a worker that waits in line already."""
        if worker.in_line:
            return
        line = self._strangers if worker.stranger else self._customers
        if not line.waiting and not self._stepping:
            now = self._clock.seconds()
            saved = self._at_once + max(0.0, now - self._at_once_at) * AT_ONCE_SHARE
            left = min(TURN_SECONDS, saved)
            self._at_once_at = now
            while left > 0.0:
                more, spent = self._step(worker)
                # Look after the step, because the step may have been the login.
                left -= spent * STRANGER_FACTOR if worker.stranger else spent
                if not more:
                    self._at_once = left
                    return
            # It never falls lower, so that one long step doesn't make all later workers wait.
            self._at_once = max(left, -TURN_SECONDS)
        self._join(worker)

    def _step(self, worker: Worker) -> tuple[bool, float]:
        seconds = self._clock.seconds
        began_at = seconds()
        self._stepping = True
        try:
            more = worker.step()
        finally:
            self._stepping = False
        return more, max(LEAST_SECONDS, seconds() - began_at)

    def _join(self, worker: Worker) -> None:
        (self._strangers if worker.stranger else self._customers).join(worker)
        if self._turn_call is None:
            self._turn_call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_call = None
        self._customers.serve(TURN_SECONDS, self._step, self._join)
        self._strangers.serve(STRANGERS_SECONDS, self._step, self._join)
        if self._turn_call is None and (self._customers.waiting or self._strangers.waiting):
            self._turn_call = self._clock.callLater(0, self._turn)
