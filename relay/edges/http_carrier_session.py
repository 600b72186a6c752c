"""A carrier that is another relay's HTTP API, to the carrier's link the same as a session with an SMPP carrier.

Theory of operation: what the link sends is gathered while every allowed POST is under way, so that arrays grow with
the load by themselves. Each POST has an Idempotency-Key: where no answer came it is posted again, the same octets under
the same key, until there is one; the other relay gives the first answer again. That is never handed back to the
queue. What certainly didn't arrive (no connection, a refusal of the whole) is.

The "bind" is a GET of the account: it shows that the other relay is there and knows us. After a failed POST it is
asked again until it answers.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.core.http_carrier import read_answers, status_of
from relay.core.ids import RandomBytes
from relay.core.smpp import constants as c
from relay.core.smpp.pdus import Answered, CodecError
from relay.edges.smpp_client import BindRequest
from relay.edges.webhook_connections import ReadyHeaders

#: POSTs under way at once.
POSTS: Final = 4
#: Bounds of one POST. The API takes 1,000 messages and a megabyte.
ITEMS_A_POST: Final = 500
BYTES_A_POST: Final = 262_144
#: How long one POST is repeated while its answer is in doubt. The other relay knows a key for 24 hours.
DOUBT_SECONDS: Final = 12 * 3600.0

#: Turns a submit_sm's body and its token into an item of the array; raises CodecError.
ItemOf = Callable[[bytes, object], bytes]
Send = tuple[bytes, object]


class HttpAnswer(NamedTuple):
    """What came back."""

    status: int
    content: bytes
    retry_after_seconds: float


class Window:
    """What a link asks an SMPP session, for parts instead of PDUs."""

    __slots__ = ("outstanding", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.outstanding = 0

    @property
    def room(self) -> int:
        """How many more parts it takes."""
        return max(0, self.size - self.outstanding)


class HttpCarrierSession:
    """See the module's text. Has what a link asks of a bind (`start`, `stop`, `failures`, `request`) and of a bound
    session (`session`, `send`, `unbind`).

    :param owner: the link; see `relay.edges.smpp_client.CarrierBind`. Also asked to `pause` for some seconds.
    :param http: a treq client.
    :param base_url: of the other relay, without a slash at the end.
    :param authorization: the header's value.
    :param pause_seconds: gives the pause after so many failures in a row.
    """

    log = Logger()

    def __init__(
        self,
        owner: Any,
        http: Any,
        base_url: str,
        authorization: bytes,
        item_of: ItemOf,
        clock: IReactorTime,
        *,
        window: int,
        timeout_seconds: float,
        pause_seconds: Callable[[int], float],
        random_bytes: RandomBytes,
    ) -> None:
        self.request = BindRequest(c.BIND_TRANSMITTER, "", "")
        self.session = Window(window)
        #: Attempts in a row to reach the account; set to 0 by the link when one succeeds.
        self.failures = 0
        self._owner = owner
        self._http = http
        self._base_url = base_url
        self._authorization = authorization
        self._item_of = item_of
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        self._random_bytes = random_bytes
        self._waiting: deque[tuple[bytes, object]] = deque()
        self._posting: dict[Deferred[None], list[object]] = {}
        self._asking: Deferred[None] | None = None
        self._bound = False
        self._stopped = False

    # A bind's life

    def start(self) -> None:
        """Begins to ask for the account; returns at once."""
        if self._asking is None and not self._stopped:
            asking = Deferred.fromCoroutine(self._ask())
            self._asking = None if asking.called else asking
            asking.addErrback(self._broken)

    def stop(self) -> "Deferred[None]":
        """Ends everything; what has no answer is reported as lost."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()
        unanswered = [token for _, token in self._waiting]
        self._waiting.clear()
        for posting, tokens in tuple(self._posting.items()):
            unanswered += tokens
            posting.cancel()
        self.session.outstanding = 0
        if unanswered or self._bound:
            self._bound = False
            self._owner.lost(self, unanswered, "closed by us")
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def unbind(self) -> None:
        """HTTP knows no farewell; `stop` does it all."""

    async def _ask(self) -> None:
        try:
            while not self._stopped:
                if await self._is_there():
                    self._asking = None
                    self._bound = True
                    self._owner.bound(self)
                    return
                self.failures += 1
                await deferLater(self._clock, self._pause_seconds(self.failures))
        finally:
            self._asking = None

    async def _is_there(self) -> bool:
        try:
            answer = await self._exchange("GET", "/account", None, None)
        except CancelledError:
            raise
        except Exception as problem:
            self._owner.connect_failed(self.request, _words(problem))
            return False
        if answer.status == 200:
            return True
        if answer.status in (401, 403):
            self._owner.bind_refused(self, c.ESME_RINVPASWD)
            self._owner.lost(self, (), f"HTTP {answer.status}")
            # The link counts a refused bind itself.
            self.failures -= 1
            return False
        self._owner.connect_failed(self.request, f"GET /account was answered {answer.status}")
        return False

    def _down(self, reason: str) -> None:
        """Nothing more is taken from the link until the account has answered again."""
        if self._bound:
            self._bound = False
            self._owner.lost(self, (), reason)
        if self._asking is None and not self._stopped:
            self.start()

    # Sending

    def send(self, command_id: int, batch: Sequence[Send]) -> None:
        """Takes parts; each will be answered, or reported as unanswered or lost."""
        self.session.outstanding += len(batch)
        refused: list[Answered] = []
        for body, token in batch:
            try:
                self._waiting.append((self._item_of(body, token), token))
            except CodecError as problem:
                refused.append(Answered(token, c.SUBMIT_SM_RESP, problem.command_status, b""))
        self._fill()
        if refused:
            # Not from within the link's own loop.
            self._clock.callLater(0, self._answer, refused)

    def _fill(self) -> None:
        while self._waiting and len(self._posting) < POSTS and not self._stopped:
            batch: list[Send] = []
            octets = 0
            while self._waiting and len(batch) < ITEMS_A_POST:
                octets += len(self._waiting[0][0]) + 1
                if batch and octets > BYTES_A_POST:
                    break
                batch.append(self._waiting.popleft())
            posting = Deferred.fromCoroutine(self._post(batch))
            if not posting.called:
                self._posting[posting] = [token for _, token in batch]
            posting.addErrback(self._broken)
            posting.addCallback(self._posted, posting)

    def _posted(self, result: object, posting: "Deferred[None]") -> None:
        if self._posting.pop(posting, None) is not None:
            self._fill()

    def _broken(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("carrier_http_broken: a mistake in the relay itself", failure=failure)

    async def _post(self, batch: list[Send]) -> None:
        """Posts until every item has an answer."""
        # Leaves the link's loop first: what is answered at once must not come in the middle of it.
        await deferLater(self._clock, 0)
        body = b"[%b]" % b",".join([item for item, _ in batch])
        key = self._random_bytes(16).hex().encode()
        begun_at = self._clock.seconds()
        in_doubt = 0
        while True:
            try:
                answer = await self._exchange("POST", "/messages", body, key)
            except CancelledError:
                raise
            except Exception as problem:
                if not in_doubt and _never_sent(problem):
                    self._answer_all(batch, c.ESME_RSYSERR)
                    self._down(_words(problem))
                    return
                in_doubt += 1
                if self._clock.seconds() - begun_at > DOUBT_SECONDS:
                    self._give_up(batch)
                    return
                if in_doubt > 1:
                    # The first time it may only have been a kept connection that the other side had just closed.
                    self._down(_words(problem))
                    await deferLater(self._clock, self._pause_seconds(in_doubt - 1))
                continue
            if answer.status == 202:
                try:
                    answers = read_answers(answer.content, len(batch))
                except ValueError as problem:
                    self._down(str(problem))
                    self._give_up(batch)
                    return
                self._answer(
                    [
                        Answered(token, c.SUBMIT_SM_RESP, status, message_id)
                        for (_, token), (status, message_id) in zip(batch, answers, strict=True)
                    ]
                )
                return
            if answer.status == 409:
                # The same request is still being answered.
                await deferLater(self._clock, answer.retry_after_seconds or 1.0)
            elif answer.status in (429, 503):
                self._answer_all(batch, status_of(answer.status))
                self._owner.pause(answer.retry_after_seconds)
                return
            elif answer.status >= 500:
                in_doubt += 1
                self._down(f"HTTP {answer.status}")
                await deferLater(self._clock, self._pause_seconds(in_doubt))
            elif answer.status in (400, 413, 422):
                if len(batch) == 1:
                    self._answer_all(batch, c.ESME_RSUBMITFAIL)
                    return
                # One item is to blame for all: by halves until it is alone.
                await self._post(batch[: len(batch) // 2])
                await self._post(batch[len(batch) // 2 :])
                return
            else:
                self._answer_all(batch, c.ESME_RSYSERR)
                self._down(f"POST /messages was answered {answer.status}")
                return

    def _answer_all(self, batch: list[Send], command_status: int) -> None:
        self._answer([Answered(token, c.SUBMIT_SM_RESP, command_status, b"") for _, token in batch])

    def _answer(self, answers: list[Answered]) -> None:
        if self._stopped:
            return
        self.session.outstanding -= len(answers)
        self._forget([answer.token for answer in answers])
        self._owner.answered(self, answers)

    def _give_up(self, batch: list[Send]) -> None:
        tokens = [token for _, token in batch]
        self.session.outstanding -= len(tokens)
        self._forget(tokens)
        self._owner.unanswered(self, tokens)

    def _forget(self, tokens: list[object]) -> None:
        """They are the link's again: a stop must not report them a second time."""
        gone = {id(token) for token in tokens}
        for waiting in self._posting.values():
            waiting[:] = [token for token in waiting if id(token) not in gone]

    async def _exchange(self, method: str, path: str, body: bytes | None, key: bytes | None) -> HttpAnswer:
        asking = Deferred.fromCoroutine(self._request(method, path, body, key))
        return await asking.addTimeout(self._timeout_seconds, self._clock)

    async def _request(self, method: str, path: str, body: bytes | None, key: bytes | None) -> HttpAnswer:
        headers = {b"Authorization": [self._authorization]}
        if body is not None and key is not None:
            headers |= {b"Content-Type": [b"application/json"], b"Idempotency-Key": [key]}
        url = (self._base_url + path).encode("ascii")
        response = await self._http.request(method, url, headers=ReadyHeaders.of(headers), data=body, unbuffered=True)
        values = response.headers.getRawHeaders("Retry-After") or [""]
        retry_after = values[0]
        return HttpAnswer(response.code, await response.content(), float(retry_after) if retry_after.isdigit() else 0.0)


def _never_sent(problem: Exception) -> bool:
    return isinstance(problem, ConnectError | DNSLookupError | ConnectTimeoutError | ConnectingCancelledError)


def _words(problem: Exception) -> str:
    return str(problem) or type(problem).__name__
