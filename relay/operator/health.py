"""Says whether the relay is alive, and whether it is ready to work, with the reason if it is not.

*Live* means that the process answers at all. *Ready* means that the relay would make a new message durable and send it:
the start is over, the journal can be written, the listeners listen, and at least one carrier is up. In a cluster, only
the relay that works is ready, so a load balancer sends all traffic there. If one of several
carriers is down, the answer shows it, but the relay stays ready, because the carrier's messages wait or take another
carrier. If the relay were not ready, a load balancer would stop the traffic of all other carriers, too.
"""

from typing import Protocol

import msgspec

from relay.carriers.link import CarrierLink
from relay.cluster.membership import Membership
from relay.config.model import Config
from relay.routing.flow import MessageFlow


class Stage(msgspec.Struct, frozen=True, gc=False):
    """One thing that must be in order.

    :ivar name: "start", "cluster", "journal", "listeners", or "carrier NAME".
    :ivar reason: its state in a few words. If `ok` is false, they say what is wrong.
    """

    name: str
    ok: bool
    reason: str


class Readiness(msgspec.Struct, frozen=True, gc=False):
    """The answer of /health/ready, as JSON."""

    ready: bool
    stages: list[Stage]


class Watched(Protocol):
    """The parts of the daemon that its health depends on."""

    flow: MessageFlow
    links: dict[str, CarrierLink]
    config: Config
    not_ready: str
    membership: Membership | None

    @property
    def listening(self) -> list[str]:
        """The addresses on which it listens."""


def readiness(daemon: Watched) -> Readiness:
    """The daemon's readiness now. A call is cheap."""
    figures = daemon.flow.store.figures()
    carriers = [_carrier_stage(name, link) for name, link in daemon.links.items()]
    needed = [
        Stage("start", not daemon.not_ready, daemon.not_ready or "done"),
        Stage("journal", figures.writable, "writable" if figures.writable else figures.reason or "can't be written"),
        Stage("listeners", bool(daemon.listening), ", ".join(daemon.listening) or "nothing listens yet"),
    ]
    if daemon.membership is not None:
        state = daemon.membership.state()
        reason = state.reason or f"this node works, under epoch {state.epoch}"
        needed.insert(1, Stage("cluster", state.works, reason))
    can_send = not carriers or any(stage.ok for stage in carriers)
    return Readiness(all(stage.ok for stage in needed) and can_send, [*needed, *carriers])


def _carrier_stage(name: str, link: CarrierLink) -> Stage:
    if link.held:
        reason = "held by the operator"
    elif link.bound_count < link.wanted_count:
        reason = f"{link.bound_count} of {link.wanted_count} bound"
        if link.last_error:
            reason += f"; last error: {link.last_error}"
    else:
        reason = f"{link.bound_count} bound"
    return Stage(f"carrier {name}", link.up, reason)
