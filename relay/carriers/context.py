"""What every piece of one carrier's link needs to know of its carrier."""

from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from relay.config.model import Carrier
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks
from relay.values.counters import CarrierCounters


class CarrierContext(NamedTuple):
    """One carrier's name, settings and counters, and what stands around its link.

    :ivar tasks: where the link's coroutines run; the link waits for them when it stops.
    """

    name: str
    settings: Carrier
    flow: MessageFlow
    clock: IReactorTime
    counters: CarrierCounters
    tasks: Tasks
