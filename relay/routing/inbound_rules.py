"""Finds the account that gets a message from a handset."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.config.carrier_config import InboundRule

#: The value of `mobile_originated` if no account gets the messages.
REFUSE: Final = "refuse"


class InboundTarget(NamedTuple):
    """Says which account gets a message, and over which interface.

    :ivar account: the account; "" if nobody gets the message.
    :ivar over: `http`, `smpp`, `both`, or `auto`: http if the account has an inbound_url, otherwise smpp.
    """

    account: str
    over: str


_NOBODY: Final = InboundTarget("", "auto")


class InboundRules:
    """Finds the account for a message by the rules of one carrier. They never change.

    :param rest: the carrier's `mobile_originated`: the account that gets the messages that match no rule.
    """

    def __init__(self, rules: Sequence[InboundRule], rest: str) -> None:
        self._rules = [(_Pattern(rule.to.removeprefix("+"), False), _Pattern(rule.keyword, True), rule)
                       for rule in rules]  # fmt: skip
        self._rest = _NOBODY if rest == REFUSE else InboundTarget(rest, "auto")

    def candidates(self, to: str) -> list[InboundTarget]:
        """Returns all targets that may get messages to a number. The text of a message decides between them."""
        to = to.removeprefix("+")
        found = []
        for number, keyword, rule in self._rules:
            if number.matches(to):
                found.append(InboundTarget(rule.account, rule.over))
                if keyword.empty:
                    return found
        return [*found, self._rest]

    def find(self, to: str, text: str) -> InboundTarget:
        """Returns the target of a message. The first rule that matches decides.

        :param to: the number to which the handset sent the message.
        :param text: the text of the message; "" if it has no text.
        """
        to = to.removeprefix("+")
        word = next(iter(text.split(None, 1)), "")
        for number, keyword, rule in self._rules:
            if number.matches(to) and keyword.matches(word):
                return InboundTarget(rule.account, rule.over)
        return self._rest


class _Pattern:
    """Matches a number or a word. With `*` at its end, it matches all that begin with it."""

    def __init__(self, text: str, fold: bool) -> None:
        self._fold = fold
        self._open = text.endswith("*")
        self._text = text.removesuffix("*")
        if fold:
            self._text = self._text.casefold()
        self.empty = not self._text

    def matches(self, text: str) -> bool:
        """Returns true if the number or the word matches."""
        if self.empty:
            return True
        if self._fold:
            text = text.casefold()
        return text.startswith(self._text) if self._open else text == self._text
