"""Ends the messages that wait in queues, for an operator."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from relay.carriers.link import CarrierLink
from relay.routing.flow import MessageFlow

#: So many messages are ended with one commit of the journal.
_AT_ONCE: Final = 250


class PurgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Says why a queue is purged.

    :ivar dry_run: only count the messages.
    :ivar route: for the messages of a route: what `Purged.route` said about the route when they were counted. If it is
        another route now, because of a reload, nothing is purged.
    """

    reason: str = ""
    dry_run: bool = False
    route: str = ""


class Purged(msgspec.Struct, frozen=True):
    """The result of a purge.

    :ivar count: messages that have ended; in a dry run, those that would.
    :ivar left: messages that were sent meanwhile.
    :ivar route: which messages the route matches, in words; "" if it was no route's purge.
    """

    count: int
    left: int = 0
    route: str = ""


def queued_messages(links: Iterable[CarrierLink], account: str | None, kept: Sequence[bytes] = ()) -> list[bytes]:
    """Returns the ids of the messages that wait in the queues of links, each once.

    :param account: only this account's messages; None: those of all.
    :param kept: further messages that belong to them: those of a suspended account.
    """
    found = dict.fromkeys(
        part.id for link in links for part in link.queue if not part.done and account in (None, part.account)
    )
    return [*found, *(message_id for message_id in dict.fromkeys(kept) if message_id not in found)]


async def messages_of_route(flow: MessageFlow, ids: Sequence[bytes], index: int, clock: Any) -> list[bytes]:
    """Returns those messages that the present routes give to the route at this place of the configuration."""
    found: list[bytes] = []
    for number, message_id in enumerate(ids, 1):
        view = await flow.store.look_up(message_id)
        if view is not None and not view.final:
            route = flow.routes.find(view.addresses, view.account, view.accepted_at, None, view.tags)
            if route is not None and route.index == index:
                found.append(message_id)
        if number % _AT_ONCE == 0:
            await deferLater(clock, 0.0)
    return found


async def end_messages(flow: MessageFlow, ids: Sequence[bytes], clock: Any) -> int:
    """Ends messages as DELETED, and returns how many. Those that a carrier took meanwhile go on."""
    ended = 0
    for start in range(0, len(ids), _AT_ONCE):
        if start:
            await deferLater(clock, 0.0)
        ending = [Deferred.fromCoroutine(flow.cancel(one)) for one in ids[start : start + _AT_ONCE]]
        ended += sum(await gatherResults(ending, consumeErrors=True))
    flow.drop_cancelled()
    return ended
