"""Keeps the unsent parts of suspended accounts out of the carriers' queues.

Theory of operation: an operator suspends an account. Then its parts are taken out of the links' queues and kept here,
without their bodies, which the journal has. Parts that come later, because a carrier gives them back or their time has
come, are kept, too. When the suspension ends, all parts are given to carriers again, some at a time. A message whose
validity ends meanwhile ends as any other message that no carrier could take.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.routing.cancelled import CancelledMessages
from relay.routing.flow_api import Link, Outgoing

_PARTS_A_TURN: Final = 1000


class SuspendedAccounts:
    """Keeps the parts of suspended accounts. It is false while no account is suspended.

    :param links: returns the links to carriers.
    :param send: gives parts to carriers.
    """

    def __init__(
        self,
        links: Callable[[], Mapping[str, Link]],
        send: Callable[[Sequence[Outgoing]], None],
        clock: IReactorTime,
    ) -> None:
        self._links = links
        self._send = send
        self._clock = clock
        self._parts: dict[str, list[Outgoing]] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    def count(self, account: str) -> int:
        """How many parts of an account are kept."""
        return len(self._parts.get(account, ()))

    def messages(self, account: str | None) -> list[bytes]:
        """The ids of an account's messages that are kept; a message of several parts has its id several times.

        :param account: None: of all accounts.
        """
        kept = self._parts.values() if account is None else [self._parts.get(account, [])]
        return [part.id for parts in kept for part in parts if not part.done]

    def drop_cancelled(self, cancelled: CancelledMessages) -> None:
        """Forgets the parts of messages that were cancelled."""
        for account, parts in self._parts.items():
            self._parts[account] = [part for part in parts if not (part.done or cancelled.take(part.id, part))]

    def begin(self, account: str) -> int:
        """Suspends an account. Returns how many parts are kept. A second call takes those that came meanwhile."""
        kept = self._parts.setdefault(account, [])
        for link in self._links().values():
            self._keep(kept, link.withdraw(account))
        return len(kept)

    async def end(self, account: str) -> int:
        """Ends a suspension. Returns how many parts were given to carriers again. A second call does nothing."""
        parts = self._parts.pop(account, [])
        for start in range(0, len(parts), _PARTS_A_TURN):
            if start:
                await deferLater(self._clock, 0.0)
            self._send(parts[start : start + _PARTS_A_TURN])
        return len(parts)

    def allowed(self, parts: Iterable[Outgoing]) -> list[Outgoing]:
        """Keeps the parts of suspended accounts, and returns the others."""
        allowed: list[Outgoing] = []
        for part in parts:
            kept = self._parts.get(part.account)
            if kept is None:
                allowed.append(part)
            else:
                self._keep(kept, (part,))
        return allowed

    def _keep(self, kept: list[Outgoing], parts: Iterable[Outgoing]) -> None:
        for part in parts:
            if not part.done:
                part.body = None
                kept.append(part)
