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

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relay.carriers.api_adapter import ApiAdapter, HttpRequest, LoginRefused
from relay.carriers.http_exchange import HttpAnswer, never_sent, tapped
from relay.carriers.over_http import SessionOverHttp, taken_out
from relay.carriers.session_api import Request, SessionReports
from relay.config.urls import UrlProblem
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, CodecError
from relay.webhooks.webhook_client import reason_of

#: Makes the request for a submit_sm's body and its token. None: the part's validity has ended. It may raise CodecError.
RequestOf = Callable[[bytes, object], HttpRequest | None]
#: Sends a request and returns its answer, within a time limit.
Ask = Callable[[HttpRequest], "Deferred[HttpAnswer]"]


class ApiCarrierSession(SessionOverHttp):
    """Sends messages to one carrier's HTTP API. It is both a `CarrierSession` and its `SessionKeeper`.

    :param reports: the link.
    :param pause_seconds: returns the pause after so many failures in a row.
    """

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
        super().__init__(reports, clock)
        self._adapter = adapter
        self._request_of = request_of
        self._ask = ask
        self._concurrency = concurrency
        self._pause_seconds = pause_seconds
        #: How many requests failed in a row.
        self._failures = 0
        self._binding: IDelayedCall | None = None

    # Start and stop

    def start(self) -> None:
        """Becomes bound in the next turn of the reactor. A second call does nothing."""
        if not self._bound and self._binding is None and not self._stopped:
            self._binding = self._clock.callLater(0, self._bind)

    def stop(self) -> "Deferred[None]":
        """Ends all requests under way, and reports them as lost."""
        self._stopped = True
        if self._binding is not None:
            self._binding.cancel()
            self._binding = None
        return self._end([])

    def _bind(self) -> None:
        self._binding = None
        self._bound = True
        self._reports.bound(self)
        self._fill_soon()

    def _down(self, reason: str) -> None:
        """Takes nothing until a pause is over."""
        if self._bound:
            self._binding = self._clock.callLater(self._pause_seconds(self._failures), self._bind)
            self._unbound(reason)

    # Sending

    @property
    def room(self) -> int:
        """How many more parts it can take."""
        return max(0, self._concurrency - self.outstanding) if self._bound else 0

    def _fill(self) -> None:
        while self._bound and self._waiting and len(self._under_way) < self._concurrency:
            batch = [self._waiting.popleft()]
            [(body, token)] = batch
            try:
                made = self._request_of(body, token)
            except CodecError as problem:
                self._answer_all(batch, problem.command_status)
                continue
            if made is None:
                self._give_back(batch)
                continue
            self._begin(self._exchange(made, batch), batch)

    def _left_over(self, batch: list[Request]) -> None:
        self._unanswered(batch)

    async def _exchange(self, made: HttpRequest, batch: list[Request]) -> None:
        """Sends a request, and takes its part out of `batch` when it is known what became of it."""
        try:
            asking = self._ask(made)
            if self._tap is not None:
                asked = made.method, made.url, made.headers, made.body
                asking = Deferred.fromCoroutine(tapped(self._tap, *asked, asking, self._clock))
            answer = await asking
        except CancelledError:
            raise
        except UrlProblem:
            # A long text in the path makes the URL too long. It would be so the next time, too.
            self._answer_all(taken_out(batch), c.ESME_RSUBMITFAIL)
            return
        except Exception as problem:
            self._failed(taken_out(batch), reason_of(problem), sent=not never_sent(problem))
            return
        try:
            status, message_id = self._adapter.answer(answer.status, answer.content)
        except LoginRefused as problem:
            self._reports.bind_refused(c.ESME_RINVPASWD)
            self._failures += 1
            self._give_back(taken_out(batch))
            self._down(str(problem))
            return
        except ValueError as problem:
            self._failed(taken_out(batch), str(problem), sent=True)
            return
        self._failures = 0
        self._answer([Answered(token, c.SUBMIT_SM_RESP, status, message_id) for _, token in taken_out(batch)])
        if status in (c.ESME_RTHROTTLED, c.ESME_RMSGQFUL) and answer.retry_after_seconds:
            self._reports.pause(answer.retry_after_seconds)

    def _failed(self, batch: list[Request], reason: str, *, sent: bool) -> None:
        """Handles a request without an answer that can be read.

        :param sent: whether the carrier may have taken it.
        """
        if self._bound:
            self._failures += 1
        if sent:
            self._unanswered(batch)
        else:
            self._reports.unreachable(reason)
            self._give_back(batch)
        # The first time, the carrier may only have closed an idle connection.
        if not sent or self._failures > 1:
            self._down(reason)
