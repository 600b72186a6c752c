"""Reads a search from the parameters of a URL: for the HTTP API, the operator's page and the command `find`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from relay.history.history_entries import NOTIFICATIONS
from relay.history.history_query import HistoryQuery
from relay.values.states import CUSTOMER_WORDS, SCHEDULED, SCHEDULED_STATUS

#: For each of these parameters, the field of `HistoryQuery` that gets its text unchanged.
_TEXTS: Final = {
    "id": "id", "to": "number", "to_end": "number_end", "from": "sender", "reference": "reference",
    "carrier": "carrier", "carrier_id": "carrier_id", "carrier_error": "error",
}  # fmt: skip
#: The parameters of a search, in the order of the documentation.
PARAMETERS: Final = (
    "id", "to", "to_end", "from", "reference", "status", "carrier", "carrier_id", "carrier_error", "notification",
    "since", "until", "order", "limit",
)  # fmt: skip
MOST_FOUND: Final = 500
_LONGEST_TEXT: Final = 200
_ORDERS: Final = ("newest", "oldest")


class QueryProblem(ValueError):
    """Says that a parameter of a search is wrong.

    :ivar parameter: the name of the parameter.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(reason)
        self.parameter = parameter


def query_of(parameters: Mapping[str, str], account: str | None) -> HistoryQuery:
    """Makes a query from parameters. It ignores parameters that are not in `PARAMETERS`.

    :param account: the query finds only this account's messages; None: those of all accounts.
    :raises QueryProblem: a parameter is wrong.
    """
    fields: dict[str, Any] = {}
    for name, field in _TEXTS.items():
        text = parameters.get(name, "").strip()
        if len(text) > _LONGEST_TEXT:
            raise QueryProblem(name, f"'{name}' has {_LONGEST_TEXT} characters at the most.")
        fields[field] = text.lstrip("+") if field in ("number", "number_end") else text
    fields["id"] = fields["id"].lower().replace("-", "")
    if not set(fields["id"]) <= set("0123456789abcdef") or len(fields["id"]) > 32:
        raise QueryProblem("id", "'id' must be a message id, or its beginning.")
    status = parameters.get("status", "")
    return HistoryQuery(
        account=account,
        states=_states(status),
        scheduled=_scheduled(status),
        notification=_choice(parameters, "notification", NOTIFICATIONS, ""),
        since=_instant(parameters, "since"),
        until=_instant(parameters, "until"),
        oldest_first=_choice(parameters, "order", _ORDERS, "newest") == "oldest",
        limit=_limit(parameters.get("limit", "50")),
        **fields,
    )


def _states(text: str) -> frozenset[int] | None:
    """Returns the states for a status (`DELIVRD`) or a send_status (`failed`), or None for no text."""
    if not text:
        return None
    if text.upper() == SCHEDULED_STATUS:
        return frozenset({SCHEDULED})
    states = frozenset(
        state for state, words in CUSTOMER_WORDS.items() if text.upper() == words.status or text == words.send_status
    )
    if not states:
        words = sorted({words.send_status for words in CUSTOMER_WORDS.values()})
        raise QueryProblem(
            "status", f"'status' must be one such as DELIVRD or SCHEDULED, or one of {', '.join(words)}."
        )
    return states


def _scheduled(status: str) -> bool | None:
    """Returns whether a message with this status waits for its time, or None if it may."""
    waits = {SCHEDULED_STATUS: True, CUSTOMER_WORDS[SCHEDULED].status: False}
    return waits.get(status.upper())


def _choice(parameters: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    text = parameters.get(name, "") or default
    if text not in choices and text != default:
        raise QueryProblem(name, f"'{name}' must be one of {', '.join(choices)}.")
    return text


def _instant(parameters: Mapping[str, str], name: str) -> float | None:
    text = parameters.get(name, "").strip()
    if not text:
        return None
    try:
        # A URL parser turns a plus into a space.
        at = datetime.fromisoformat(text.replace(" ", "+", 1) if "T" in text else text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = at.timestamp()
    except (ValueError, OverflowError):
        raise QueryProblem(name, f"'{name}' must be a time such as 2026-11-29T08:30:00Z or a date.") from None
    if not 0.0 <= seconds < 4e9:
        raise QueryProblem(name, f"'{name}' must be a time since 1970.")
    return seconds


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_FOUND):
        raise QueryProblem("limit", f"'limit' must be a number from 1 to {MOST_FOUND}.")
    return int(text)
