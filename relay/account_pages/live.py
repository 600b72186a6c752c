"""Live updates of open pages: counts, or one message's state, as server-sent events.

Theory of operation: a stream reads its figures twice a second, and sends them if they have changed. There are few
streams. Each ends after a while, and the browser connects again. When the relay stops, it ends all streams.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from relay.account_pages.delivery_stats import Span
from relay.account_pages.page_values import Sessions, StatsSource
from relay.http.api_request import ApiRequest, Reply
from relay.http.message_reports import report
from relay.http.problems import Problem
from relay.store.api import StoreQueries
from relay.values.message_view import MessageView

#: The most streams at once, and the most of one account.
MOST_STREAMS: Final = 64
MOST_OF_ACCOUNT: Final = 8

LOOK_SECONDS: Final = 0.5

#: After this the browser must connect again.
STREAM_SECONDS: Final = 900.0

#: After so long without news the stream sends a comment. If that fails, the client has gone.
QUIET_SECONDS: Final = 15.0


class _MessageEvent(msgspec.Struct, frozen=True):
    id: str
    to: str
    send_status: str
    status: str
    carrier: str
    attempts: int


class LiveUpdates:
    """Serves `/my/events`.

    :param failing: says in what way an account's notifications fail. If it changes, the page is drawn anew.
    """

    def __init__(
        self,
        store: StoreQueries,
        sessions: Sessions,
        page_stats: StatsSource,
        failing: Callable[[str], str],
        clock: IReactorTime,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._page_stats = page_stats
        self._failing = failing
        self._clock = clock
        self._streams: Counter[str] = Counter()

    async def stream(
        self, request: ApiRequest, token: str, account: str, span: Span, message_id: bytes | None, error_codes: str
    ) -> Reply:
        """Sends events until the client has gone, the session has ended, or the stream's time is over.

        :raises Problem: there are too many streams.
        """
        if self._streams.total() >= MOST_STREAMS or self._streams[account] >= MOST_OF_ACCOUNT:
            raise Problem(429, "Too many pages get live updates already.", headers=((b"Retry-After", b"30"),))
        self._streams[account] += 1
        try:
            request.begin_stream(b"text/event-stream", ((b"X-Accel-Buffering", b"no"),))
            request.send(b"retry: 2000\n\n")
            await self._send_changes(request, token, account, span, message_id, error_codes)
        except CancelledError:
            # The relay stops. The client sees the end of the stream.
            pass
        finally:
            self._streams[account] -= 1
            if not self._streams[account]:
                del self._streams[account]
            request.end_stream()
        return Reply(200, b"")

    async def _send_changes(
        self, request: ApiRequest, token: str, account: str, span: Span, message_id: bytes | None, error_codes: str
    ) -> None:
        ends_at = self._clock.seconds() + STREAM_SECONDS
        said_at = self._clock.seconds()
        last: dict[bytes, bytes] = {}
        while not request.gone and self._clock.seconds() < ends_at:
            if self._sessions.find(token, use=False) is None:
                request.send(b"event: ended\ndata: {}\n\n")
                return
            stats = await self._page_stats.view(account, span)
            more = {"rate": stats.rate_words, "failing": self._failing(account)}
            now_there = {b"counts": msgspec.json.encode(stats.totals | more)}
            if message_id is not None:
                view = await self._store.look_up(message_id)
                if view is not None and view.account == account:
                    now_there[b"message"] = msgspec.json.encode(_event(view, error_codes))
            changed = [(kind, data) for kind, data in now_there.items() if last.get(kind) != data]
            if changed:
                last = now_there
                said_at = self._clock.seconds()
                request.send(b"".join(b"event: %b\ndata: %b\n\n" % change for change in changed))
            elif self._clock.seconds() - said_at >= QUIET_SECONDS:
                said_at = self._clock.seconds()
                request.send(b":\n\n")
            await self._sleep(LOOK_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        over: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, over.callback, None)
        await over


def _event(view: MessageView, error_codes: str) -> _MessageEvent:
    told = report(view, error_codes)
    return _MessageEvent(told.id, told.to, told.send_status, told.status, told.carrier, len(told.attempts))
