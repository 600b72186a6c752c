"""Keeping binds to a carrier alive: connect, bind, and again after a pause that grows.

ClientService connects anew whenever a connection ends, but its count of failed attempts starts over with every TCP
connect, and a carrier that accepts the connection and refuses the bind would be hammered. So failed binds are counted
here, and the retry policy reads that count.
"""

from collections.abc import Callable

from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from relay.config.model import Carrier
from relay.smpp.client import BindRequest, CarrierBind, SmppClientFactory
from relay.smpp.session import SessionLimits
from relay.values import smpp_constants as c

#: The peer's requests that may be unanswered at once on one session: receipts, mostly.
_PENDING_REQUESTS = 10_000

_BIND_COMMANDS = {
    "transceiver": (c.BIND_TRANSCEIVER,),
    "transmitter+receiver": (c.BIND_TRANSMITTER, c.BIND_RECEIVER),
}


def pause_seconds(failures: int, min_seconds: float, max_seconds: float, fraction: float) -> float:
    """The pause before attempt `failures + 1`: doubling from `min_seconds`, capped, and jittered down by half.

    :param fraction: a random number from 0 to 1; jitter keeps many relays from coming back in the same second.
    """
    # 2 ** 30 of any sensible unit is past the cap; a larger exponent would only overflow.
    pause: float = min(max_seconds, min_seconds * 2 ** min(failures, 30))
    return pause * (0.5 + 0.5 * fraction)


class Bind:
    """One connection to a carrier that is meant to be there.

    :param fraction: gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        owner: CarrierBind,
        request: BindRequest,
        limits: SessionLimits,
        clock: IReactorTime,
        *,
        min_seconds: float,
        max_seconds: float,
        fraction: Callable[[], float],
    ) -> None:
        self.request = request
        #: Attempts in a row that did not end in a bind; set to 0 by the link when a bind succeeds.
        self.failures = 0

        def policy(attempts: int) -> float:
            self.failures = max(self.failures, attempts)
            return pause_seconds(self.failures, min_seconds, max_seconds, fraction())

        factory = SmppClientFactory(owner, request, limits, clock)
        self._service = ClientService(_Reporting(endpoint, owner, request), factory, policy, clock)

    def start(self) -> None:
        """Begins to connect; returns at once."""
        self._service.startService()

    def stop(self) -> "Deferred[None]":
        """Stops connecting and closes what is open; fires when it is closed."""
        return self._service.stopService()


def smpp_binds(
    settings: Carrier,
    endpoint: IStreamClientEndpoint,
    owner: CarrierBind,
    clock: IReactorTime,
    *,
    pdu_bytes: int,
    fraction: Callable[[], float],
) -> list[Bind]:
    """The binds that a carrier's settings ask for; none is begun yet.

    :param fraction: gives random numbers from 0 to 1.
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
    return [
        Bind(
            endpoint,
            owner,
            BindRequest(command, settings.system_id, password, settings.system_type, settings.interface_version),
            limits,
            clock,
            min_seconds=settings.reconnect_min_seconds,
            max_seconds=settings.reconnect_max_seconds,
            fraction=fraction,
        )
        for _ in range(settings.binds)
        for command in _BIND_COMMANDS[settings.bind]
    ]


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint whose failures the link hears of; ClientService keeps them to itself."""

    def __init__(self, endpoint: IStreamClientEndpoint, owner: CarrierBind, request: BindRequest) -> None:
        self._endpoint = endpoint
        self._owner = owner
        self._request = request

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            self._owner.connect_failed(self._request, failure.getErrorMessage())
        return failure
