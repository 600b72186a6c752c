"""Where a carrier's link stands.

Theory of operation: a table says for each state which events lead to which state. What a table doesn't name changes
nothing. It is a table like those in `relay.smpp.rules`; docs/decisions says why it isn't Automat.
"""

import enum
from collections.abc import Mapping
from typing import Final


class LinkState(enum.Enum):
    """Where a link stands. Only UP sends messages."""

    #: Made, and not started yet.
    DOWN = "down"
    #: No session takes messages; the keepers connect and bind.
    BINDING = "binding"
    #: At least one session takes messages.
    UP = "up"
    #: An operator holds it. The sessions stay bound, and receipts are taken.
    HELD = "held"
    #: Another link, or other carriers, take over. The sessions stay bound, and receipts are taken.
    RETIRING = "retiring"
    #: It waits for its last responses and unbinds, or has done so.
    STOPPED = "stopped"


class LinkEvent(enum.Enum):
    """What changes a link's state."""

    STARTED = "started"
    BOUND = "bound"
    LAST_LOST = "last lost"
    HELD = "held"
    RESUMED = "resumed"
    RETIRED = "retired"
    STOPPED = "stopped"


_ENDS: Final[Mapping[LinkEvent, LinkState]] = {
    LinkEvent.RETIRED: LinkState.RETIRING,
    LinkEvent.STOPPED: LinkState.STOPPED,
}

NEXT: Final[Mapping[LinkState, Mapping[LinkEvent, LinkState]]] = {
    LinkState.DOWN: {LinkEvent.STARTED: LinkState.BINDING, LinkEvent.HELD: LinkState.HELD, **_ENDS},
    LinkState.BINDING: {LinkEvent.BOUND: LinkState.UP, LinkEvent.HELD: LinkState.HELD, **_ENDS},
    LinkState.UP: {LinkEvent.LAST_LOST: LinkState.BINDING, LinkEvent.HELD: LinkState.HELD, **_ENDS},
    # Whoever resumes says BOUND next, where a session is bound.
    LinkState.HELD: {LinkEvent.RESUMED: LinkState.BINDING, **_ENDS},
    LinkState.RETIRING: {LinkEvent.STOPPED: LinkState.STOPPED},
    LinkState.STOPPED: {},
}


class LinkStateMachine:
    """The state of one link, and what follows from it.

    :ivar up: whether messages may be sent. It is asked for every batch, so it is worked out when the state changes.
    :ivar held: whether an operator holds the carrier. It outlives the link's end, so that the link that takes over can
        be held as well.
    """

    __slots__ = ("held", "state", "up")

    def __init__(self) -> None:
        self.state = LinkState.DOWN
        self.up = False
        self.held = False

    @property
    def over(self) -> bool:
        """Whether it sends nothing for good."""
        return self.state is LinkState.RETIRING or self.state is LinkState.STOPPED

    def on(self, event: LinkEvent) -> None:
        """Takes the step that the table names for this event, if it names one."""
        if event is LinkEvent.HELD:
            self.held = True
        elif event is LinkEvent.RESUMED:
            self.held = False
        self.state = NEXT[self.state].get(event, self.state)
        self.up = self.state is LinkState.UP
