"""Makes the links to carriers: over SMPP, over HTTP, or to a carrier that the relay simulates itself."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint

from relay.app.listeners import Listeners, StartFailure, close_port
from relay.app.tls import carrier_endpoint
from relay.carriers.api_binds import api_binds
from relay.carriers.api_receipts import ApiReceiptReader
from relay.carriers.binds import smpp_binds
from relay.carriers.http_binds import carrier_headers, http_binds
from relay.carriers.link import CarrierLink
from relay.carriers.receipt_intake import MobileOriginated
from relay.carriers.relay_api import notification_reader
from relay.config.carrier_config import Carrier
from relay.config.daemon_config import Limits
from relay.routing.flow import MessageFlow
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.tracing.tracing import Tracing


class LinkMaker:
    """Makes the link of each carrier in the configuration, and runs the simulated carriers.

    :param mobile_originated: takes the messages from handsets that carriers send.
    :param limits: gives the present limits of the configuration.
    :param http: a treq client, for carriers that are spoken to over HTTP; None: there are no such carriers.
    :param tracing: gives the requests to these carriers the headers of traces; None: the relay has no traces.
    """

    def __init__(
        self,
        flow: MessageFlow,
        reactor: Any,
        randomness: random.Random,
        listeners: Listeners,
        *,
        mobile_originated: MobileOriginated,
        limits: Callable[[], Limits],
        http: HTTPClient | None,
        tracing: Tracing | None,
    ) -> None:
        self._flow = flow
        self._reactor = reactor
        self._randomness = randomness
        self._listeners = listeners
        self._mobile_originated = mobile_originated
        self._limits = limits
        self._http = http
        self._tracing = tracing
        self._simulators: dict[str, tuple[SimulatedCarrier, IListeningPort]] = {}

    async def make(self, name: str, settings: Carrier) -> CarrierLink:
        """Makes a link to a carrier, and does not start it. If the carrier is simulated, starts the simulation.

        :raises StartFailure: its endpoint can't be used.
        """
        fraction, trace_headers = self._randomness.random, None
        if self._tracing is not None:
            trace_headers = partial(carrier_headers, self._tracing, name)
        if settings.kind == "http":
            # Only daemons of tests go without a client, and they have no such carrier.
            assert self._http is not None
            keepers = http_binds(settings, self._http, self._reactor, fraction=fraction, trace_headers=trace_headers)
        elif settings.kind == "api":
            assert self._http is not None
            keepers = api_binds(
                name, settings, self._http, self._reactor, fraction=fraction, trace_headers=trace_headers
            )
        else:
            endpoint = await self._carrier_endpoint(name, settings)
            pdu_bytes = self._limits().pdu_bytes
            keepers = smpp_binds(settings, endpoint, self._reactor, pdu_bytes=pdu_bytes, fraction=fraction)
        return CarrierLink(
            name,
            settings,
            self._flow,
            self._reactor,
            keepers,
            queue_bytes=self._limits().queue_bytes,
            mobile_originated=self._mobile_originated,
            notification_reader=ApiReceiptReader(name, settings)
            if settings.kind == "api"
            else notification_reader(name, settings),
        )

    async def _carrier_endpoint(self, name: str, settings: Carrier) -> IStreamClientEndpoint:
        if settings.kind == "simulator":
            running = self._simulators.get(name)
            if running is None or running[0].settings != settings.simulator:
                await self.close_simulator(name)
                carrier = SimulatedCarrier(settings.simulator, self._reactor, random.Random(settings.simulator.seed))
                key = f"carriers.{name}.simulator.listen"
                port = await self._listeners.open_one(key, settings.simulator.listen, carrier.factory)
                running = self._simulators[name] = (carrier, port)
            own = f"tcp:127.0.0.1:{running[1].getHost().port}"  # type: ignore[attr-defined]
            settings = msgspec.structs.replace(settings, connect=own)
        try:
            return carrier_endpoint(self._reactor, settings)
        except (ValueError, TypeError, OSError) as problem:
            raise StartFailure(f"carriers.{name}.connect: {settings.connect!r} can't be used: {problem}") from None

    async def close_simulator(self, name: str) -> None:
        """Ends the simulated carrier of that name, if there is one."""
        running = self._simulators.pop(name, None)
        if running is not None:
            running[0].stop()
            await close_port(running[1])

    async def close_simulators(self) -> None:
        """Ends all simulated carriers."""
        for name in tuple(self._simulators):
            await self.close_simulator(name)
