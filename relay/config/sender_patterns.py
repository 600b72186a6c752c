"""Patterns for senders in the configuration: `ACME`, `ACME*`, `numeric` or `alphanumeric`."""

from collections.abc import Sequence
from typing import Final

#: Words that mean a kind of sender. An operator who means the sender "numeric" writes `numeric*`.
NUMERIC: Final = "numeric"
ALPHANUMERIC: Final = "alphanumeric"


def is_numeric(sender: bytes) -> bool:
    """Whether a sender is a number: digits, perhaps with a plus before them."""
    return sender.removeprefix(b"+").isdigit()


class SenderPattern:
    """A pattern: one word of the configuration that matches some senders.

    A plus at the beginning of the sender or of the pattern is ignored. Upper and lower case differ.

    :ivar rank: how specific the pattern is. Among routes, the one with the highest rank wins.
    :raises ValueError: the pattern isn't valid. The text says what is wrong, and what to write.
    """

    def __init__(self, text: str) -> None:
        written = text.removeprefix("+")
        if not written.isascii() or not written.isprintable():
            raise ValueError("may only hold printable ASCII characters")
        self._kind = written if written in (NUMERIC, ALPHANUMERIC) else ""
        self._open = written.endswith("*")
        if "*" in written[:-1] or written in ("", "*"):
            raise ValueError(
                f"{text!r} can't be a sender; write a sender such as ACME, or the beginning of senders such as ACME*, "
                f"or {NUMERIC}, or {ALPHANUMERIC}"
            )
        self._sender = written.removesuffix("*").encode()
        #: A whole sender has the highest rank. Then come beginnings, longer ones first, and last the kinds.
        self.rank = (1, 0) if self._kind else (2, len(self._sender)) if self._open else (3, 0)

    def matches(self, sender: bytes) -> bool:
        """Whether the pattern matches a sender. No pattern matches an empty sender."""
        if self._kind:
            return bool(sender) and is_numeric(sender) == (self._kind == NUMERIC)
        sender = sender.removeprefix(b"+")
        return sender.startswith(self._sender) if self._open else sender == self._sender


class AllowedSenders:
    """Knows which senders an account may use.

    :param patterns: as in the configuration; empty: all senders.
    :raises ValueError: a pattern isn't valid, see `SenderPattern`.
    """

    #: How many answers are kept. Beyond it, all are dropped.
    _KEPT: Final = 10_000

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [SenderPattern(pattern) for pattern in patterns]
        self._known: dict[bytes, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def allow(self, sender: bytes) -> bool:
        """Whether the account may send with this sender."""
        known = self._known.get(sender)
        if known is None:
            if len(self._known) >= self._KEPT:
                self._known.clear()
            known = self._known[sender] = any(pattern.matches(sender) for pattern in self._patterns)
        return known
