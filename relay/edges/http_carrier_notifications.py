"""`POST /carriers/NAME/notifications`: what another relay, our carrier by HTTP, tells us of our messages.

Answered 204 only when it is durable, and 503 when it can't be made so: the other relay then tries again.
"""

from collections.abc import Callable
from typing import Protocol as Seam

from twisted.internet.interfaces import IReactorTime

from relay.core.http_carrier import BadNotification, NotificationReader
from relay.core.messages import Receipt
from relay.edges.http_problems import Problem, retry_after
from relay.edges.http_site import ApiRequest, Reply


class HttpCarrier(Seam):
    """A carrier that is spoken to over HTTP."""

    reader: NotificationReader

    async def keep(self, receipts: list[Receipt]) -> bool:
        """True when the receipts are durable, False when they can't be made so."""


class CarrierNotifications:
    """The handler.

    :param carrier_of: the carrier of a name, None where there is none of that name or it has no HTTP.
    """

    def __init__(self, carrier_of: Callable[[str], HttpCarrier | None], clock: IReactorTime) -> None:
        self._carrier_of = carrier_of
        self._clock = clock

    async def take(self, request: ApiRequest, account: str) -> Reply:
        """Takes one POST; anybody may call, the signature shows who it is."""
        carrier = self._carrier_of(request.path.split(b"/")[2].decode("latin-1"))
        if carrier is None:
            raise Problem(404, "There is no carrier of this name that is spoken to over HTTP.")
        body = request.body()
        now = self._clock.seconds()
        reader = carrier.reader

        def header(name: bytes) -> bytes:
            return request.header(name) or b""

        try:
            reader.check(header(b"Webhook-Id"), header(b"Webhook-Timestamp"), header(b"Webhook-Signature"), body, now)
            receipts = reader.read(body, header(b"X-Relay-Carrier-Error"), now)
        except BadNotification as problem:
            raise Problem(401 if problem.forged else 400, str(problem)) from None
        if receipts and not await carrier.keep(receipts):
            raise Problem(503, "This can't be kept safely now; try again later.", headers=(retry_after(5.0),))
        return Reply(204, b"")
