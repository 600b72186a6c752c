"""Questions whose answers take long: each is worked out in slices, and the reactor serves everybody else in between.

Theory of operation: an answer is made by a generator, which yields None wherever a slice ends. The first slice is done
at once. Further slices wait in one line, of which each turn of the reactor does one: however many ask, a turn gets no
longer than a slice. An account has one question in work at a time, so that the line goes round by account.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relay.store.api import StoreBusy

#: Questions of one account that wait for the one in work: the parts of a page and a few clicks.
MOST_WAITING: Final = 20

_T = TypeVar("_T")


class LongQuestions:
    """Has long questions answered in slices, a slice a turn of the reactor.

    :ivar turns: how many slices have waited for a turn.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._line: deque[Deferred[None]] = deque()
        self._scheduled = False
        #: Who has a question in work, and those that wait for its end.
        self._accounts: dict[str, deque[Deferred[None]]] = {}
        self.turns = 0

    async def answer(self, account: str, steps: Iterator[_T | None]) -> list[_T]:
        """All that the generator gives.

        :param account: whose question it is.
        :param steps: gives None at the end of each slice.
        :raises StoreBusy: too many of the account's questions wait already.
        """
        waiting = self._accounts.get(account)
        if waiting is None:
            self._accounts[account] = deque()
        elif len(waiting) >= MOST_WAITING:
            raise StoreBusy(f"{MOST_WAITING} questions of this account wait for their answers already", 1.0)
        else:
            # Whoever asks no more leaves the line.
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
