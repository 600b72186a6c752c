"""Live updates: counts and one message's state as server-sent events, as long as someone looks.

Theory of operation: a stream looks at what it shows twice a second and sends what has changed since. Streams are few
and end by themselves after a while; the browser connects again. They are ended with the rest when the relay stops.
"""

from collections import Counter
from typing import Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from relay.account_pages.delivery_stats import Span
from relay.account_pages.page_values import Sessions, StatsSource
from relay.http.api_request import ApiRequest, Reply
from relay.http.message_calls import report
from relay.http.problems import Problem
from relay.store.api import StoreQueries
from relay.values.messages import MessageView

#: Streams altogether, and of one account.
MOST_STREAMS: Final = 64
MOST_OF_ACCOUNT: Final = 8

LOOK_SECONDS: Final = 0.5

#: After this the browser must connect again.
STREAM_SECONDS: Final = 900.0

#: A sign of life, by which it is noticed that nobody is there any more.
QUIET_SECONDS: Final = 15.0


class _MessageEvent(msgspec.Struct, frozen=True):
    id: str
    to: str
    send_status: str
    status: str
    carrier: str
    attempts: int


class LiveUpdates:
    """Serves `/my/events`."""

    def __init__(self, store: StoreQueries, sessions: Sessions, page_stats: StatsSource, clock: IReactorTime) -> None:
        self._store = store
        self._sessions = sessions
        self._page_stats = page_stats
        self._clock = clock
        self._streams: Counter[str] = Counter()

    async def stream(
        self, request: ApiRequest, token: str, account: str, span: Span, message_id: bytes | None, error_codes: str
    ) -> Reply:
        """Streams until the client is gone, the session has ended, or the time is over.

        :raises Problem: there are too many streams.
        """
        if self._streams.total() >= MOST_STREAMS or self._streams[account] >= MOST_OF_ACCOUNT:
            raise Problem(429, "Too many pages are open; this one is not live.", headers=((b"Retry-After", b"30"),))
        self._streams[account] += 1
        try:
            request.begin_stream(b"text/event-stream", ((b"X-Accel-Buffering", b"no"),))
            request.send(b"retry: 2000\n\n")
            await self._send_changes(request, token, account, span, message_id, error_codes)
        except CancelledError:
            # The relay stops: the end of the stream says so.
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
            now_there = {b"counts": msgspec.json.encode((await self._page_stats.view(account, span)).totals)}
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
