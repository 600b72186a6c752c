"""Makes the line of JSON for an ended message, with the data for billing and disputes but without the text.

docs/logging.md lists the fields. Times are ISO 8601 in UTC. A field without a value is null.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from relay.values.ids import id_text
from relay.values.instants import instant
from relay.values.message_view import MessageView, PartView
from relay.values.messages import destination_of, source_of
from relay.values.states import customer_words

_encode = msgspec.json.Encoder().encode


def record_line(view: MessageView) -> bytes:
    """Makes the line of a message, with its newline."""
    return _encode(record_of(view)) + b"\n"


def record_of(view: MessageView) -> dict[str, Any]:
    """Makes the fields of a message's line."""
    words = customer_words(view.state, view.carrier_error.encode())
    return {
        "id": id_text(view.id),
        "account": view.account,
        "reference": view.reference,
        "interface": view.interface,
        "from": source_of(view.addresses).decode("latin-1"),
        "to": destination_of(view.addresses).decode("latin-1"),
        "status": words.status,
        "send_status": words.send_status,
        "error": words.error,
        "carrier": view.carrier or None,
        "carrier_error": view.carrier_error or None,
        "accepted_at": _time(view.accepted_at),
        "done_at": _time(view.done_at),
        **_carrier_done_at(view.carrier_done_at),
        "expires_at": _time(view.expires_at),
        "parts": _parts(view.parts),
        **_cost(view),
        **({"rounds": [_parts(parts) for parts in view.rounds]} if view.rounds else {}),
    }


def _cost(view: MessageView) -> dict[str, Any]:
    cost = view.cost
    if cost is None:
        return {}
    return {"price": cost.price_text, "currency": cost.currency, "refunded": view.refunded}


def _parts(parts: Sequence[PartView]) -> list[dict[str, Any]]:
    return [
        {
            "carrier": part.carrier or None,
            "carrier_message_id": part.carrier_message_id or None,
            "status": customer_words(part.state, b"").status,
            "carrier_error": part.carrier_error or None,
            "carrier_stat": part.carrier_stat or None,
            "submitted_at": _time(part.submitted_at),
            "done_at": _time(part.done_at),
            **_carrier_done_at(part.carrier_done_at),
        }
        for part in parts
    ]


def _carrier_done_at(at: float | None) -> dict[str, str | None]:
    return {"carrier_done_at": _time(at)} if at else {}


def _time(at: float | None) -> str | None:
    return None if at is None else instant(at)


class _Known(msgspec.Struct, gc=False):
    id: str
    done_at: str | None = None


_decode_known = msgspec.json.Decoder(_Known).decode


class KnownLines(msgspec.Struct, frozen=True, gc=False):
    """Tells a start which messages have a line at the end of the file.

    :ivar ids: the ids of the messages that have a line.
    :ivar earliest: when the first of these messages ended, in seconds since 1970; 0.0 if there are none.
    :ivar latest: when the last of these messages ended, in seconds since 1970; 0.0 if there are none.
    """

    ids: frozenset[str] = frozenset()
    earliest: float = 0.0
    latest: float = 0.0


def known_lines(lines: bytes) -> KnownLines:
    """Reads the last lines of a file. It skips lines that it can't read, because a crash may have torn one."""
    ids: set[str] = set()
    ends: list[float] = []
    for line in lines.splitlines():
        try:
            known = _decode_known(line)
            done_at = None if known.done_at is None else datetime.fromisoformat(known.done_at).timestamp()
        except (msgspec.MsgspecError, ValueError, UnicodeDecodeError):
            continue
        ids.add(known.id)
        if done_at is not None:
            ends.append(done_at)
    return KnownLines(frozenset(ids), min(ends, default=0.0), max(ends, default=0.0))
