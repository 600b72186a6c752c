"""Answers long queries in slices. Between the slices, the reactor does other work.

Theory of operation: a generator makes the answer, and yields None at the end of each slice. The first slice is done at
once. Further slices wait in one line, and each turn of the reactor does one of them. So a turn takes no longer than a
slice, however many queries there are. Only one query of an account is answered at a time. So accounts take turns.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relay.store.store_values import StoreBusy

#: How many queries of one account may wait for the present one: those of a page, and of a few clicks.
MOST_WAITING: Final = 20

_T = TypeVar("_T")


class LongQuestions:
    """Answers long queries in slices, one slice in each turn of the reactor.

    :ivar turns: how many slices have waited for a turn.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._line: deque[Deferred[None]] = deque()
        self._scheduled = False
        #: The accounts that have a query in work, and their further queries, which wait for its end.
        self._accounts: dict[str, deque[Deferred[None]]] = {}
        self.turns = 0

    async def answer(self, account: str, steps: Iterator[_T | None]) -> list[_T]:
        """Returns all values of a generator.

        :param account: the account that asks.
        :param steps: the generator. It yields None at the end of each slice.
        :raises StoreBusy: too many queries of the account wait already.
        """
        waiting = self._accounts.get(account)
        if waiting is None:
            self._accounts[account] = deque()
        elif len(waiting) >= MOST_WAITING:
            raise StoreBusy(f"{MOST_WAITING} queries of this account wait already", 1.0)
        else:
            # A caller that cancels its query leaves the line.
            ended: Deferred[None] = Deferred(waiting.remove)
            waiting.append(ended)
            await ended
        try:
            if waiting is not None:
                await self._turn()
            found = []
            for step in steps:
                if step is None:
                    await self._turn()
                else:
                    found.append(step)
            return found
        finally:
            if next_one := self._accounts[account]:
                next_one.popleft().callback(None)
            else:
                del self._accounts[account]

    async def _turn(self) -> None:
        turn: Deferred[None] = Deferred()
        self._line.append(turn)
        self._schedule()
        await turn

    def _schedule(self) -> None:
        if self._line and not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._serve)

    def _serve(self) -> None:
        self._scheduled = False
        self.turns += 1
        self._line.popleft().callback(None)
        self._schedule()
