"""What an operator asks about messages from handsets, and what a list of them has."""

from typing import Final, Literal

import msgspec

from relay.values.message_view import MessageView

#: Whether the account has it: it still waits for an attempt, the account has it, or the relay has given it up.
Delivery = Literal["waiting", "delivered", "failed"]
DELIVERIES: Final[tuple[Delivery, ...]] = ("waiting", "delivered", "failed")


class InboundWanted(msgspec.Struct, frozen=True):
    """Which messages from handsets a list has. Keys that are left out fit all.

    :ivar number: a part of the handset's number, or of the number that it sent to.
    :ivar before: only those before this place in the feed; 0: from the newest one on.
    """

    carrier: str = ""
    number: str = ""
    delivery: str = ""
    before: int = 0


class InboundListed(msgspec.Struct, frozen=True):
    """A message from a handset in a list.

    :ivar view: all that is known of it; `view.inbound` says what the handset sent.
    """

    view: MessageView
    delivery: Delivery
