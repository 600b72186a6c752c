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
    """

    reason: str = ""
    dry_run: bool = False


def queued_messages(links: Iterable[CarrierLink], account: str | None, kept: Sequence[bytes] = ()) -> list[bytes]:
    """Returns the ids of the messages that wait in the queues of links, each once.

    :param account: only this account's messages; None: those of all.
    :param kept: further messages that belong to them: those of a suspended account.
    """
    found = dict.fromkeys(
        part.id for link in links for part in link.queue if not part.done and account in (None, part.account)
    )
    return [*found, *(message_id for message_id in dict.fromkeys(kept) if message_id not in found)]


async def end_messages(flow: MessageFlow, ids: Sequence[bytes], clock: Any) -> int:
    """Ends messages as DELETED, and returns how many. Those that a carrier took meanwhile go on."""
    ended = 0
    for start in range(0, len(ids), _AT_ONCE):
        if start:
            await deferLater(clock, 0.0)
        ending = [Deferred.fromCoroutine(flow.cancel(one)) for one in ids[start : start + _AT_ONCE]]
        ended += sum(await gatherResults(ending, consumeErrors=True))
    return ended
