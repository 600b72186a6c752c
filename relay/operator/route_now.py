"""Says to which carrier of its route a message would go now: which carriers are held, down, full, slow, or avoided.

The rules are those of `relay.routing.flow.MessageFlow.send`, which chooses the carrier of each message.
"""

from collections.abc import Iterator, Sequence

import msgspec

from relay.carriers.link import CarrierLink
from relay.operator.overview import Looked
from relay.quality.quality_rules import Avoided
from relay.routing.explanation import CarrierNow, Explanation, RouteNow, words


def with_now(found: Explanation, account: str, daemon: Looked, now: float) -> Explanation:
    """Adds to an explanation what decides now.

    :param account: the account of the message.
    """
    if not found.carriers:
        return found
    route = daemon.flow.routes.compiled[found.place].route
    name = words(route)
    avoided = {each.carrier: each for each in daemon.quality.avoided if each.route == name}
    seconds = route.spill_over_seconds
    states = [
        _State(carrier, daemon.links.get(carrier), account, seconds, avoided.get(carrier), now)
        for carrier in found.carriers
    ]
    return msgspec.structs.replace(found, now=_chosen(states, seconds))


class _State:
    """Knows what counts against a carrier now.

    :param link: None: a reload has just removed the carrier.
    :ivar free: whether it is up, and its queue has room.
    :ivar soon: whether it would also send the message soon enough for the route's `spill_over_seconds`.
    :ivar room: whether its queue has room, so that messages may wait for it.
    """

    def __init__(
        self, name: str, link: CarrierLink | None, account: str, seconds: float, avoided: Avoided | None, now: float
    ) -> None:
        self.name = name
        self.known = link is not None
        self.room = link is not None and link.room > 0
        self.free = link is not None and link.up and self.room
        self.soon = self.free and (not seconds or (link is not None and link.room_within(seconds, account) > 0))
        self.reasons = ["it was removed"] if link is None else list(_against(link, now))
        if self.free and not self.soon and link is not None:
            waiting = f"{link.queued:,} parts wait for it" if link.queued else "it takes none now"
            self.reasons.append(f"it would not send the message within {seconds:g} s ({waiting}): it spills over")
        if avoided is not None:
            self.reasons.append(
                f"the route avoids it: it delivered {avoided.share:.0%} of {avoided.messages:,} messages, and comes "
                f"back at {avoided.back_at:.0%}"
            )


def _against(link: CarrierLink, now: float) -> Iterator[str]:
    if link.held:
        yield "an operator holds it"
    elif not link.up:
        yield f"it is down: {link.last_error.rstrip('.')}" if link.last_error else "it is down"
    if link.room <= 0:
        yield f"its queue is full: {link.queued:,} parts"
    if link.up and link.paused_until > now:
        yield f"it asked for a pause of {link.paused_until - now:.0f} s more"


def _chosen(states: Sequence[_State], seconds: float) -> RouteNow:
    soon = next((state.name for state in states if state.soon), "")
    free = next((state.name for state in states if state.free), "")
    if soon:
        carrier, decision = soon, f"Now it goes to {soon}."
    elif free:
        carrier = free
        decision = f"Now it goes to {free}: no carrier would send it within {seconds:g} s, so it doesn't spill over."
    elif any(state.room for state in states):
        carrier = next(state.name for state in states if state.known)
        decision = f"Now no carrier takes it: it waits for {carrier}, or for the first of them that can take it."
    else:
        carrier, decision = "", "Now the queues of all its carriers are full: the message is refused."
    spills = bool(soon)
    tried = [CarrierNow(each.name, each.soon if spills else each.free, each.reasons) for each in states]
    return RouteNow(decision, carrier, tried)
