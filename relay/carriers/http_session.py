"""A carrier that is another relay's HTTP API: a `CarrierSession` that sends POSTs, and the keeper of itself.

Theory of operation: what the link sends is gathered while every allowed POST is under way, so that arrays grow with
the load by themselves. A POST ends in one of three ways. It has an answer for every item. Or it certainly wasn't taken
(no connection, a refusal of the whole): then its parts go back to the link's queue. Or nobody can know (the connection
ended, no answer came in time, the answer makes no sense): then its parts stay here, in doubt, and are posted again
before anything else until each has an answer or its validity is over. That is harmless: every item has a key of its
own, by which the other relay knows it again in whatever array it comes, also after the death of either process.

The "bind" is a GET of the account: it shows that the other relay is there and knows us. After a failed POST it is
asked again until it answers, and nothing is posted meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.carriers.relay_api import read_answers, status_of
from relay.carriers.session_api import Request, SessionReports
from relay.config.urls import parse_url
from relay.runtime.bounded_body import read_body
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, CodecError
from relay.webhooks.connections import ReadyHeaders, common_headers
from relay.webhooks.schedule import retry_after_seconds
from relay.webhooks.webhook_client import reason_of

#: POSTs under way at once.
POSTS: Final = 4
#: Bounds of one POST. The API takes 1,000 messages and a megabyte.
ITEMS_A_POST: Final = 500
BYTES_A_POST: Final = 262_144
#: An answer to so many items, each with a problem of many words, is smaller.
ANSWER_BYTES: Final = 1_048_576
#: The other relay may not put us off for longer than this at once.
LONGEST_PAUSE_SECONDS: Final = 3_600.0

#: Turns a submit_sm's body and its token into an item of the array; None: it isn't worth sending any more. Raises
#: CodecError.
ItemOf = Callable[[bytes, object], bytes | None]


class HttpAnswer(NamedTuple):
    """What came back."""

    status: int
    content: bytes
    retry_after_seconds: float


class HttpCarrierSession:
    """Sends messages to another relay over HTTP. A `CarrierSession` and its `SessionKeeper` in one.

    :param reports: the link.
    :param http: a treq client that may reach the carrier.
    :param base_url: of the other relay, without a slash at the end.
    :param authorization: the header's value.
    :param timeout_seconds: how long one request may take, from connecting to the answer's last octet.
    :param pause_seconds: gives the pause after so many failures in a row.
    """

    log = Logger()

    def __init__(
        self,
        reports: SessionReports,
        http: Any,
        base_url: str,
        authorization: bytes,
        item_of: ItemOf,
        clock: IReactorTime,
        *,
        window: int,
        timeout_seconds: float,
        pause_seconds: Callable[[int], float],
    ) -> None:
        self.outstanding = 0
        #: Nobody asks: no query_sm and no cancel_sm go over HTTP.
        self.heard_at = 0.0
        self._window = window
        #: Attempts in a row to reach the account that failed.
        self._failures = 0
        self._reports = reports
        self._http = http
        self._base_url = base_url
        self._authorization = authorization
        self._item_of = item_of
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        #: What the link has sent and no POST has taken up.
        self._waiting: deque[Request] = deque()
        #: What was posted, and nobody knows whether it was taken.
        self._in_doubt: deque[Request] = deque()
        #: What each POST under way holds.
        self._posting: dict[Deferred[None], list[Request]] = {}
        #: POSTs in a row that came to nothing.
        self._failed_posts = 0
        self._asking: Deferred[None] | None = None
        self._filling: IDelayedCall | None = None
        self._bound = False
        self._stopped = False

    # A bind's life

    def start(self) -> None:
        """Begins to ask for the account; returns at once. A second call does nothing."""
        if self._asking is None and not self._bound and not self._stopped:
            asking = self._asking = Deferred.fromCoroutine(self._ask())
            asking.addErrback(self._broken)

    def stop(self) -> "Deferred[None]":
        """Ends everything; what has no answer is reported as lost, what was never posted is given back."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
        unsent = self._take_waiting()
        doubtful = list(self._in_doubt)
        self._in_doubt.clear()
        for posting, batch in tuple(self._posting.items()):
            doubtful += batch
            batch.clear()
            posting.cancel()
        self.outstanding = 0
        if self._bound:
            self._bound = False
            self._reports.lost(self, _tokens(doubtful), "closed by us")
        elif doubtful:
            self._reports.unanswered(self, _tokens(doubtful))
        if unsent:
            self._reports.unsent(self, _tokens(unsent))
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def unbind(self) -> None:
        """HTTP knows no farewell; `stop` does it all."""

    async def _ask(self) -> None:
        # Leaves the caller first, which may be in the middle of an answer.
        await deferLater(self._clock, 0)
        if self._failed_posts > 1:
            # The account may well answer while POSTs fail: without a pause one would chase the other.
            await deferLater(self._clock, self._pause_seconds(self._failed_posts - 1))
        while not self._stopped:
            if await self._is_there():
                self._failures = 0
                self._asking = None
                self._bound = True
                self._reports.bound(self)
                self._fill_soon()
                return
            self._failures += 1
            await deferLater(self._clock, self._pause_seconds(self._failures))

    async def _is_there(self) -> bool:
        try:
            answer = await self._exchange("GET", "/account", None)
        except CancelledError:
            raise
        except Exception as problem:
            self._reports.unreachable(reason_of(problem))
            return False
        if answer.status == 200:
            return True
        if answer.status in (401, 403):
            self._reports.bind_refused(c.ESME_RINVPASWD)
            return False
        self._reports.unreachable(f"GET /account was answered {answer.status}")
        return False

    def _down(self, reason: str) -> None:
        """Nothing more is taken from the link, nor posted, until the account has answered again."""
        if self._bound:
            self._bound = False
            self._reports.lost(self, (), reason)
        self._give_back(self._take_waiting())
        self.start()

    # Sending

    @property
    def takes_messages(self) -> bool:
        """Always: parts may be sent over it."""
        return True

    @property
    def brings_receipts(self) -> bool:
        """Never: receipts come to the HTTP listener."""
        return False

    @property
    def room(self) -> int:
        """How many more parts it takes."""
        return max(0, self._window - self.outstanding)

    def send(self, command_id: int, batch: Sequence[Request]) -> None:
        """Takes parts; each will be answered, given back as unsent, or reported as unanswered or lost."""
        self.outstanding += len(batch)
        self._waiting.extend(batch)
        self._fill_soon()

    def _fill_soon(self) -> None:
        # Never from within the link's own loop: what is answered or given back at once must not come in the middle.
        if self._filling is None and not self._stopped:
            self._filling = self._clock.callLater(0, self._fill)

    def sending(self) -> Sequence[object]:
        """The tokens of the parts that have no answer yet, bound or not."""
        under_way = [send for batch in self._posting.values() for send in batch]
        return _tokens([*self._waiting, *under_way, *self._in_doubt])

    def _fill(self) -> None:
        self._filling = None
        while self._bound and len(self._posting) < POSTS:
            # What is in doubt is older, and its answer is waited for.
            batch, items = self._next_batch(self._in_doubt or self._waiting)
            if not batch:
                if self._in_doubt or self._waiting:
                    # Nothing of the one queue could be posted any more; the other one's turn.
                    continue
                return
            posting = Deferred.fromCoroutine(self._post(batch, items))
            self._posting[posting] = batch
            posting.addErrback(self._broken)
            posting.addCallback(self._posted, posting)

    def _next_batch(self, queue: deque[Request]) -> tuple[list[Request], list[bytes]]:
        """Takes what fits into one POST off a queue, and gives its items as well."""
        batch: list[Request] = []
        items: list[bytes] = []
        # Smaller after each failure: what is too much for the other side, or for something in between, gets through
        # in the end, and one item that is fatal is alone with itself.
        bytes_left = BYTES_A_POST >> self._failed_posts
        most = max(1, ITEMS_A_POST >> self._failed_posts)
        while queue and len(batch) < most:
            body, token = queue[0]
            try:
                item = self._item_of(body, token)
            except CodecError as problem:
                queue.popleft()
                self._answer([Answered(token, c.SUBMIT_SM_RESP, problem.command_status, b"")])
                continue
            if item is None:
                over = self._unanswered if queue is self._in_doubt else self._give_back
                over([queue.popleft()])
                continue
            bytes_left -= len(item) + 1
            if batch and bytes_left < 0:
                break
            batch.append(queue.popleft())
            items.append(item)
        return batch, items

    def _posted(self, result: object, posting: "Deferred[None]") -> None:
        left = self._posting.pop(posting, None)
        if left:
            # Nobody settled them: a mistake of ours, which must not cost a message.
            self._doubt("a mistake in the relay itself; see carrier_http_broken in the log", left)
        self._fill_soon()

    def _broken(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("carrier_http_broken: a mistake in the relay itself", failure=failure)

    async def _post(self, batch: list[Request], items: list[bytes]) -> None:
        """Posts once. What is settled is taken out of `batch`; what is left in it at the end is in doubt."""
        try:
            answer = await self._exchange("POST", "/messages", b"[%b]" % b",".join(items))
        except CancelledError:
            raise
        except Exception as problem:
            if _never_sent(problem):
                self._fail(reason_of(problem), unsent=_taken_out(batch))
            else:
                self._doubt(reason_of(problem), _taken_out(batch))
            return
        status = answer.status
        if status == 202:
            try:
                answers = read_answers(answer.content, len(batch))
            except ValueError as problem:
                self._doubt(str(problem), _taken_out(batch))
                return
            self._failed_posts = 0
            self._answer(
                [
                    Answered(token, c.SUBMIT_SM_RESP, command_status, message_id)
                    for (_, token), (command_status, message_id) in zip(_taken_out(batch), answers, strict=True)
                ]
            )
        elif status == 409:
            # One of them is just being accepted there, for a POST whose answer we did not wait for.
            await deferLater(self._clock, answer.retry_after_seconds or 1.0)
            self._in_doubt.extendleft(reversed(_taken_out(batch)))
        elif status in (429, 503):
            self._answer_all(_taken_out(batch), status_of(status))
            self._reports.pause(answer.retry_after_seconds)
            # They would only be put off one by one.
            self._give_back(self._take_waiting())
        elif status >= 500:
            self._doubt(f"POST /messages was answered {status}", _taken_out(batch))
        elif status in (400, 413, 422):
            if len(batch) == 1:
                self._answer_all(_taken_out(batch), c.ESME_RSUBMITFAIL)
                return
            # One item is to blame for all: by halves until it is alone.
            middle = len(batch) // 2
            for half, its_items in ((batch[:middle], items[:middle]), (batch[middle:], items[middle:])):
                count = len(half)
                await self._post(half, its_items)
                del batch[: count - len(half)]
        else:
            self._fail(f"POST /messages was answered {status}", unsent=_taken_out(batch))

    def _fail(self, reason: str, unsent: list[Request]) -> None:
        """A POST that certainly was not taken."""
        self._count_failure()
        self._down(reason)
        self._give_back(unsent)

    def _doubt(self, reason: str, batch: list[Request]) -> None:
        """A POST of which nobody knows whether it was taken."""
        self._count_failure()
        self._in_doubt.extend(batch)
        # The first time it may only have been a kept connection that the other side had just closed.
        if self._failed_posts > 1:
            self._down(reason)

    def _count_failure(self) -> None:
        # POSTs that were under way together fail together, and that is one failure.
        if self._bound:
            self._failed_posts += 1

    # What the link gets back

    def _answer_all(self, batch: list[Request], command_status: int) -> None:
        self._answer([Answered(token, c.SUBMIT_SM_RESP, command_status, b"") for _, token in batch])

    def _answer(self, answers: list[Answered]) -> None:
        if not self._stopped:
            self.outstanding -= len(answers)
            self._reports.answered(self, answers)

    def _unanswered(self, batch: list[Request]) -> None:
        if not self._stopped:
            self.outstanding -= len(batch)
            self._reports.unanswered(self, _tokens(batch))

    def _give_back(self, batch: list[Request]) -> None:
        if batch and not self._stopped:
            self.outstanding -= len(batch)
            self._reports.unsent(self, _tokens(batch))

    def _take_waiting(self) -> list[Request]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    # HTTP

    async def _exchange(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        asking = Deferred.fromCoroutine(self._request(method, path, body))
        return await asking.addTimeout(self._timeout_seconds, self._clock)

    async def _request(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        url = parse_url(self._base_url + path)
        headers = common_headers(url, self._authorization)
        if body is not None:
            headers[b"Content-Type"] = [b"application/json"]
        response = await self._http.request(
            method, url.plain, headers=ReadyHeaders.of(headers), data=body, allow_redirects=False, unbuffered=True
        )
        values = response.headers.getRawHeaders("Retry-After")
        pause_seconds = retry_after_seconds(values[0] if values else None, self._clock.seconds())
        content = await read_body(response, ANSWER_BYTES)
        return HttpAnswer(response.code, content, min(pause_seconds, LONGEST_PAUSE_SECONDS))


def _tokens(batch: Iterable[Request]) -> list[object]:
    return [token for _, token in batch]


def _taken_out(batch: list[Request]) -> list[Request]:
    """What is in the list, which is empty afterwards."""
    taken = list(batch)
    batch.clear()
    return taken


def _never_sent(problem: Exception) -> bool:
    return isinstance(problem, ConnectError | DNSLookupError | ConnectTimeoutError | ConnectingCancelledError)
