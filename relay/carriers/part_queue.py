"""The parts that wait for one carrier, in their order.

Theory of operation: texts are held in memory up to a bound of octets. What comes past it waits without its body, which
is fetched from the journal when its turn is near: some hundred parts in one go, one go at a time, while nothing behind
them is taken. A part that was settled while it waited (`Outgoing.done`), or whose message was cancelled, stays
where it is and is dropped when its turn comes, because looking for it would cost a search.
"""

from collections import deque
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import Protocol

from relay.routing.cancelled import CancelledMessages
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Tasks
from relay.store.api import StoreUnavailable

#: Bodies are fetched in batches of this many parts.
_FETCH_PARTS = 500


class Journalled(Protocol):
    """Where the bodies are: the store, as far as a queue needs it."""

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> Awaitable[Sequence[bytes | None]]:
        """See `Store.bodies`."""


class QueueOwner(Protocol):
    """Whose queue it is."""

    def bodies_fetched(self) -> None:
        """Bodies have come, so that `PartQueue.take` is worth calling again."""

    def bodies_unreadable(self, reason: str) -> None:
        """They can't be read now. `PartQueue.take` tries again; it is to be called some time later."""


class PartQueue:
    """See the module's text. Belongs to one `CarrierLink`, which alone calls.

    :param limit_bytes: texts that are held.
    :param store: where bodies are fetched.
    :param owner: called when bodies have been fetched, or can't be.
    :param tasks: where fetching runs.
    :param cancelled: the messages of which no part is to be sent any more.

    :ivar octets: texts that are held now.
    """

    def __init__(
        self, limit_bytes: int, store: Journalled, owner: QueueOwner, tasks: Tasks, cancelled: CancelledMessages
    ) -> None:
        self._limit_bytes = limit_bytes
        self._store = store
        self._owner = owner
        self._tasks = tasks
        self._cancelled = cancelled
        self._parts: deque[Outgoing] = deque()
        #: How many of them another carrier may take as well.
        self._shared = 0
        self.octets = 0
        self._fetching = False
        self._cleared = False

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Outgoing]:
        return iter(self._parts)

    def put(self, parts: Iterable[Outgoing]) -> None:
        """Adds parts at the end; past the bound their bodies are let go."""
        limit_bytes = self._limit_bytes
        octets = self.octets
        shared = 0
        append = self._parts.append
        for part in parts:
            if part.body is not None:
                if octets < limit_bytes:
                    octets += len(part.body)
                else:
                    part.body = None
            shared += len(part.carriers) > 1
            append(part)
        self.octets = octets
        self._shared += shared

    def put_first(self, parts: Sequence[Outgoing]) -> None:
        """Puts parts back at the head, in their order; they keep their bodies, although the bound may be passed by a
        window."""
        self._parts.extendleft(reversed(parts))
        self._count(parts, 1)

    def take(self, count: int, now: float) -> tuple[list[tuple[bytes, object]], list[Outgoing]]:
        """Takes up to `count` parts off the head that can be sent now, as body and part each, and with them the parts
        whose validity has ended. Fewer than there are where a body has to be fetched first: the owner is called then.
        """
        parts = self._parts
        cancelled = self._cancelled or None
        batch: list[tuple[bytes, object]] = []
        expired: list[Outgoing] = []
        octets = shared = 0
        while parts and len(batch) < count:
            part = parts.popleft()
            if cancelled is not None and not part.done and cancelled.take(part.id):
                part.done = True
            body = part.body
            if body is None and not part.done and part.expires_at > now:
                parts.appendleft(part)
                self._fetch()
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
        self.octets -= octets
        self._shared -= shared
        return batch, expired

    def take_shared(self) -> list[Outgoing]:
        """Takes out the parts that another carrier may take as well. Where there are none, it doesn't look for them."""
        if self._shared <= 0:
            return []
        given = [part for part in self._parts if len(part.carriers) > 1]
        if given:
            self._parts = deque(part for part in self._parts if len(part.carriers) <= 1)
        self._count(given, -1)
        self._shared = 0
        return given

    def clear(self) -> list[Outgoing]:
        """Ends the queue; gives what waits to be sent. What is being fetched then is nobody's business any more."""
        waiting = [part for part in self._parts if not part.done]
        self._parts.clear()
        self.octets = self._shared = 0
        self._cleared = True
        return waiting

    def _count(self, parts: Sequence[Outgoing], sign: int) -> None:
        self.octets += sign * sum(len(part.body) for part in parts if part.body is not None)
        self._shared += sign * sum(len(part.carriers) > 1 for part in parts)

    def _fetch(self) -> None:
        if not self._fetching:
            self._fetching = True
            self._tasks.start(self._fetch_bodies())

    async def _fetch_bodies(self) -> None:
        parts: list[Outgoing] = []
        for part in self._parts:
            if part.body is None and not part.done:
                parts.append(part)
                if len(parts) == _FETCH_PARTS:
                    break
        try:
            bodies = await self._store.bodies([(part.id, part.part) for part in parts])
        except StoreUnavailable as problem:
            self._owner.bodies_unreadable(str(problem))
            return
        finally:
            self._fetching = False
        if self._cleared:
            # They are in another link's queue now, which fetches for itself.
            return
        for part, body in zip(parts, bodies, strict=True):
            part.body = body
            if body is None:
                # It has ended meanwhile (cancelled, or another part was refused): nothing is to be sent.
                part.done = True
                self._cancelled.take(part.id)
            else:
                self.octets += len(body)
        self._owner.bodies_fetched()
