"""The order of one carrier's queue while parts of several accounts, or of several priorities, wait in it.

Theory of operation: a class is a priority among accounts. The highest class goes first, but of `_PLACES` parts it
leaves one to the lower classes, so that none of them ever stands still. Within a class accounts take turns (deficit
round robin: every part costs one, and an account may send `weight` of them in a turn). A part of another account thus
waits for one turn of each account, however much these have queued. Within an account's turn its own parts of a higher
priority go first. That costs nobody else anything, so it needs no leave; to be of a higher class an account needs it
(`highest_priority`).
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from relay.routing.flow_api import Outgoing
from relay.values.account_share import AccountShare
from relay.values.messages import MAX_PRIORITY

#: Of so many parts a class sends all but one while lower classes wait.
_PLACES: Final = 8


class _Waiting:
    """What waits of one account in one class.

    :ivar left: how many parts it may still send in its turn.
    """

    __slots__ = ("account", "by_priority", "left")

    def __init__(self, account: str, left: int) -> None:
        self.account = account
        self.left = left
        self.by_priority: dict[int, deque[Outgoing]] = {}

    def queue(self, priority: int) -> deque[Outgoing]:
        """What waits with a priority; made where nothing does. The highest priority stands first."""
        queue = self.by_priority.get(priority)
        if queue is None:
            queue = deque()
            self.put(priority, queue)
        return queue

    def put(self, priority: int, queue: deque[Outgoing]) -> None:
        """Has these wait with this priority."""
        self.by_priority[priority] = queue
        self.by_priority = dict(sorted(self.by_priority.items(), reverse=True))


class _PriorityClass:
    """The accounts of one class, in the order of their turns.

    :ivar sent: parts sent since a lower class last sent one, while one waited.
    """

    __slots__ = ("accounts", "sent", "turns")

    def __init__(self) -> None:
        self.accounts: dict[str, _Waiting] = {}
        self.turns: deque[_Waiting] = deque()
        self.sent = 0


class AccountTurns:
    """Gives out queued parts in turns. Belongs to one `PartQueue`, which alone calls.

    :param share_of: what an account may have of a carrier.
    """

    def __init__(self, share_of: Callable[[str], AccountShare]) -> None:
        self._share_of = share_of
        #: The highest first.
        self._classes = [_PriorityClass() for _ in range(MAX_PRIORITY + 1)]

    def __iter__(self) -> Iterator[Outgoing]:
        return (part for queue in self.queues() for part in queue)

    def adopt(self, parts: deque[Outgoing]) -> None:
        """Takes over parts that are all of one account and priority, without looking at each. Nothing of that account
        and priority may wait yet."""
        if parts:
            waiting, priority = self._place(parts[0])
            waiting.put(priority, parts)

    def append(self, part: Outgoing) -> None:
        """Puts a part behind its account's others of the same priority."""
        waiting, priority = self._place(part)
        waiting.queue(priority).append(part)

    def appendleft(self, part: Outgoing) -> None:
        """Puts a part before its account's others of the same priority."""
        waiting, priority = self._place(part)
        waiting.queue(priority).appendleft(part)

    def next(self) -> tuple[deque[Outgoing], int]:
        """Whose turn it is: the parts of one account, and how many of them may be sent. Something must wait.

        The caller takes them off the queue's left, and then says `took`.
        """
        chosen = self._next_class()
        waiting = chosen.turns[0]
        queue = next(iter(waiting.by_priority.values()))
        return queue, min(waiting.left, _PLACES - 1 - chosen.sent) if self._waits_below(chosen) else waiting.left

    def took(self, sent: int) -> None:
        """So many parts of what `next` gave have been sent. Parts that were dropped cost no turn."""
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

    def queues(self) -> list[deque[Outgoing]]:
        """All queues, those first whose turn comes first."""
        return [queue for one in self._classes for waiting in one.turns for queue in waiting.by_priority.values()]

    def of_account(self, account: str) -> tuple[int, float]:
        """How many parts of an account wait, and all weights of those who wait over its own."""
        own = total = 0
        for one in self._classes:
            waiting = one.accounts.get(account)
            if waiting is not None:
                own += sum(map(len, waiting.by_priority.values()))
            total += sum(self._share_of(name).weight for name in one.accounts if name != account)
        weight = self._share_of(account).weight
        return own, (total + weight) / weight

    def _place(self, part: Outgoing) -> tuple[_Waiting, int]:
        """Among what a part is to wait, and with which priority."""
        account = part.account
        share = self._share_of(account)
        priority = part.priority or share.priority
        one = self._classes[MAX_PRIORITY - min(priority, max(share.highest_priority, share.priority))]
        waiting = one.accounts.get(account)
        if waiting is None:
            waiting = one.accounts[account] = _Waiting(account, share.weight)
            # At the end: who sends one part at a time gets no more turns than the others.
            one.turns.append(waiting)
        return waiting, priority

    def _next_class(self) -> _PriorityClass:
        waiting = [one for one in self._classes if one.turns]
        return next((one for one in waiting[:-1] if one.sent < _PLACES - 1), waiting[-1])

    def _waits_below(self, chosen: _PriorityClass) -> bool:
        return any(one.turns for one in self._classes[self._classes.index(chosen) + 1 :])
