"""The parts that wait for one carrier, in the order in which they will be sent.

Theory of operation: while all parts have one account and one priority, they are in one deque, in the order in which
they came. When a part of another account or priority comes, `AccountTurns` takes over and decides whose turn it is,
until again only one account and priority is left.

Texts are kept in memory up to a number of octets. Beyond it, parts are queued without their bodies. When a part without
its body comes to the head, some hundred bodies are read from the journal. Until they are read, the queue gives no
parts. A part that was settled while it waited (`Outgoing.done`), or whose message was cancelled, stays in its place. It
is dropped at the head, because to find it earlier would need a search.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from relay.carriers.account_turns import AccountTurns
from relay.routing.cancelled import CancelledMessages
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Tasks
from relay.store.store_values import StoreUnavailable
from relay.values.account_share import AccountShare

#: How many parts' bodies are read at once.
_FETCH_PARTS = 500


class Journalled(Protocol):
    """Reads bodies from the journal: the store, as far as a queue needs it."""

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> Awaitable[Sequence[bytes | None]]:
        """See `Store.bodies`."""


class QueueOwner(Protocol):
    """The owner of a queue: `PartSender`."""

    def bodies_fetched(self) -> None:
        """Tells that bodies have been read. The owner can call `PartQueue.take` again."""

    def bodies_unreadable(self, reason: str) -> None:
        """Tells that bodies can't be read now. The owner must call `PartQueue.take` later, which tries again."""


class PartQueue:
    """Keeps the parts that wait for one carrier. It belongs to one `PartSender`, and only that calls it.

    :param limit_bytes: how many octets of texts are kept in memory.
    :param store: reads bodies from the journal.
    :param owner: called when bodies have been read, or can't be read.
    :param tasks: runs the coroutines that read bodies.
    :param cancelled: the messages whose queued parts must not be sent any more.
    :param share_of: returns the share of the carrier that an account may have.
    :ivar octets: how many octets of texts are in memory now.
    """

    def __init__(
        self,
        limit_bytes: int,
        store: Journalled,
        owner: QueueOwner,
        tasks: Tasks,
        cancelled: CancelledMessages,
        share_of: Callable[[str], AccountShare],
    ) -> None:
        self._limit_bytes = limit_bytes
        self._store = store
        self._owner = owner
        self._tasks = tasks
        self._cancelled = cancelled
        self._share_of = share_of
        self._count = 0
        #: All parts, while they have one account and one priority.
        self._parts: deque[Outgoing] = deque()
        self._account = ""
        self._priority = 0
        #: All parts, while they have several accounts or priorities. `_parts` is empty then.
        self._turns: AccountTurns | None = None
        #: How many of the parts another carrier may take, too.
        self._shared = 0
        self.octets = 0
        self._fetching = False
        self._cleared = False
        #: How often parts were withdrawn.
        self._withdrawn = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Outgoing]:
        return iter(self._parts if self._turns is None else self._turns)

    def put(self, parts: Sequence[Outgoing]) -> None:
        """Adds parts after the other parts of their accounts. Beyond `limit_bytes`, their bodies are dropped."""
        if not parts:
            return
        limit_bytes = self._limit_bytes
        octets = self.octets
        shared = 0
        account, priority = self._kind(parts)
        append = self._parts.append if self._turns is None else self._turns.append
        for part in parts:
            if part.body is not None:
                if octets < limit_bytes:
                    octets += len(part.body)
                else:
                    part.body = None
            shared += len(part.carriers) > 1
            if part.account != account or part.priority != priority:
                append = self._take_turns().append
            append(part)
        self._count += len(parts)
        self.octets = octets
        self._shared += shared

    def put_first(self, parts: Sequence[Outgoing]) -> None:
        """Puts parts back before the other parts of their accounts, in their order.

        They keep their bodies. So the texts in memory may exceed `limit_bytes` by those of a window.
        """
        if not parts:
            return
        account, priority = self._kind(parts)
        if any(part.account != account or part.priority != priority for part in parts):
            self._take_turns()
        if self._turns is None:
            self._parts.extendleft(reversed(parts))
        else:
            for part in reversed(parts):
                self._turns.appendleft(part)
        self._add(parts, 1)

    def take(self, count: int, now: float) -> tuple[list[tuple[bytes, object]], list[Outgoing]]:
        """Takes up to `count` parts that can be sent now from the head. If a body has to be read first, takes fewer.

        The owner is called when the body has been read.

        :return: the body of each part, with the part; and the parts whose validity has ended.
        """
        batch: list[tuple[bytes, object]] = []
        expired: list[Outgoing] = []
        turns = self._turns
        bodies_are_there = True
        parts = self._parts
        if turns is None:
            bodies_are_there = self._take_from(parts, count, now, batch, expired)
        else:
            while bodies_are_there and self._count and len(batch) < count:
                parts, most = turns.next()
                before = len(batch)
                bodies_are_there = self._take_from(parts, min(count, before + most), now, batch, expired)
                turns.took(len(batch) - before)
            self._take_no_turns_if_alone(turns)
        if not bodies_are_there:
            self._fetch(parts)
        return batch, expired

    def _take_from(
        self,
        parts: deque[Outgoing],
        count: int,
        now: float,
        batch: list[tuple[bytes, object]],
        expired: list[Outgoing],
    ) -> bool:
        """Moves parts from the left of `parts` to `batch`, up to `count`. False: a body has to be read first."""
        cancelled = self._cancelled or None
        octets = shared = 0
        waiting = len(parts)
        bodies_are_there = True
        while parts and len(batch) < count:
            part = parts.popleft()
            if cancelled is not None and not part.done and cancelled.take(part.id, part):
                part.done = True
            body = part.body
            if body is None and not part.done and part.expires_at > now:
                parts.appendleft(part)
                bodies_are_there = False
                break
            octets += len(body or b"")
            shared += len(part.carriers) > 1
            if part.done:
                continue
            if part.expires_at <= now:
                expired.append(part)
            elif body is not None:
                part.sent_at = now
                batch.append((body, part))
        self._count -= waiting - len(parts)
        self.octets -= octets
        self._shared -= shared
        return bodies_are_there

    def take_shared(self) -> list[Outgoing]:
        """Removes the parts that another carrier may take, too. If there are none, it doesn't search."""
        if self._shared <= 0:
            return []
        given = [part for part in self if len(part.carriers) > 1]
        if given:
            self._keep_only([part for part in self if len(part.carriers) <= 1], given)
        self._shared = 0
        return given

    def drop_cancelled(self) -> None:
        """Removes the parts that need not be sent any more, instead of when their turn comes. It looks at each part."""
        cancelled, kept, dropped = self._cancelled, list[Outgoing](), list[Outgoing]()
        for part in self:
            if not part.done and cancelled.take(part.id, part):
                part.done = True
            (dropped if part.done else kept).append(part)
        if dropped:
            self._keep_only(kept, dropped)

    def _keep_only(self, kept: Sequence[Outgoing], given: Sequence[Outgoing]) -> None:
        """Removes the parts `given`. `kept` are all others, in their order."""
        self._withdrawn += 1
        self._add(given, -1)
        self._parts.clear()
        if self._turns is not None:
            self._turns = turns = AccountTurns(self._share_of)
            for part in kept:
                turns.append(part)
            self._take_no_turns_if_alone(turns)
        else:
            self._parts.extend(kept)

    def withdraw(self, account: str) -> list[Outgoing]:
        """Removes the parts of an account, and returns them. Bodies that are being read for them are dropped."""
        if self._turns is None:
            given = [*self._parts] if self._count and account == self._account else []
            if given:
                self._parts.clear()
        else:
            given = self._turns.withdraw(account)
            self._take_no_turns_if_alone(self._turns)
        if given:
            self._withdrawn += 1
            self._add(given, -1)
        return given

    def clear(self) -> list[Outgoing]:
        """Empties the queue for good. Returns the parts that were to be sent. Bodies that come later are dropped."""
        waiting = [part for part in self if not part.done]
        self._parts.clear()
        self._turns = None
        self.octets = self._shared = self._count = 0
        self._cleared = True
        return waiting

    def ahead_of(self, account: str) -> float:
        """An estimate of how many parts would be sent before one more part of an account, with equal priorities."""
        if self._turns is not None:
            own, factor = self._turns.of_account(account)
            return min(self._count, (own + 1) * factor - 1)
        return self._count if account == self._account else min(self._count, 1)

    # Accounts and priorities

    def _kind(self, parts: Sequence[Outgoing]) -> tuple[str, int]:
        """The account and priority of all waiting parts. Only called while accounts don't take turns.

        :param parts: parts that are about to be added. If no part waits, those of the first of these are returned.
        """
        if not self._count and self._turns is None:
            self._account, self._priority = parts[0].account, parts[0].priority
        return self._account, self._priority

    def _take_turns(self) -> AccountTurns:
        """Makes accounts take turns from now on."""
        turns = self._turns
        if turns is None:
            turns = self._turns = AccountTurns(self._share_of)
            # A million parts may wait, and turns may begin and end with each message of a small account. So no part is
            # copied.
            turns.adopt(self._parts)
            self._parts = deque()
        return turns

    def _take_no_turns_if_alone(self, turns: AccountTurns) -> None:
        """Ends the turns if only one account waits, with one priority."""
        queues = turns.queues()
        if len(queues) <= 1:
            self._turns = None
            self._parts = queues[0] if queues else deque()
            if self._parts:
                self._account, self._priority = self._parts[0].account, self._parts[0].priority

    def _add(self, parts: Sequence[Outgoing], sign: int) -> None:
        self._count += sign * len(parts)
        self.octets += sign * sum(len(part.body) for part in parts if part.body is not None)
        self._shared += sign * sum(len(part.carriers) > 1 for part in parts)

    # Bodies

    def _fetch(self, parts: deque[Outgoing]) -> None:
        """Begins to read the bodies that `parts` and all other queues need next, unless some are being read."""
        if not self._fetching:
            self._fetching = True
            self._tasks.start(self._fetch_bodies(parts))

    async def _fetch_bodies(self, first: deque[Outgoing]) -> None:
        queues = [first]
        if self._turns is not None:
            # The other queues will need their bodies in a moment.
            queues += [queue for queue in self._turns.queues() if queue is not first and queue[0].body is None]
            del queues[_FETCH_PARTS:]
        parts: list[Outgoing] = []
        for queue in queues:
            near = islice(queue, _FETCH_PARTS // len(queues))
            parts += [part for part in near if part.body is None and not part.done]
        withdrawn = self._withdrawn
        try:
            bodies = await self._store.bodies([(part.id, part.part) for part in parts])
        except StoreUnavailable as problem:
            self._owner.bodies_unreadable(str(problem))
            return
        finally:
            self._fetching = False
        if self._cleared:
            # The parts are in another link's queue now, which reads their bodies itself.
            return
        if withdrawn != self._withdrawn:
            # Some of the parts may be elsewhere now. Those that are still here are read again.
            self._owner.bodies_fetched()
            return
        for part, body in zip(parts, bodies, strict=True):
            part.body = body
            if body is None:
                # The message has ended meanwhile: it was cancelled, or another part was refused.
                part.done = True
                self._cancelled.take(part.id, part)
            else:
                self.octets += len(body)
        self._owner.bodies_fetched()
