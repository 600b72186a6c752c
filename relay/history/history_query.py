"""The values of a search in the history: what to find, and what was found."""

from collections.abc import Sequence

import msgspec

from relay.history.history_entries import Group
from relay.values.message_view import MessageView


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Says which messages to find: those that meet all conditions. A field with None or "" is no condition.

    :ivar id: the message id or its beginning, as hexadecimal digits without hyphens.
    :ivar number: the digits of the whole destination.
    :ivar number_end: the last digits of the destination.
    :ivar carrier_id: the carrier message id, as its canonical id.
    :ivar states: the message must have one of these `message_state` numbers.
    :ivar scheduled: true finds only messages that wait for their time (`send_at`), false only the others. The history
        can't tell which messages wait, so `MessageLists` looks for them in memory.
    :ivar error: the carrier error.
    :ivar notification: one of `relay.history.history_entries.NOTIFICATIONS`.
    :ivar ended: true finds only ended messages, false only messages that have not ended.
    :ivar since: the earliest time of acceptance, in seconds since 1970.
    :ivar until: the time of acceptance must be before this, in seconds since 1970.
    :ivar after: the search goes on from here; it is the `HistoryPage.cursor` of an earlier search.
    """

    account: str | None = None
    id: str = ""
    number: str = ""
    number_end: str = ""
    reference: str = ""
    sender: str = ""
    carrier: str = ""
    carrier_id: str = ""
    states: frozenset[int] | None = None
    scheduled: bool | None = None
    error: str = ""
    notification: str = ""
    ended: bool | None = None
    since: float | None = None
    until: float | None = None
    oldest_first: bool = False
    after: int | None = None
    limit: int = 50


class HistoryPage(msgspec.Struct, frozen=True):
    """Holds the messages that a search found.

    :ivar cursor: the next search goes on here. None: there are no more messages.
    :ivar complete: false if the time was over before the search had found `limit` messages.
    """

    messages: Sequence[MessageView]
    cursor: int | None
    complete: bool = True


class HistorySums(msgspec.Struct, frozen=True):
    """Holds the number of messages that were accepted in each minute or hour, by outcome.

    :ivar counts: the minute or hour (counted from 1970), the group, and the number of messages; in order of time.
    :ivar took: for delivered messages: the minute or hour, the class of `TOOK_SECONDS`, and the number of messages.
    :ivar waiting_before: messages that were accepted before the first hour, and have not ended.
    """

    counts: Sequence[tuple[int, Group, int]]
    took: Sequence[tuple[int, int, int]]
    waiting_before: int = 0
