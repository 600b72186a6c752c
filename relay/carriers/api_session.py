"""Sends messages to a carrier's own HTTP API: a `CarrierSession` that is its own keeper.

Theory of operation: each request has one message. A request ends in one of three ways:

* The answer says that the carrier has taken or refused the message.
* The carrier certainly hasn't got it: no connection could be made, or our credentials are wrong. Then the part goes
  back to the link's queue.
* It is not known whether the carrier has taken it: the connection ended, no answer came in time, or the answer makes no
  sense. Most of these APIs can't recognise a message that comes again. So the link does what `in_doubt` says.

There is no login, so the session counts as bound from the start. If two requests in a row fail, or our credentials are
wrong, it is down, takes nothing, and comes back after a pause that grows. Then the next message shows whether all is
well again.
"""

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.carriers.api_adapter import ApiAdapter, HttpRequest, LoginRefused
from relay.carriers.http_exchange import HttpAnswer, never_sent
from relay.carriers.session_api import Request, SessionReports
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, CodecError
from relay.webhooks.webhook_client import reason_of

#: Makes the request for a submit_sm's body and its token. None: the part's validity has ended. It may raise CodecError.
RequestOf = Callable[[bytes, object], HttpRequest | None]
#: Sends a request and returns its answer, within a time limit.
Ask = Callable[[HttpRequest], "Deferred[HttpAnswer]"]


class ApiCarrierSession:
    """Sends messages to one carrier's HTTP API. It is both a `CarrierSession` and its `SessionKeeper`.

    :param reports: the link.
    :param pause_seconds: returns the pause after so many failures in a row.
    """

    log = Logger()

    def __init__(
        self,
        reports: SessionReports,
        adapter: ApiAdapter,
        request_of: RequestOf,
        ask: Ask,
        clock: IReactorTime,
        *,
        concurrency: int,
        pause_seconds: Callable[[int], float],
    ) -> None:
        self.outstanding = 0
        #: Nobody asks: no query_sm and no cancel_sm go over HTTP.
        self.heard_at = 0.0
        self._reports = reports
        self._adapter = adapter
        self._request_of = request_of
        self._ask = ask
        self._clock = clock
        self._concurrency = concurrency
        self._pause_seconds = pause_seconds
        self._waiting: deque[Request] = deque()
        #: The request of each exchange that is under way.
        self._asking: dict[Deferred[None], Request] = {}
        self._failures = 0
        self._bound = False
        self._stopped = False
        self._call: IDelayedCall | None = None

    # Start and stop

    def start(self) -> None:
        """Becomes bound in the next turn of the reactor. A second call does nothing."""
        if not self._bound and self._call is None and not self._stopped:
            self._call = self._clock.callLater(0, self._bind)

    def stop(self) -> "Deferred[None]":
        """Ends all requests under way, and reports them as lost."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        unsent = [token for _, token in self._waiting]
        self._waiting.clear()
        doubtful = [token for _, token in self._asking.values()]
        asking = tuple(self._asking)
        self._asking.clear()
        for exchange in asking:
            exchange.cancel()
        self.outstanding = 0
        if self._bound:
            self._bound = False
            self._reports.lost(self, doubtful, "closed by us")
        elif doubtful:
            self._reports.unanswered(self, doubtful)
        if unsent:
            self._reports.unsent(self, unsent)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def unbind(self) -> None:
        """Does nothing: HTTP has no unbind. `stop` ends the session."""

    def _bind(self) -> None:
        self._call = None
        self._bound = True
        self._reports.bound(self)
        self._fill_soon()

    def _down(self, reason: str) -> None:
        """Takes nothing until a pause is over."""
        if self._bound and not self._stopped:
            self._bound = False
            if self._call is not None:
                self._call.cancel()
            self._call = self._clock.callLater(self._pause_seconds(self._failures), self._bind)
            self._reports.lost(self, (), reason)
            self._give_back(list(self._waiting))
            self._waiting.clear()

    # Sending

    @property
    def takes_messages(self) -> bool:
        """Always true: parts may be sent over it."""
        return True

    @property
    def brings_receipts(self) -> bool:
        """Always false: receipts come to the HTTP listener."""
        return False

    @property
    def room(self) -> int:
        """How many more parts it can take."""
        return max(0, self._concurrency - self.outstanding) if self._bound else 0

    def send(self, command_id: int, batch: Sequence[Request]) -> None:
        """Takes parts. Each will be reported once: as answered, unsent, unanswered or lost."""
        self.outstanding += len(batch)
        self._waiting.extend(batch)
        self._fill_soon()

    def sending(self) -> Sequence[object]:
        """The tokens of the parts that have no answer yet."""
        return [token for _, token in (*self._waiting, *self._asking.values())]

    def _fill_soon(self) -> None:
        # Reports must not come while the link is in its own loop.
        if self._call is None and self._bound and not self._stopped:
            self._call = self._clock.callLater(0, self._fill)

    def _fill(self) -> None:
        self._call = None
        while self._bound and self._waiting and len(self._asking) < self._concurrency:
            request = self._waiting.popleft()
            body, token = request
            try:
                made = self._request_of(body, token)
            except CodecError as problem:
                self._answer(token, problem.command_status, b"")
                continue
            if made is None:
                self._give_back([request])
                continue
            asking = Deferred.fromCoroutine(self._exchange(made, request))
            self._asking[asking] = request
            asking.addErrback(self._broken)
            asking.addCallback(self._ended, asking)

    def _ended(self, result: object, asking: "Deferred[None]") -> None:
        left = self._asking.pop(asking, None)
        if left is not None:
            # Only an error in our own code leaves a request here. It must not lose the message.
            self._unanswered(left)
        self._fill_soon()

    def _broken(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("carrier_http_broken: an error in the relay itself", failure=failure)

    async def _exchange(self, made: HttpRequest, request: Request) -> None:
        try:
            answer = await self._ask(made)
        except CancelledError:
            raise
        except Exception as problem:
            self._failed(request, reason_of(problem), sent=not never_sent(problem))
            return
        try:
            status, message_id = self._adapter.answer(answer.status, answer.content)
        except LoginRefused as problem:
            self._reports.bind_refused(c.ESME_RINVPASWD)
            self._failures += 1
            self._settled(request)
            self._give_back([request])
            self._down(str(problem))
            return
        except ValueError as problem:
            self._failed(request, str(problem), sent=True)
            return
        self._failures = 0
        self._settled(request)
        self._answer(request[1], status, message_id)
        if status in (c.ESME_RTHROTTLED, c.ESME_RMSGQFUL) and answer.retry_after_seconds:
            self._reports.pause(answer.retry_after_seconds)

    def _failed(self, request: Request, reason: str, *, sent: bool) -> None:
        """Handles a request without an answer that can be read.

        :param sent: whether the carrier may have taken it.
        """
        self._settled(request)
        if self._bound:
            self._failures += 1
        if sent:
            self._unanswered(request)
        else:
            self._reports.unreachable(reason)
            self._give_back([request])
        # The first time, the carrier may only have closed an idle connection.
        if not sent or self._failures > 1:
            self._down(reason)

    def _settled(self, request: Request) -> None:
        for asking, other in self._asking.items():
            if other is request:
                del self._asking[asking]
                return

    # Reports to the link

    def _answer(self, token: object, command_status: int, message_id: bytes) -> None:
        if not self._stopped:
            self.outstanding -= 1
            self._reports.answered(self, [Answered(token, c.SUBMIT_SM_RESP, command_status, message_id)])

    def _unanswered(self, request: Request) -> None:
        if not self._stopped:
            self.outstanding -= 1
            self._reports.unanswered(self, [request[1]])

    def _give_back(self, batch: Sequence[Request]) -> None:
        if batch and not self._stopped:
            self.outstanding -= len(batch)
            self._reports.unsent(self, [token for _, token in batch])
