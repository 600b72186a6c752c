"""One finished message as a line of JSON: what billing and disputes need, and no text.

docs/logging.md lists the fields. Times are ISO 8601 in UTC; what there is none of is null.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from relay.values.ids import id_text
from relay.values.messages import MessageView, destination_of, source_of
from relay.values.states import customer_words

_encode = msgspec.json.Encoder().encode


def record_line(view: MessageView) -> bytes:
    """The line, with its newline."""
    return _encode(record_of(view)) + b"\n"


def record_of(view: MessageView) -> dict[str, Any]:
    """The line's fields."""
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
        "parts": [
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
            for part in view.parts
        ],
    }


def _carrier_done_at(at: float | None) -> dict[str, str | None]:
    return {"carrier_done_at": _time(at)} if at else {}


def _time(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Known(msgspec.Struct, gc=False):
    id: str
    done_at: str | None = None


_decode_known = msgspec.json.Decoder(_Known).decode


class KnownLines(msgspec.Struct, frozen=True, gc=False):
    """What the last lines of a file tell a start.

    :ivar ids: the ids that have a line.
    :ivar earliest: when the first of them ended, in seconds since 1970; 0.0 where there are none.
    :ivar latest: when the last of them ended; 0.0 where there are none.
    """

    ids: frozenset[str] = frozenset()
    earliest: float = 0.0
    latest: float = 0.0


def known_lines(lines: bytes) -> KnownLines:
    """Reads the last lines of a file. Lines that can't be read are passed over: a crash may have torn one."""
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
