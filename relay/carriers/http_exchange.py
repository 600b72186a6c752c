"""Sends one HTTP request to a carrier, and reads the whole answer."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, NamedTuple

from treq.client import HTTPClient
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IReactorTime

from relay.config.urls import parse_url
from relay.runtime.bounded_body import read_body
from relay.values.wire_tap import WireTap
from relay.webhooks.connections import ReadyHeaders, common_headers
from relay.webhooks.schedule import retry_after_seconds
from relay.webhooks.webhook_client import reason_of

#: The largest answer that is read. Even an answer with a long problem for each of many items is smaller.
ANSWER_BYTES: Final = 1_048_576
#: The longest Retry-After that is obeyed.
LONGEST_PAUSE_SECONDS: Final = 3_600.0


class HttpAnswer(NamedTuple):
    """An HTTP response that has been read."""

    status: int
    content: bytes
    retry_after_seconds: float


async def exchange(
    http: HTTPClient,
    method: str,
    url: str,
    headers: dict[bytes, list[bytes]],
    body: bytes | None,
    clock: IReactorTime,
) -> HttpAnswer:
    """Sends a request. Follows no redirects, and has no time limit of its own.

    :param headers: the headers by canonical name, beside those of `common_headers`.
    """
    parsed = parse_url(url)
    ready = {**common_headers(parsed, headers.get(b"Authorization", [b""])[0]), **headers}
    response = await http.request(
        method, parsed.plain, headers=ReadyHeaders.of(ready), data=body, allow_redirects=False, unbuffered=True
    )
    values = response.headers.getRawHeaders("Retry-After")
    pause_seconds = retry_after_seconds(values[0] if values else None, clock.seconds())
    content = await read_body(response, ANSWER_BYTES)
    return HttpAnswer(response.code, content, min(pause_seconds, LONGEST_PAUSE_SECONDS))


async def tapped(
    tap: WireTap,
    method: str,
    url: str,
    headers: Mapping[bytes, Sequence[bytes]],
    body: bytes | None,
    asking: Awaitable[HttpAnswer],
    clock: IReactorTime,
) -> HttpAnswer:
    """Awaits the answer to a request, and gives `tap` a copy of the request and what became of it."""
    name, began_at = tap.request(method, url, headers, body), clock.seconds()
    try:
        answer = await asking
    except BaseException as problem:
        tap.answer(name, reason_of(problem), clock.seconds() - began_at)
        raise
    tap.answer(name, f"{answer.status}, {len(answer.content)} octets", clock.seconds() - began_at)
    return answer


def never_sent(problem: Exception) -> bool:
    """Whether the carrier certainly has not got a request that failed so."""
    return isinstance(problem, ConnectError | DNSLookupError | ConnectTimeoutError | ConnectingCancelledError)
