"""Keeps SMPP sessions with a carrier alive: connects, binds, and tries again after pauses that grow.

ClientService connects again whenever a connection ends. But it counts failed attempts from 0 after every TCP connect.
So it would try again and again, without pauses, at a carrier that accepts connections and refuses binds. This module
counts failed binds itself, and the retry policy uses that count.
"""

from collections.abc import Callable, Sequence

from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from relay.carriers.session_api import MakeKeepers, SessionReports
from relay.config.carrier_config import Carrier
from relay.smpp.client import BindRequest, SmppClientFactory, SmppClientProtocol
from relay.smpp.session import SessionLimits
from relay.values import smpp_constants as c
from relay.values.wire_tap import WireTap

#: How many of the carrier's requests (mostly receipts) may be unanswered at once on one session.
_PENDING_REQUESTS = 10_000

_BIND_COMMANDS = {
    "transceiver": (c.BIND_TRANSCEIVER,),
    "transmitter+receiver": (c.BIND_TRANSMITTER, c.BIND_RECEIVER),
}


def pause_seconds(failures: int, min_seconds: float, max_seconds: float, fraction: float) -> float:
    """The pause before attempt `failures + 1`.

    It begins at `min_seconds`, doubles with each failure, and is at most `max_seconds`. Then a random part of up to one
    half is taken off, so that many relays don't all come back in the same second.

    :param fraction: a random number from 0 to 1.
    """
    # 2 ** 30 exceeds every maximum. A larger exponent would only overflow.
    pause: float = min(max_seconds, min_seconds * 2 ** min(failures, 30))
    return pause * (0.5 + 0.5 * fraction)


class SmppKeeper:
    """Keeps one SMPP session with a carrier alive. It is a `SessionKeeper`, and the `CarrierBind` of its connections.

    :param pause_seconds: returns the pause after so many failures in a row.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        reports: SessionReports,
        request: BindRequest,
        limits: SessionLimits,
        clock: IReactorTime,
        pause_seconds: Callable[[int], float],
    ) -> None:
        self._reports = reports
        self._pause_seconds = pause_seconds
        #: How many attempts in a row did not end in a bind.
        self._failures = 0
        self._session: SmppClientProtocol | None = None
        self._refused = False
        self._factory = SmppClientFactory(self, request, limits, clock)
        self._service = ClientService(_Reporting(endpoint, reports), self._factory, self._pause, clock)
        # The keeper doesn't need the reports of a bound session. They go to the link without another call.
        self.answered = reports.answered
        self.accepted = reports.accepted
        self.late_answers = reports.late_answers
        self.unanswered = reports.unanswered
        self.abandoned = reports.abandoned
        self.messages = reports.messages

    def start(self) -> None:
        """Begins to connect, and returns at once."""
        self._service.startService()

    def stop(self) -> "Deferred[None]":
        """Stops to connect, and closes the connection. Fires when it is closed."""
        return self._service.stopService()

    def sending(self) -> Sequence[object]:
        """The tokens of the requests that have no response yet."""
        return () if self._session is None else self._session.sending()

    def tap(self, tap: WireTap | None) -> None:
        """Gives `tap` what goes over the connection, and over later ones; None: nobody gets it any more."""
        self._factory.tap(tap)

    def _pause(self, attempts: int) -> float:
        self._failures = max(self._failures, attempts)
        return self._pause_seconds(self._failures)

    # The connection's reports about its bind

    def bound(self, protocol: SmppClientProtocol) -> None:
        """The carrier accepted the bind."""
        self._failures = 0
        self._session = protocol
        self._reports.bound(protocol)

    def bind_refused(self, protocol: SmppClientProtocol, command_status: int) -> None:
        """The carrier refused the bind. The connection is being closed."""
        self._failures += 1
        self._refused = True
        self._reports.bind_refused(command_status)

    def lost(self, protocol: SmppClientProtocol, tokens: Sequence[object], reason: str) -> None:
        """The connection has ended. If it was not bound, this counts as a failed attempt to reach the carrier."""
        if self._session is protocol:
            self._session = None
            self._reports.lost(protocol, tokens, reason)
        elif self._refused:
            # The refusal of the bind has been reported already, and says more.
            self._refused = False
        else:
            self._reports.unreachable(reason)


def smpp_binds(
    settings: Carrier,
    endpoint: IStreamClientEndpoint,
    clock: IReactorTime,
    *,
    pdu_bytes: int,
    fraction: Callable[[], float],
) -> MakeKeepers:
    """Makes the keepers of the SMPP sessions that a carrier's settings ask for.

    :param endpoint: connects to the carrier.
    :param fraction: returns random numbers from 0 to 1, for the pauses before reconnects.
    """
    limits = SessionLimits(
        window=settings.window,
        pending_requests=_PENDING_REQUESTS,
        max_pdu_bytes=pdu_bytes,
        response_timeout_seconds=settings.response_timeout_seconds,
        enquire_link_seconds=settings.enquire_link_seconds,
        bind_timeout_seconds=settings.bind_timeout_seconds,
    )
    password = settings.password.reveal()
    requests = [
        BindRequest(
            command,
            settings.system_id,
            password,
            settings.system_type,
            settings.interface_version,
            settings.addr_ton,
            settings.addr_npi,
            settings.address_range,
        )
        for command in _BIND_COMMANDS[settings.bind]
    ]

    def pause(failures: int) -> float:
        return pause_seconds(failures, settings.reconnect_min_seconds, settings.reconnect_max_seconds, fraction())

    def make(reports: SessionReports) -> Sequence[SmppKeeper]:
        return [
            SmppKeeper(endpoint, reports, request, limits, clock, pause)
            for _ in range(settings.binds)
            for request in requests
        ]

    return make


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint that reports its failures, because ClientService doesn't."""

    def __init__(self, endpoint: IStreamClientEndpoint, reports: SessionReports) -> None:
        self._endpoint = endpoint
        self._reports = reports

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            self._reports.unreachable(failure.getErrorMessage())
        return failure
