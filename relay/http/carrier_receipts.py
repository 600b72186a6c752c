"""`/carriers/NAME/receipts`: takes the receipts of carriers of kind api, as POSTs or GETs.

The answer is 204 when the receipts are durable. If they can't be made durable, it is 503, and the carrier tries again.
"""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime

from relay.carriers.api_receipts import ApiReceiptTaker, ReceiptRequest
from relay.carriers.relay_api import BadNotification
from relay.http.api_request import ApiRequest, Reply
from relay.http.carrier_notifications import RefusalLog
from relay.http.problems import Problem, retry_after


class CarrierReceipts:
    """Takes the receipts of carriers of kind api.

    :param carrier_of: finds the carrier of a name; None: there is none, or it is of another kind.
    :param wall: the system's time, which is compared with that in signatures; None: the clock's.
    """

    def __init__(
        self,
        carrier_of: Callable[[str], ApiReceiptTaker | None],
        clock: IReactorTime,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._carrier_of = carrier_of
        self._clock = clock
        self._wall = wall or clock.seconds
        self._refusals = RefusalLog()

    async def take(self, request: ApiRequest, account: str) -> Reply:
        """Takes one request. Anybody may send one; its token or signature shows which carrier it is from."""
        segments = [unquote_to_bytes(each).decode("utf-8", "replace") for each in request.path.split(b"/")]
        name, token = segments[2], segments[4] if len(segments) > 4 else ""
        carrier = self._carrier_of(name)
        if carrier is None:
            raise Problem(404, "There is no carrier with this name and kind: api.")
        now = self._clock.seconds()

        def header(name: str) -> str:
            # The configuration may name a header, and in any spelling.
            values = request.requestHeaders.getRawHeaders(name)
            return values[0] if values else ""

        content_type = request.content_type.decode("latin-1")
        asked = ReceiptRequest(token, header, content_type, request.body(), request.query)
        try:
            carrier.reader.check(asked, self._wall())
            request.logged_in(f"carrier {name}")
            receipts = carrier.reader.read(asked, now)
        except BadNotification as problem:
            self._refusals.refused(name, str(problem), now)
            raise Problem(401 if problem.forged else 400, str(problem)) from None
        if receipts and await carrier.keep(receipts):
            raise Problem(503, "The relay can't make this durable now. Try again later.", headers=(retry_after(5.0),))
        return Reply(204, b"")
