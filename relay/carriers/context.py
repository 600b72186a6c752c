"""The context that all pieces of one carrier's link share."""

from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from relay.config.carrier_config import Carrier
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks
from relay.values.counters import CarrierCounters


class CarrierContext(NamedTuple):
    """One carrier's name, settings and counters, and the services that its link uses.

    :ivar tasks: runs the link's coroutines. The link waits for them when it stops.
    """

    name: str
    settings: Carrier
    flow: MessageFlow
    clock: IReactorTime
    counters: CarrierCounters
    tasks: Tasks
