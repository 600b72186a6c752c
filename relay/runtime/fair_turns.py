"""How the connections of the HTTP listeners share the reactor's turns.

Theory of operation: one connection may have sent a thousand requests in one write. They are not worked off in one turn
of the reactor, or everybody else would wait for the last of them. A connection works in steps of one request each. As
long as nobody waits and little time was spent lately, a step is done at once. Otherwise the connection waits in line,
and a later turn goes on. There are two lines: of those who have logged in, and of strangers. In each turn the first
gets `TURN_SECONDS` and the second a tenth of that; then the reactor serves all other sockets.

A line is by party: all connections of an account are one party, and so are all connections of a network on which
nobody has logged in. The party that has used least comes next (start-time fair queueing), and a newcomer comes before
those who have had something: it waits for one step of the others, however many they are and whatever they sent.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: What those who have logged in may use of one turn of the reactor. A neighbour's message takes about six turns on its
#: way, so that a flood of requests adds some 12 ms to it. A turn itself costs 0.1 ms: little is lost.
TURN_SECONDS: Final = 0.002

#: What strangers may use of it.
STRANGERS_SECONDS: Final = TURN_SECONDS / 10

#: A step counts as at least this, which is what the smallest request takes: 20 steps a turn, and 2 of strangers.
LEAST_SECONDS: Final = 0.0001

#: What may be used outside of the lines: this part of the time, with one turn's worth saved up. A stranger's step
#: counts ten times there.
AT_ONCE_SHARE: Final = 0.5
STRANGER_FACTOR: Final = TURN_SECONDS / STRANGERS_SECONDS

#: Parties whose use is remembered while others wait. Beyond it, those that have used no more than others are forgotten.
PARTIES_KEPT: Final = 10_000


class Worker(Protocol):
    """Something with work to do, in steps: a connection.

    :ivar party: who pays for it.
    :ivar stranger: nobody has logged in.
    :ivar in_line: for `FairTurns` alone.
    """

    party: str
    stranger: bool
    in_line: bool

    def step(self) -> bool:
        """Does one step. Gives whether there is another one to do."""


class _Party:
    """Who waits in line: the workers of one payer, and up to where they have used their time."""

    __slots__ = ("used", "workers")

    def __init__(self, used: float) -> None:
        self.used = used
        self.workers: deque[Worker] = deque()


class _Line:
    """Parties that wait, by what they have used."""

    def __init__(self) -> None:
        self.waiting: dict[str, _Party] = {}
        #: Who waits, least used first. The number keeps equals in the order of their coming.
        self._order: list[tuple[float, int, str]] = []
        self._number = 0
        #: Up to where those have used their time who don't wait now. Empty when nobody waits.
        self._used: dict[str, float] = {}
        #: Up to where the party had used its time that was served last.
        self._now_used = 0.0

    def join(self, worker: Worker) -> None:
        """Puts a worker into the line."""
        worker.in_line = True
        name = worker.party
        party = self.waiting.get(name)
        if party is None:
            # Before those who have had something already.
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
        """Has steps done until they have taken so long, or nobody waits.

        :param step: does one step; gives whether there are more, and how long it took.
        :param rejoin: gets workers that have more to do and are another party's now.
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
                # A login: what it took isn't the strangers', and the rest isn't either.
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
    """One for all HTTP listeners."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._at_once = TURN_SECONDS
        self._at_once_at = clock.seconds()
        self._customers, self._strangers = _Line(), _Line()
        self._stepping = False
        self._turn_call: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        """How many workers wait in line."""
        return sum(len(party.workers) for line in self._lines() for party in line.waiting.values())

    def _lines(self) -> tuple[_Line, _Line]:
        return self._customers, self._strangers

    def ready(self, worker: Worker) -> None:
        """Has a worker's steps done, now or in later turns. Harmless for one who waits in line already."""
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
                # Asked afterwards: the step may have been the login.
                left -= spent * STRANGER_FACTOR if worker.stranger else spent
                if not more:
                    self._at_once = left
                    return
            # No further down: who comes later is not to pay for what was long.
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
