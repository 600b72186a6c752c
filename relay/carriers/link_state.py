"""The state machine of a carrier's link.

Theory of operation: a table says which event leads from which state to which. An event that a state's row doesn't name
changes nothing. The table is like those in `relay.smpp.rules`. docs/decisions says why it isn't Automat.
"""

import enum
from collections.abc import Mapping
from typing import Final


class LinkState(enum.Enum):
    """The state of a link. It sends messages only in UP."""

    #: The link has not been started yet.
    DOWN = "down"
    #: No session takes messages yet. The keepers connect and bind.
    BINDING = "binding"
    #: At least one session takes messages.
    UP = "up"
    #: An operator holds it. The sessions stay bound, and receipts are taken.
    HELD = "held"
    #: Another link, or other carriers, take over. The sessions stay bound, and receipts are taken.
    RETIRING = "retiring"
    #: The link waits for its last responses and unbinds, or has done so.
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
    # If a session is bound, the caller reports BOUND right after RESUMED.
    LinkState.HELD: {LinkEvent.RESUMED: LinkState.BINDING, **_ENDS},
    LinkState.RETIRING: {LinkEvent.STOPPED: LinkState.STOPPED},
    LinkState.STOPPED: {},
}


class LinkStateMachine:
    """Keeps the state of one link.

    :ivar up: whether messages may be sent. Every batch reads it, so it is computed when the state changes.
    :ivar held: whether an operator holds the carrier. It is kept after the link's end, so that the link that takes over
        can be held, too.
    """

    __slots__ = ("held", "state", "up")

    def __init__(self) -> None:
        self.state = LinkState.DOWN
        self.up = False
        self.held = False

    @property
    def over(self) -> bool:
        """Whether the link will never send again."""
        return self.state is LinkState.RETIRING or self.state is LinkState.STOPPED

    def on(self, event: LinkEvent) -> None:
        """Changes the state as the table says for this event."""
        if event is LinkEvent.HELD:
            self.held = True
        elif event is LinkEvent.RESUMED:
            self.held = False
        self.state = NEXT[self.state].get(event, self.state)
        self.up = self.state is LinkState.UP
