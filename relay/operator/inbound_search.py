"""Finds messages from handsets for the operator, newest first, and says whether their accounts have them.

A list never has a text: it is the business of the handset and the account.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from relay.history.query_text import QueryProblem
from relay.store.api import InboundStore
from relay.values.ids import id_text
from relay.values.inbound_lists import DELIVERIES, InboundListed, InboundWanted
from relay.values.messages import destination_of, source_of

PARAMETERS: Final = ("account", "carrier", "number", "delivery", "before", "limit")
_LIMIT: Final = 50
_MOST: Final = 500
#: So long a search goes from account to account. It ends after the account in which the time is over.
_MOST_SECONDS: Final = 1.0


class InboundLook(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    """A message from a handset, without its text.

    :ivar sender: the handset.
    :ivar parts: how many parts the handset sent; `missing` names those that did not come in time.
    :ivar owed: the ways by which the account still gets it: "webhook", "smpp".
    :ivar attempts: how many attempts to hand it over were made, and `answer` to the last one.
    """

    id: str
    received_at: float
    account: str
    carrier: str
    sender: str
    to: str
    parts: int
    missing: list[int]
    delivery: str
    owed: list[str]
    attempts: int
    answer: str


class FoundInbound(msgspec.Struct, frozen=True):
    """What a search found. `next` is the parameter `before` of the next page; None: there is no more.

    :ivar complete: False: the search took too long, and not all accounts were searched.
    """

    messages: list[InboundLook]
    next: int | None
    complete: bool


class InboundSearch:
    """Finds messages from handsets.

    :param accounts: returns the names of all accounts.
    :param seconds: returns the time.
    """

    def __init__(
        self, store: InboundStore, accounts: Callable[[], Iterable[str]], seconds: Callable[[], float]
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._seconds = seconds

    async def find(self, asked: Mapping[str, str]) -> FoundInbound:
        """Returns a page of the messages that parameters ask for.

        :raises QueryProblem: a parameter is wrong.
        :raises relay.store.api.StoreUnavailable: it can't be looked up now.
        """
        unknown = next((name for name in asked if name not in PARAMETERS), None)
        if unknown is not None:
            raise QueryProblem(unknown, f"There is no parameter '{unknown[:100]}'; there are {', '.join(PARAMETERS)}.")
        wanted = InboundWanted(
            asked.get("carrier", ""),
            asked.get("number", "").lstrip("+"),
            _delivery(asked.get("delivery", "")),
            _number(asked, "before", 0, (1 << 63) - 1),
        )
        limit = _number(asked, "limit", _LIMIT, _MOST)
        accounts = [asked["account"]] if asked.get("account") else list(self._accounts())
        ends_at = self._seconds() + _MOST_SECONDS
        found: list[InboundListed] = []
        complete = True
        for account in accounts:
            if self._seconds() > ends_at:
                complete = False
                break
            found += await self._store.latest_inbound(account, wanted, limit + 1)
        found.sort(key=_place, reverse=True)
        page = found[:limit]
        return FoundInbound([_look(each) for each in page], _place(page[-1]) if len(found) > limit else None, complete)


def _place(listed: InboundListed) -> int:
    """Its place in the feed."""
    message = listed.view.inbound
    return 0 if message is None else message.cursor


def _delivery(text: str) -> str:
    if text and text not in DELIVERIES:
        raise QueryProblem("delivery", f"'delivery' must be {', '.join(DELIVERIES)}, or be left out.")
    return text


def _number(asked: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = asked.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= most):
        raise QueryProblem(name, f"'{name}' must be a number from 1 to {most}.")
    return int(text)


def _look(listed: InboundListed) -> InboundLook:
    view = listed.view
    message: Any = view.inbound
    return InboundLook(
        id=id_text(view.id),
        received_at=message.received_at,
        account=view.account,
        carrier=message.carrier,
        sender=source_of(view.addresses).decode("latin-1"),
        to=destination_of(view.addresses).decode("latin-1"),
        parts=message.parts,
        missing=list(message.missing),
        delivery=listed.delivery,
        owed=list(view.owed),
        attempts=view.attempts[-1].attempt if view.attempts else 0,
        answer=view.attempts[-1].answer if view.attempts else "",
    )
