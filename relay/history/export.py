"""Writes messages as lines of a file: CSV for spreadsheets, or one JSON object per line. Neither has texts."""

import csv
import io
from collections.abc import Iterable
from typing import Final, Literal

from relay.history.record_line import record_line, record_of
from relay.values.message_view import MessageView

Format = Literal["csv", "jsonl"]

CONTENT_TYPES: Final[dict[str, bytes]] = {
    "csv": b"text/csv; charset=utf-8; header=present",
    "jsonl": b"application/jsonl; charset=utf-8",
}
_COLUMNS: Final = (
    "id", "account", "reference", "interface", "from", "to", "status", "send_status", "error", "carrier",
    "carrier_error", "carrier_message_ids", "parts", "accepted_at", "done_at", "price", "currency", "refunded",
)  # fmt: skip
#: If a cell begins with one of these, a spreadsheet reads it as a formula, or drops that first character.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def head(kind: Format) -> bytes:
    """Returns the bytes that the file has before its first message."""
    return _rows([_COLUMNS]) if kind == "csv" else b""


def lines(kind: Format, views: Iterable[MessageView]) -> bytes:
    """Returns the lines of these messages, one line for each message."""
    if kind == "jsonl":
        return b"".join([record_line(view) for view in views])
    return _rows(_cells(view) for view in views)


def _cells(view: MessageView) -> list[str]:
    record = record_of(view)
    record["carrier_message_ids"] = " ".join(part.carrier_message_id for part in view.parts if part.carrier_message_id)
    record["parts"] = len(view.parts)
    return [_safe("" if record.get(name) is None else str(record[name])) for name in _COLUMNS]


def _safe(text: str) -> str:
    """Puts an apostrophe before a text that a spreadsheet would read as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _rows(rows: Iterable[Iterable[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()
