"""Sends messages to another relay's HTTP API: a `CarrierSession` that posts, and that is its own keeper.

Theory of operation: while the allowed number of POSTs is under way, the parts from the link are collected. So arrays
get longer under load. A POST ends in one of three ways:

* Each item has an answer.
* The other relay certainly has not accepted the POST: no connection could be made, or it refused the whole array. Then
  the parts go back to the link's queue.
* It is not known whether the other relay has accepted it: the connection ended, no answer came in time, or the answer
  makes no sense. Then the parts stay here, in doubt. They are posted again, before all others, until each has an answer
  or its validity ends. That does no harm, because every item has a key of its own. By its key the other relay
  recognizes an item in any array, also after one of the two processes was killed and restarted.

Instead of a bind, the session gets the account (`GET /account`). The answer shows that the other relay is there and
knows us. After a failed POST the session repeats this until it gets an answer, and posts nothing meanwhile.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.carriers.http_exchange import HttpAnswer, exchange, never_sent, tapped
from relay.carriers.over_http import SessionOverHttp, taken_out
from relay.carriers.relay_api import read_answers, status_of
from relay.carriers.session_api import Request, SessionReports
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, CodecError
from relay.webhooks.webhook_client import reason_of

#: How many POSTs may be under way at once.
POSTS: Final = 4
#: The bounds of one POST. The API accepts 1,000 messages and a megabyte.
ITEMS_A_POST: Final = 500
BYTES_A_POST: Final = 262_144

#: Makes an item of the array from a submit_sm's body and its token; None: the part's validity has ended. It may raise
#: CodecError.
ItemOf = Callable[[bytes, object], bytes | None]
#: Makes the headers of the traces of the parts in a POST, from their tokens.
TraceHeaders = Callable[[Sequence[object]], dict[bytes, list[bytes]]]


class HttpCarrierSession(SessionOverHttp):
    """Sends messages to another relay over HTTP. It is both a `CarrierSession` and its `SessionKeeper`.

    :param reports: the link.
    :param http: a treq client that may reach the carrier.
    :param base_url: the URL of the other relay, without a slash at the end.
    :param authorization: the value of the header Authorization.
    :param timeout_seconds: how long one request may take, from the connect to the last octet of the answer.
    :param pause_seconds: returns the pause after so many failures in a row.
    :param trace_headers: returns the headers of a POST's traces; None: the relay has no traces.
    """

    def __init__(
        self,
        reports: SessionReports,
        http: HTTPClient,
        base_url: str,
        authorization: bytes,
        item_of: ItemOf,
        clock: IReactorTime,
        *,
        window: int,
        timeout_seconds: float,
        pause_seconds: Callable[[int], float],
        trace_headers: TraceHeaders | None = None,
    ) -> None:
        super().__init__(reports, clock)
        self._trace_headers = trace_headers
        self._window = window
        #: How many GETs of the account failed in a row.
        self._failures = 0
        self._http = http
        self._base_url = base_url
        self._authorization = authorization
        self._item_of = item_of
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        #: Requests that were posted, and of which it is not known whether the other relay has accepted them.
        self._in_doubt: deque[Request] = deque()
        #: How many POSTs failed in a row.
        self._failed_posts = 0
        self._asking: Deferred[None] | None = None

    # Start and stop

    def start(self) -> None:
        """Begins to ask for the account, and returns at once. A second call does nothing."""
        if self._asking is None and not self._bound and not self._stopped:
            asking = self._asking = Deferred.fromCoroutine(self._ask())
            asking.addErrback(self._broken)

    def stop(self) -> "Deferred[None]":
        """Ends all POSTs. Requests without an answer are reported as lost, and those that were not posted as unsent."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()
        doubtful = list(self._in_doubt)
        self._in_doubt.clear()
        return self._end(doubtful)

    async def _ask(self) -> None:
        # The caller may be in the middle of its work on an answer. So this returns to it first.
        await deferLater(self._clock, 0)
        if self._failed_posts > 1:
            # The GET may succeed although POSTs fail. Without a pause, they would follow each other without end.
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
        """Takes no more requests from the link, and posts nothing, until a GET of the account has been answered."""
        self._unbound(reason)
        self.start()

    # Sending

    @property
    def room(self) -> int:
        """How many more parts it can take."""
        return max(0, self._window - self.outstanding)

    def sending(self) -> Sequence[object]:
        """The tokens of the parts that have no answer yet, also while it isn't bound."""
        return [*super().sending(), *(token for _, token in self._in_doubt)]

    def _fill(self) -> None:
        while self._bound and len(self._under_way) < POSTS:
            # Parts in doubt come first, because they are older.
            batch, items = self._next_batch(self._in_doubt or self._waiting)
            if not batch:
                if self._in_doubt or self._waiting:
                    # No part of this queue could be posted any more. Now try the other queue.
                    continue
                return
            self._begin(self._post(batch, items), batch)

    def _next_batch(self, queue: deque[Request]) -> tuple[list[Request], list[bytes]]:
        """Removes as many parts from a queue as fit into one POST. Returns them and their items."""
        batch: list[Request] = []
        items: list[bytes] = []
        # After each failure the POST is smaller. So a POST that is too large for the other relay, or for a proxy, gets
        # through in the end; and an item that makes every POST fail is soon alone in its own.
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

    def _left_over(self, batch: list[Request]) -> None:
        self._doubt("an error in the relay itself; see carrier_http_broken in the log", batch)

    async def _post(self, batch: list[Request], items: list[bytes]) -> None:
        """Posts once. Removes parts with a known result from `batch`. Those that are left at the end are in doubt."""
        try:
            answer = await self._exchange("POST", "/messages", b"[%b]" % b",".join(items), batch)
        except CancelledError:
            raise
        except Exception as problem:
            if never_sent(problem):
                self._fail(reason_of(problem), unsent=taken_out(batch))
            else:
                self._doubt(reason_of(problem), taken_out(batch))
            return
        status = answer.status
        if status == 202:
            try:
                answers = read_answers(answer.content, len(batch))
            except ValueError as problem:
                self._doubt(str(problem), taken_out(batch))
                return
            self._failed_posts = 0
            self._answer(
                [
                    Answered(token, c.SUBMIT_SM_RESP, command_status, message_id)
                    for (_, token), (command_status, message_id) in zip(taken_out(batch), answers, strict=True)
                ]
            )
        elif status == 409:
            # The other relay is accepting one of them now, from an earlier POST whose answer we didn't wait for.
            await deferLater(self._clock, answer.retry_after_seconds or 1.0)
            self._in_doubt.extendleft(reversed(taken_out(batch)))
        elif status in (429, 503):
            self._answer_all(taken_out(batch), status_of(status))
            self._reports.pause(answer.retry_after_seconds)
            # The other relay would put them off, too, one by one.
            self._give_back(self._take_waiting())
        elif status >= 500:
            self._doubt(f"POST /messages was answered {status}", taken_out(batch))
        elif status in (400, 413, 422):
            if len(batch) == 1:
                self._answer_all(taken_out(batch), c.ESME_RSUBMITFAIL)
                return
            # One item makes the whole array fail. The array is halved until that item is alone.
            middle = len(batch) // 2
            for half, its_items in ((batch[:middle], items[:middle]), (batch[middle:], items[middle:])):
                count = len(half)
                await self._post(half, its_items)
                del batch[: count - len(half)]
        else:
            self._fail(f"POST /messages was answered {status}", unsent=taken_out(batch))

    def _fail(self, reason: str, unsent: list[Request]) -> None:
        """Handles a POST that the other relay certainly has not accepted."""
        self._count_failure()
        self._down(reason)
        self._give_back(unsent)

    def _doubt(self, reason: str, batch: list[Request]) -> None:
        """Handles a POST of which it is not known whether the other relay has accepted it."""
        self._count_failure()
        self._in_doubt.extend(batch)
        # The first time, the reason may only be that the other side had just closed an idle connection.
        if self._failed_posts > 1:
            self._down(reason)

    def _count_failure(self) -> None:
        # POSTs that are under way at the same time fail together. They count as one failure.
        if self._bound:
            self._failed_posts += 1

    # HTTP

    async def _exchange(self, method: str, path: str, body: bytes | None, batch: Sequence[Request] = ()) -> HttpAnswer:
        asking = Deferred.fromCoroutine(self._request(method, path, body, batch))
        return await asking.addTimeout(self._timeout_seconds, self._clock)

    async def _request(self, method: str, path: str, body: bytes | None, batch: Sequence[Request]) -> HttpAnswer:
        headers = {b"Authorization": [self._authorization]}
        if body is not None:
            headers[b"Content-Type"] = [b"application/json"]
        if batch and self._trace_headers is not None:
            headers.update(self._trace_headers([token for _, token in batch]))
        url = self._base_url + path
        asking = exchange(self._http, method, url, headers, body, self._clock)
        if self._tap is None:
            return await asking
        return await tapped(self._tap, method, url, headers, body, asking, self._clock)
