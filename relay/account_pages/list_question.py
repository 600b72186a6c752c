"""What a customer asks the list of messages for, as the parameters of its address say it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import urlencode

from msgspec.structs import replace

from relay.history.history_query import HistoryQuery
from relay.history.query_text import query_of
from relay.values.states import (
    ACCEPTED,
    DELETED,
    DELIVERED,
    ENROUTE,
    EXPIRED,
    REJECTED,
    SCHEDULED,
    SKIPPED,
    UNDELIVERABLE,
    UNKNOWN,
)

#: The filters of the list: the name of each, and the states that it shows; None: all.
FILTERS: Final[dict[str, tuple[str, frozenset[int] | None]]] = {
    "all": ("All", None),
    "pending": ("Waiting", frozenset((SCHEDULED, ENROUTE, ACCEPTED))),
    "delivered": ("Delivered", frozenset((DELIVERED,))),
    "failed": ("Failed", frozenset((EXPIRED, DELETED, UNDELIVERABLE, UNKNOWN, SKIPPED))),
    "carrier-reject": ("Carrier-reject", frozenset((REJECTED,))),
}

#: What may have become of a message's notification, and its name.
NOTIFIED: Final = {
    "": "Any",
    "delivered": "Delivered",
    "owed": "Owed: not delivered yet",
    "failed": "Given up",
    "none": "None",
}


class ListQuestion(NamedTuple):
    """Which messages the list shows.

    :ivar show: one of `FILTERS`.
    :ivar search: an id, a number or a reference, or "".
    :ivar notified: one of `NOTIFIED`.
    :ivar since: the earliest time of acceptance, as `minute_text` writes it, or "".
    :ivar until: accepted before this time, likewise.
    """

    show: str = "all"
    search: str = ""
    notified: str = ""
    since: str = ""
    until: str = ""

    @property
    def narrowed(self) -> bool:
        """Whether it asks for less than all messages."""
        return self != ListQuestion()

    @property
    def fields(self) -> dict[str, str]:
        """The question as the fields of a form; those without a value are left out."""
        return {name: value for name, value in self._asdict().items() if value}

    def url(self, path: str = "/my/messages", **more: str) -> str:
        """The address of a page about these messages.

        :param more: further parameters. They replace the question's own.
        """
        given = {name: value for name, value in (self.fields | more).items() if value and (name, value) != _ALL}
        return f"{path}?{urlencode(given)}" if given else path

    def query(self, account: str, limit: int) -> HistoryQuery:
        """The query, without the search text.

        :raises QueryProblem: `since` or `until` is no time.
        """
        asked = {"since": self.since, "until": self.until, "notification": self.notified}
        return replace(query_of(asked, account), states=FILTERS[self.show][1], limit=limit)


_ALL: Final = ("show", "all")


def question_of(parameters: Mapping[str, str]) -> ListQuestion:
    """Reads the question from the parameters of an address. Unknown values are left out."""
    show, notified = parameters.get("show", "all"), parameters.get("notified", "")
    return ListQuestion(
        show if show in FILTERS else "all",
        parameters.get("search", "").strip()[:60],
        notified if notified in NOTIFIED else "",
        parameters.get("since", "").strip()[:40],
        parameters.get("until", "").strip()[:40],
    )


def minute_text(at: float) -> str:
    """Writes an instant as a field for date and time has it: in UTC, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M")
