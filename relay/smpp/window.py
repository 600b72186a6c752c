"""Keeps our requests that wait for a response: their sequence numbers, their tokens, and their times.

Theory of operation. A dict keeps the order of insertion, and requests are added in the order in which they are sent. So
the oldest request is always the first entry, which says when the next one times out. No request needs a timer. All
requests of a batch have the same time. The numbers of timed-out requests are remembered for a while, so that a late
response is recognized.

`waiting` has the role's own message requests (a client's submit_sm, a server's deliver_sm). The receiving loop checks
that a response to them has the right command. `asked` has all other requests (query_sm, cancel_sm, ...), each with the
command of its response. A response with another command is ignored, even if its number is right. The numbers of
timed-out requests in `asked` aren't remembered, because late answers to them are useless.
"""

from collections.abc import Iterable

from relay.smpp.message_codec import RESPONSE_ROWS, decode_message_id
from relay.values.pdus import Accepted, Answered, Event, LateAnswer
from relay.values.smpp_constants import GENERIC_NACK

#: The largest sequence_number. After it, numbers begin again with 1 (section 3.2).
MAX_SEQUENCE_NUMBER = 0x7FFFFFFF


class Window:
    """Keeps one session's unanswered requests. The session's receiving loop removes entries of `waiting` itself.

    :param late_numbers: how many numbers of timed-out requests are remembered. The oldest is dropped first.

    :ivar waiting: for each sequence_number, the token, and when the request was sent. The oldest is first.
    :ivar asked: for other requests likewise, and the command_id of the response.
    :ivar unknown_responses: how many responses belonged to no request of ours.
    """

    __slots__ = (
        "_late",
        "_late_numbers",
        "_next",
        "_wrapped",
        "asked",
        "response_timeout_seconds",
        "unknown_responses",
        "waiting",
    )

    def __init__(self, response_timeout_seconds: float, late_numbers: int, first_sequence_number: int = 1) -> None:
        self.waiting: dict[int, tuple[object, float]] = {}
        self.asked: dict[int, tuple[object, float, int]] = {}
        self.response_timeout_seconds = response_timeout_seconds
        self._late: dict[int, object] = {}
        self._late_numbers = late_numbers
        self._next = first_sequence_number
        self._wrapped = False
        self.unknown_responses = 0

    def numbers(self, count: int) -> Iterable[int]:
        """The next `count` sequence numbers. When numbers have begun again with 1, those still in use are skipped."""
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
        """When the oldest request times out; None: no request waits, or there is no timeout."""
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
        """The tokens of the requests that wait."""
        return [token for token, _ in self.waiting.values()] + [token for token, _, _ in self.asked.values()]

    def settle_row(self, data: bytes, at: int, length: int, events: list[Event]) -> int:
        """Settles consecutive responses of one command and one length, and adds their events.

        Requests are sent together, so their responses come together. Those that say ESME_ROK, and belong to requests
        that wait, share one event.

        :param at: the offset of the first response in `data`.
        :return: the offset after the last one.
        """
        pop = self.waiting.pop
        head = data[at : at + 8]
        command_id = int.from_bytes(head[4:], "big")
        whole = at + (len(data) - at) // length * length
        tokens: list[object] = []
        message_ids: list[bytes] = []
        for same, status, sequence_number, message_id, last in RESPONSE_ROWS[length].iter_unpack(
            memoryview(data)[at:whole]
        ):
            if same != head:
                break
            entry = pop(sequence_number, None)
            if last:
                # The message_id has no NUL.
                message_id = data[at + 16 : at + length]
            if entry is None or status or 0 in message_id:
                if tokens:
                    events.append(Accepted(command_id, tokens, message_ids))
                    tokens, message_ids = [], []
                if entry is None or 0 in message_id:
                    self.settle_unusual(entry, command_id, status, sequence_number, data[at + 16 : at + length], events)
                else:
                    events.append(Answered(entry[0], command_id, status, message_id))
            else:
                tokens.append(entry[0])
                message_ids.append(message_id)
            at += length
        if tokens:
            events.append(Accepted(command_id, tokens, message_ids))
        return at

    def settle_unusual(
        self,
        entry: tuple[object, float] | None,
        command_id: int,
        status: int,
        sequence_number: int,
        body: bytes,
        events: list[Event],
    ) -> None:
        """Settles a response that has more fields than a message_id, comes late, or belongs to no request.

        :param entry: the entry of `waiting` with its number.
        """
        message_id = decode_message_id(body)
        if entry is not None:
            events.append(Answered(entry[0], command_id, status, message_id, body))
            return
        late = self._late_token(sequence_number)
        if late is None:
            self.unknown_responses += 1
        else:
            events.append(LateAnswer(late[0], status, message_id))

    def settle_other(
        self, command_id: int, status: int, sequence_number: int, body: bytes, events: list[Event]
    ) -> None:
        """Settles a response to a request that isn't the role's own message request, or a generic_nack."""
        question = self._answer(sequence_number, command_id)
        if question is not None:
            events.append(Answered(question[0], command_id, status, decode_message_id(body), body))
        elif command_id == GENERIC_NACK:
            entry = self.waiting.pop(sequence_number, None)
            self.settle_unusual(entry, command_id, status, sequence_number, body, events)
        else:
            self.unknown_responses += 1

    def _answer(self, sequence_number: int, command_id: int) -> tuple[object] | None:
        """The token of the request in `asked` that this response belongs to, in a tuple; None: it belongs to none."""
        entry = self.asked.get(sequence_number)
        if entry is None or command_id not in (entry[2], GENERIC_NACK):
            return None
        del self.asked[sequence_number]
        return (entry[0],)

    def expire(self, now: float) -> list[object]:
        """Removes the requests that have timed out. Returns their tokens, oldest first."""
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

    def _late_token(self, sequence_number: int) -> tuple[object] | None:
        """The token of a request that had timed out, in a tuple (a token may be None); None: it isn't remembered."""
        try:
            return (self._late.pop(sequence_number),)
        except KeyError:
            return None

    def clear(self) -> tuple[object, ...]:
        """Removes all requests. Returns their tokens, oldest first, and those in `asked` last."""
        tokens = tuple(self.tokens())
        self.waiting.clear()
        self.asked.clear()
        self._late.clear()
        return tokens
