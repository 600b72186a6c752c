"""Makes the session with a carrier of kind api, from its settings."""

from collections.abc import Callable, Sequence

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relay.carriers.api_adapter import ApiAdapter, HttpRequest
from relay.carriers.api_session import ApiCarrierSession
from relay.carriers.binds import pause_seconds
from relay.carriers.http_exchange import HttpAnswer, exchange
from relay.carriers.http_session import TraceHeaders
from relay.carriers.session_api import MakeKeepers, SessionReports
from relay.config.carrier_config import Carrier
from relay.routing.flow_api import Outgoing
from relay.text.passthrough import read_part
from relay.values.ids import id_text
from relay.values.pdus import CodecError
from relay.values.smpp_constants import ESME_RSUBMITFAIL


def api_binds(
    name: str,
    settings: Carrier,
    http: HTTPClient,
    clock: IReactorTime,
    *,
    fraction: Callable[[], float],
    trace_headers: TraceHeaders | None = None,
) -> MakeKeepers:
    """Makes the session that sends to the carrier's HTTP API.

    :param http: a treq client that may reach the carrier.
    :param fraction: returns random numbers from 0 to 1, for the pauses.
    :param trace_headers: as in `HttpCarrierSession`.
    """
    adapter = ApiAdapter(name, settings)

    def request_of(body: bytes, token: object) -> HttpRequest | None:
        assert isinstance(token, Outgoing)
        validity_seconds = token.expires_at - clock.seconds()
        if validity_seconds <= 0:
            return None
        made = adapter.request(read_part(body), f"{id_text(token.id)}/{token.part}", validity_seconds)
        if made is None:
            raise CodecError("the carrier's API takes whole texts only", ESME_RSUBMITFAIL)
        if trace_headers is not None:
            made.headers.update(trace_headers([token]))
        return made

    def ask(request: HttpRequest) -> "Deferred[HttpAnswer]":
        asking = Deferred.fromCoroutine(
            exchange(http, request.method, request.url, request.headers, request.body, clock)
        )
        return asking.addTimeout(settings.response_timeout_seconds, clock)

    def pause(failures: int) -> float:
        return pause_seconds(failures, settings.reconnect_min_seconds, settings.reconnect_max_seconds, fraction())

    def make(reports: SessionReports) -> Sequence[ApiCarrierSession]:
        return [
            ApiCarrierSession(
                reports,
                adapter,
                request_of,
                ask,
                clock,
                concurrency=min(settings.window, settings.api.concurrency),
                pause_seconds=pause,
            )
        ]

    return make
