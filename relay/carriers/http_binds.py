"""Makes the session with a carrier that is another relay, from its settings."""

from collections.abc import Callable, Sequence

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from relay.carriers.binds import pause_seconds
from relay.carriers.http_session import HttpCarrierSession, TraceHeaders
from relay.carriers.relay_api import basic_authorization, item_json
from relay.carriers.session_api import MakeKeepers, SessionReports
from relay.config.carrier_config import Carrier
from relay.routing.flow_api import Outgoing
from relay.tracing.tracing import Tracing
from relay.values.ids import id_text


def http_binds(
    settings: Carrier,
    http: HTTPClient,
    clock: IReactorTime,
    *,
    fraction: Callable[[], float],
    trace_headers: TraceHeaders | None = None,
) -> MakeKeepers:
    """Makes the session that posts to another relay.

    Each part is posted with a key, which is made of the message's id and the part's number. So the other relay
    recognizes a part that is posted again, also after this process was killed and restarted.

    :param http: a treq client that may reach the carrier.
    :param fraction: returns random numbers from 0 to 1, for the pauses.
    :param trace_headers: see `HttpCarrierSession`.
    """

    def item_of(body: bytes, token: object) -> bytes | None:
        assert isinstance(token, Outgoing)
        validity_seconds = token.expires_at - clock.seconds()
        if validity_seconds <= 0:
            return None
        return item_json(body, f"{id_text(token.id)}/{token.part}", validity_seconds)

    def pause(failures: int) -> float:
        return pause_seconds(failures, settings.reconnect_min_seconds, settings.reconnect_max_seconds, fraction())

    def make(reports: SessionReports) -> Sequence[HttpCarrierSession]:
        return [
            HttpCarrierSession(
                reports,
                http,
                settings.connect.rstrip("/"),
                basic_authorization(settings.system_id, settings.password.reveal()),
                item_of,
                clock,
                window=settings.window,
                timeout_seconds=settings.response_timeout_seconds,
                pause_seconds=pause,
                trace_headers=trace_headers,
            )
            for _ in range(settings.binds)
        ]

    return make


def carrier_headers(tracing: Tracing, carrier: str, tokens: Sequence[object]) -> dict[bytes, list[bytes]]:
    """The headers of the traces of the parts in a request to a carrier over HTTP, from their tokens."""
    return tracing.carrier_headers(carrier, [(each.id, each.part) for each in tokens if isinstance(each, Outgoing)])
