"""Our requests that wait for a response: their sequence numbers, what they mean to us, and when their time is up.

Theory of operation. A dict keeps the order of insertion, and requests are entered in the order in which they are
sent, so the oldest is always the first entry: one look at it says when the next one's time is up, and no request
needs a timer. A batch shares one clock reading. Numbers whose time is up are remembered for a while, so that a
response that comes after all can be told from one that answers nothing.

Questions about messages (query_sm, cancel_sm) take places as well, but stand apart: a response that carries their
number and isn't theirs must not be taken for an answer, and messages pay nothing for that check. A late answer to a
question is of no use to anybody, so their numbers aren't remembered.
"""

from collections.abc import Iterable

from relay.values.smpp_constants import GENERIC_NACK

#: Section 3.2: sequence_number runs from 1 to this and begins again.
MAX_SEQUENCE_NUMBER = 0x7FFFFFFF


class Window:
    """One session's unanswered requests. The session's receiving loop pops from `waiting` directly.

    :param late_numbers: how many timed-out numbers are remembered; the oldest is forgotten first.

    :ivar waiting: sequence_number to (token, when it was sent), oldest first.
    :ivar asked: questions: sequence_number to (token, when it was sent, the command_id of its response).
    """

    __slots__ = ("_late", "_late_numbers", "_next", "_wrapped", "asked", "response_timeout_seconds", "waiting")

    def __init__(self, response_timeout_seconds: float, late_numbers: int, first_sequence_number: int = 1) -> None:
        self.waiting: dict[int, tuple[object, float]] = {}
        self.asked: dict[int, tuple[object, float, int]] = {}
        self.response_timeout_seconds = response_timeout_seconds
        self._late: dict[int, object] = {}
        self._late_numbers = late_numbers
        self._next = first_sequence_number
        self._wrapped = False

    def numbers(self, count: int) -> Iterable[int]:
        """The next `count` sequence numbers. After the first wrap, those that still wait are passed over."""
        first = self._next
        end = first + count
        if end <= MAX_SEQUENCE_NUMBER and not self._wrapped:
            self._next = end
            return range(first, end)
        return [self._next_free() for _ in range(count)]

    def _next_free(self) -> int:
        while True:
            number = self._next
            if number >= MAX_SEQUENCE_NUMBER:
                self._next = 1
                self._wrapped = True
            else:
                self._next = number + 1
            if number not in self.waiting and number not in self.asked:
                self._late.pop(number, None)
                return number

    @property
    def due_at(self) -> float | None:
        """When the oldest request's time is up; None: nothing waits, or for ever."""
        if self.response_timeout_seconds <= 0.0:
            return None
        oldest: list[float] = []
        if self.waiting:
            oldest.append(next(iter(self.waiting.values()))[1])
        if self.asked:
            oldest.append(next(iter(self.asked.values()))[1])
        return min(oldest) + self.response_timeout_seconds if oldest else None

    @property
    def count(self) -> int:
        """How many requests wait for a response."""
        return len(self.waiting) + len(self.asked)

    def tokens(self) -> list[object]:
        """What the requests that wait mean to us."""
        return [token for token, _ in self.waiting.values()] + [token for token, _, _ in self.asked.values()]

    def answer(self, sequence_number: int, command_id: int) -> tuple[object] | None:
        """The token of the question that this response answers, in a tuple; None: it answers none.

        :param command_id: of the response; a generic_nack answers any question.
        """
        entry = self.asked.get(sequence_number)
        if entry is None or command_id not in (entry[2], GENERIC_NACK):
            return None
        del self.asked[sequence_number]
        return (entry[0],)

    def expire(self, now: float) -> list[object]:
        """Takes out the requests whose time is up and gives their tokens, oldest first."""
        timeout_seconds = self.response_timeout_seconds
        if timeout_seconds <= 0.0:
            return []
        expired = []
        for number, (_, sent_at) in self.waiting.items():
            if now < sent_at + timeout_seconds:
                break
            expired.append(number)
        tokens = [self._give_up(number) for number in expired]
        for number, (token, sent_at, _) in tuple(self.asked.items()):
            if now < sent_at + timeout_seconds:
                break
            del self.asked[number]
            tokens.append(token)
        return tokens

    def _give_up(self, number: int) -> object:
        token, _ = self.waiting.pop(number)
        late = self._late
        late[number] = token
        if len(late) > self._late_numbers:
            del late[next(iter(late))]
        return token

    def late(self, sequence_number: int) -> tuple[object] | None:
        """The token of a request whose time was up, in a tuple (a token may be anything); None: not remembered."""
        try:
            return (self._late.pop(sequence_number),)
        except KeyError:
            return None

    def clear(self) -> tuple[object, ...]:
        """Forgets everything and gives the tokens of what waited, oldest first; those of questions last."""
        tokens = tuple(self.tokens())
        self.waiting.clear()
        self.asked.clear()
        self._late.clear()
        return tokens
