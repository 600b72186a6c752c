"""Orders one carrier's queue while parts of several accounts, or of several priorities, wait in it.

Theory of operation: waiting parts belong to priority classes. The highest class sends first. But while lower classes
wait, they send one of each `_PLACES` parts, so that they never stop. In a class, accounts take turns (deficit round
robin): in each turn an account sends up to `weight` parts. So a part waits for at most one turn of each other account,
however many parts they have queued. In its turn, an account sends its own parts of a higher priority first. It may
always do so, because that delays no other account. It may use a higher class only up to its `highest_priority`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from relay.routing.flow_api import Outgoing
from relay.values.account_share import AccountShare
from relay.values.messages import MAX_PRIORITY

#: While lower classes wait, they send one of so many parts.
_PLACES: Final = 8


class _Waiting:
    """The waiting parts of one account in one class.

    :ivar left: how many parts it may still send in its turn.
    """

    __slots__ = ("account", "by_priority", "left")

    def __init__(self, account: str, left: int) -> None:
        self.account = account
        self.left = left
        self.by_priority: dict[int, deque[Outgoing]] = {}

    def queue(self, priority: int) -> deque[Outgoing]:
        """The waiting parts of a priority. Makes an empty queue if there is none. The highest priority comes first."""
        queue = self.by_priority.get(priority)
        if queue is None:
            queue = deque()
            self.put(priority, queue)
        return queue

    def put(self, priority: int, queue: deque[Outgoing]) -> None:
        """Makes a queue the one of a priority."""
        self.by_priority[priority] = queue
        self.by_priority = dict(sorted(self.by_priority.items(), reverse=True))


class _PriorityClass:
    """The accounts of one class, in the order of their turns.

    :ivar sent: how many parts it has sent since a lower class last sent one. Counted only while a lower class waits.
    """

    __slots__ = ("accounts", "sent", "turns")

    def __init__(self) -> None:
        self.accounts: dict[str, _Waiting] = {}
        self.turns: deque[_Waiting] = deque()
        self.sent = 0


class AccountTurns:
    """Gives out queued parts in turns. It belongs to one `PartQueue`, and only that calls it.

    :param share_of: the share of the carrier that an account may have.
    """

    def __init__(self, share_of: Callable[[str], AccountShare]) -> None:
        self._share_of = share_of
        #: The classes, highest first.
        self._classes = [_PriorityClass() for _ in range(MAX_PRIORITY + 1)]

    def __iter__(self) -> Iterator[Outgoing]:
        return (part for queue in self.queues() for part in queue)

    def adopt(self, parts: deque[Outgoing]) -> None:
        """Takes over a queue of parts that all have one account and one priority. The parts are not copied.

        No part of this account and priority may wait yet.
        """
        if parts:
            waiting, priority = self._place(parts[0])
            waiting.put(priority, parts)

    def append(self, part: Outgoing) -> None:
        """Puts a part after the other parts of its account and priority."""
        waiting, priority = self._place(part)
        waiting.queue(priority).append(part)

    def appendleft(self, part: Outgoing) -> None:
        """Puts a part before the other parts of its account and priority."""
        waiting, priority = self._place(part)
        waiting.queue(priority).appendleft(part)

    def next(self) -> tuple[deque[Outgoing], int]:
        """The queue of the account whose turn it is, and how many of its parts may be sent. Some part must wait.

        The caller removes parts from the left of the queue, and then calls `took`.
        """
        chosen = self._next_class()
        waiting = chosen.turns[0]
        queue = next(iter(waiting.by_priority.values()))
        return queue, min(waiting.left, _PLACES - 1 - chosen.sent) if self._waits_below(chosen) else waiting.left

    def took(self, sent: int) -> None:
        """Tells how many parts of the queue from `next` have been sent. Parts that were dropped don't count."""
        chosen = self._next_class()
        for one in self._classes:
            if one is chosen:
                break
            if sent:
                one.sent = 0
        chosen.sent = chosen.sent + sent if self._waits_below(chosen) else 0
        waiting = chosen.turns[0]
        waiting.left -= sent
        priority, queue = next(iter(waiting.by_priority.items()))
        if not queue:
            del waiting.by_priority[priority]
        if not waiting.by_priority:
            chosen.turns.popleft()
            del chosen.accounts[waiting.account]
        elif waiting.left <= 0:
            waiting.left = self._share_of(waiting.account).weight
            chosen.turns.rotate(-1)

    def withdraw(self, account: str) -> list[Outgoing]:
        """Removes the parts of an account, and returns them."""
        given: list[Outgoing] = []
        for one in self._classes:
            waiting = one.accounts.pop(account, None)
            if waiting is not None:
                one.turns.remove(waiting)
                for queue in waiting.by_priority.values():
                    given += queue
        return given

    def queues(self) -> list[deque[Outgoing]]:
        """All queues, in the order of their turns."""
        return [queue for one in self._classes for waiting in one.turns for queue in waiting.by_priority.values()]

    def of_account(self, account: str) -> tuple[int, float]:
        """How many parts of an account wait; and the weights of all waiting accounts, divided by its own weight."""
        own = total = 0
        for one in self._classes:
            waiting = one.accounts.get(account)
            if waiting is not None:
                own += sum(map(len, waiting.by_priority.values()))
            total += sum(self._share_of(name).weight for name in one.accounts if name != account)
        weight = self._share_of(account).weight
        return own, (total + weight) / weight

    def _place(self, part: Outgoing) -> tuple[_Waiting, int]:
        """Where a part must wait: its account's parts in a class, and the priority among these."""
        account = part.account
        share = self._share_of(account)
        priority = part.priority or share.priority
        one = self._classes[MAX_PRIORITY - min(priority, max(share.highest_priority, share.priority))]
        waiting = one.accounts.get(account)
        if waiting is None:
            waiting = one.accounts[account] = _Waiting(account, share.weight)
            # A new account comes last. So an account that sends one part at a time gets no more turns than others.
            one.turns.append(waiting)
        return waiting, priority

    def _next_class(self) -> _PriorityClass:
        waiting = [one for one in self._classes if one.turns]
        return next((one for one in waiting[:-1] if one.sent < _PLACES - 1), waiting[-1])

    def _waits_below(self, chosen: _PriorityClass) -> bool:
        return any(one.turns for one in self._classes[self._classes.index(chosen) + 1 :])
