"""Values that may be used but never shown."""

import hmac


class Secret:
    """A password or key. Its repr, str and format don't show the text; only `reveal` does.

    A login check may use `==` or `matches`: both compare in constant time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Only the code that sends or checks the secret may call it."""
        return self._text

    def matches(self, candidate: str) -> bool:
        """Whether `candidate` is the secret. The time doesn't depend on where the two differ."""
        return hmac.compare_digest(self._text.encode(), candidate.encode("utf-8", "surrogateescape"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)
