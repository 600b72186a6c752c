"""`POST /carriers/NAME/notifications`: what another relay, our carrier by HTTP, tells us of our messages.

Answered 204 only when it is durable, and 503 when it can't be made so: the other relay then tries again.
"""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.carriers.relay_api import BadNotification, HttpReceipts
from relay.http.api_request import ApiRequest, Reply
from relay.http.problems import Problem, retry_after

#: Anybody may post nonsense here; of one carrier's it is logged no more often than this.
_LOG_SECONDS = 60.0


class CarrierNotifications:
    """The handler.

    :param wall: the system's time, with which what others have signed is compared; the clock's where it is None.
    :param carrier_of: the carrier of a name, None where there is none of that name or it has no HTTP.
    """

    log = Logger()

    def __init__(
        self,
        carrier_of: Callable[[str], HttpReceipts | None],
        clock: IReactorTime,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._carrier_of = carrier_of
        self._clock = clock
        self._wall = wall or clock.seconds
        #: When a refusal was logged last, by carrier.
        self._logged_at: dict[str, float] = {}

    async def take(self, request: ApiRequest, account: str) -> Reply:
        """Takes one POST; anybody may call, the signature shows who it is."""
        name = unquote_to_bytes(request.path.split(b"/")[2]).decode("utf-8", "replace")
        carrier = self._carrier_of(name)
        if carrier is None:
            raise Problem(404, "There is no carrier of this name that is spoken to over HTTP.")
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
            self._refused(name, str(problem), now)
            raise Problem(401 if problem.forged else 400, str(problem)) from None
        if receipts and not await carrier.keep(receipts):
            raise Problem(503, "This can't be kept safely now; try again later.", headers=(retry_after(5.0),))
        return Reply(204, b"")

    def _refused(self, carrier: str, reason: str, now: float) -> None:
        if now - self._logged_at.get(carrier, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[carrier] = now
            self.log.warn("carrier_notification_refused: a notification for {carrier} was refused: {reason}",
                          carrier=carrier, reason=reason)  # fmt: skip
