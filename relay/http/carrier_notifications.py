"""`POST /carriers/NAME/notifications`: takes the notifications of another relay that is our carrier over HTTP.

The answer is 204 when a notification is durable. If it can't be made durable, the answer is 503, and the other relay
tries again.
"""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.carriers.relay_api import BadNotification, HttpReceipts
from relay.http.api_request import ApiRequest, Reply
from relay.http.problems import Problem, retry_after

#: The least time between two log lines about refused notifications of one carrier, because anybody may post nonsense.
_LOG_SECONDS = 60.0


class RefusalLog:
    """Logs refused notifications and receipts of carriers over HTTP, once a minute for each carrier."""

    log = Logger()

    def __init__(self) -> None:
        #: When a refusal was last logged, by carrier.
        self._logged_at: dict[str, float] = {}

    def refused(self, carrier: str, reason: str, now: float) -> None:
        """Notes a refusal. The carrier must exist, so that strangers can't add names."""
        if now - self._logged_at.get(carrier, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[carrier] = now
            self.log.warn("carrier_notification_refused: a notification for {carrier} was refused: {reason}",
                          carrier=carrier, reason=reason)  # fmt: skip


class CarrierNotifications:
    """Takes the notifications of carriers over HTTP.

    :param carrier_of: finds the carrier of a name; None: there is none, or it isn't spoken to over HTTP.
    :param wall: the system's time, which is compared with that in signatures; None: the clock's.
    """

    def __init__(
        self,
        carrier_of: Callable[[str], HttpReceipts | None],
        clock: IReactorTime,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._carrier_of = carrier_of
        self._clock = clock
        self._wall = wall or clock.seconds
        self._refusals = RefusalLog()

    async def take(self, request: ApiRequest, account: str) -> Reply:
        """Takes one POST. Anybody may send one; its signature shows which carrier it is from."""
        name = unquote_to_bytes(request.path.split(b"/")[2]).decode("utf-8", "replace")
        carrier = self._carrier_of(name)
        if carrier is None:
            raise Problem(404, "There is no carrier with this name and kind: http.")
        body = request.body()
        now = self._clock.seconds()
        reader = carrier.reader

        def header(name: bytes) -> bytes:
            return request.header(name) or b""

        signed = (header(b"Webhook-Id"), header(b"Webhook-Timestamp"), header(b"Webhook-Signature"))
        try:
            reader.check(*signed, body, self._wall())
            request.logged_in(f"carrier {name}")
            receipts = reader.read(body, header(b"X-Relay-Carrier-Error"), now)
        except BadNotification as problem:
            self._refusals.refused(name, str(problem), now)
            raise Problem(401 if problem.forged else 400, str(problem)) from None
        if receipts and await carrier.keep(receipts):
            raise Problem(503, "The relay can't make this durable now. Try again later.", headers=(retry_after(5.0),))
        return Reply(204, b"")
