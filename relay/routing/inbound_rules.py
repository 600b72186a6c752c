"""Which account gets a message from a handset."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.config.model import InboundRule

#: `mobile_originated` for nobody.
REFUSE: Final = "refuse"


class InboundTarget(NamedTuple):
    """Who gets a message, and by which ways.

    :ivar account: "": nobody.
    :ivar over: `http`, `smpp`, `both`, or `auto`: http if the account has an inbound_url, otherwise smpp.
    """

    account: str
    over: str


_NOBODY: Final = InboundTarget("", "auto")


class InboundRules:
    """The rules of one carrier. They never change.

    :param rest: the carrier's `mobile_originated`: who gets what no rule is for.
    """

    def __init__(self, rules: Sequence[InboundRule], rest: str) -> None:
        self._rules = [(_Pattern(rule.to.removeprefix("+"), False), _Pattern(rule.keyword, True), rule)
                       for rule in rules]  # fmt: skip
        self._rest = _NOBODY if rest == REFUSE else InboundTarget(rest, "auto")

    def candidates(self, to: str) -> list[InboundTarget]:
        """Everybody who may get messages to a number, depending on what they say."""
        to = to.removeprefix("+")
        found = []
        for number, keyword, rule in self._rules:
            if number.matches(to):
                found.append(InboundTarget(rule.account, rule.over))
                if keyword.empty:
                    return found
        return [*found, self._rest]

    def find(self, to: str, text: str) -> InboundTarget:
        """Who gets a message: the first rule for it decides.

        :param to: the number that the handset sent to.
        :param text: what it says; "" for what is no text.
        """
        to = to.removeprefix("+")
        word = next(iter(text.split(None, 1)), "")
        for number, keyword, rule in self._rules:
            if number.matches(to) and keyword.matches(word):
                return InboundTarget(rule.account, rule.over)
        return self._rest


class _Pattern:
    """A number or a word, or its beginning with `*`."""

    def __init__(self, text: str, fold: bool) -> None:
        self._fold = fold
        self._open = text.endswith("*")
        self._text = text.removesuffix("*")
        if fold:
            self._text = self._text.casefold()
        self.empty = not self._text

    def matches(self, text: str) -> bool:
        """Whether a number or a word fits."""
        if self.empty:
            return True
        if self._fold:
            text = text.casefold()
        return text.startswith(self._text) if self._open else text == self._text
