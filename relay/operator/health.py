"""Whether the relay lives and whether it can do its work, stage by stage, with the reason where it can't.

*Live* means that the process's one thread gets round to answering; whoever reads the answer knows it. *Ready* means
that a message handed in now would be made durable and passed on: the start is over, the journal can be written, the
listeners listen, and at least one carrier can be sent to. One carrier of several being away is shown and doesn't make
the relay unready: its messages wait, or take another way, and a load balancer that took the relay out for it would
stop the traffic of all the others.
"""

from typing import Protocol

import msgspec

from relay.carriers.link import CarrierLink
from relay.config.model import Config
from relay.routing.flow import MessageFlow


class Stage(msgspec.Struct, frozen=True, gc=False):
    """One thing that must be in order.

    :ivar name: "start", "journal", "listeners", or "carrier NAME".
    :ivar reason: a few words on how it is; says what is wrong where `ok` is false.
    """

    name: str
    ok: bool
    reason: str


class Readiness(msgspec.Struct, frozen=True, gc=False):
    """What /health/ready says, as JSON."""

    ready: bool
    stages: list[Stage]


class Watched(Protocol):
    """The daemon, as far as its health goes."""

    flow: MessageFlow
    links: dict[str, CarrierLink]
    config: Config
    not_ready: str

    @property
    def listening(self) -> list[str]:
        """The addresses on which it listens."""


def readiness(daemon: Watched) -> Readiness:
    """How ready the daemon is now. Cheap."""
    figures = daemon.flow.store.figures()
    carriers = [_carrier_stage(name, link) for name, link in daemon.links.items()]
    needed = [
        Stage("start", not daemon.not_ready, daemon.not_ready or "done"),
        Stage("journal", figures.writable, "writable" if figures.writable else figures.reason or "can't be written"),
        Stage("listeners", bool(daemon.listening), ", ".join(daemon.listening) or "nothing listens yet"),
    ]
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
