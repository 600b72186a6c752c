"""What the store knows of a message, as customers and the operator see it."""

from collections.abc import Sequence

import msgspec

from relay.values.charge import Charge
from relay.values.inbound import InboundMessage
from relay.values.notifications import not_before


class AttemptView(msgspec.Struct, frozen=True, gc=False):
    """One attempt, as shown to customer and operator.

    :ivar status: the word in the notification, such as "DELIVRD".
    :ivar due_at: when the next attempt was due then; 0.0: none was.
    :ivar url: as in `Attempt`; "": it isn't known, or the attempt was over SMPP.
    :ivar body: as in `Attempt`.
    """

    channel: str
    attempt: int
    at: float
    answer: str
    seconds: float
    status: str
    due_at: float = 0.0
    url: str = ""
    body: str = ""


class PartView(msgspec.Struct, frozen=True, gc=False):
    """One part, as shown to customer and operator.

    :ivar carrier_stat: the carrier's word for the state, if it isn't one of Appendix B's.
    :ivar carrier_done_at: when the part reached the state, as the carrier says; None: the carrier doesn't say.
    """

    carrier: str
    carrier_message_id: str
    state: int
    carrier_error: str
    submitted_at: float | None
    done_at: float | None
    carrier_stat: str = ""
    carrier_done_at: float | None = None


class MessageView(msgspec.Struct, frozen=True, gc=False):
    """Everything that the store knows of a message, for queries.

    :ivar state: SCHEDULED until a carrier has taken the message.
    :ivar done_at: when the relay learnt the final state; None before.
    :ivar carrier_done_at: when the message reached it, as the carrier says; None: the carrier doesn't say.
    :ivar priority: as in `Message`; likewise `scheduled_at`, `adapt`, `tags` and `charge`.
    :ivar refunded: whether its price was given back.
    :ivar waits_for_its_time: `scheduled_at` has not come; the message is in no carrier's queue.
    :ivar rounds: for a message that went to another carrier: its parts in each round, in order of time, the present
        round last. `parts` are those of the round that decided, or of the present one. Otherwise it is empty.
    :ivar inbound: what a handset sent; None: it is a customer's message.
    :ivar brought_back: the store had forgotten the message, and has taken it back from the history to tell it again
        (`Store.notify_old`). It lacks the attempts, the price and earlier rounds, which the history has.
    :ivar url_is_whole: false: `notification_url` can't be used any more, because the history keeps none of its login,
        query and fragment. False also for callbacks of other interfaces in the history.
    :ivar ending: the message has ended, but this isn't durable yet. So the final state isn't shown, and `final` is
        false. Nothing more may be sent.
    """

    id: bytes
    account: str
    addresses: bytes
    state: int
    final: bool
    carrier: str
    carrier_error: str
    interface: str
    accepted_at: float
    expires_at: float
    done_at: float | None
    parts: Sequence[PartView]
    attempts: Sequence[AttemptView]
    owed: Sequence[str]
    reference: str | None = None
    notification_url: str | None = None
    carrier_done_at: float | None = None
    priority: int = 0
    scheduled_at: float = 0.0
    waits_for_its_time: bool = False
    adapt: int = 0
    inbound: InboundMessage | None = None
    tags: tuple[str, ...] = ()
    ending: bool = False
    rounds: Sequence[Sequence[PartView]] = ()
    charge: Charge | None = None
    refunded: bool = False
    brought_back: bool = False
    url_is_whole: bool = True

    @property
    def cost(self) -> Charge | None:
        """What the message costs; None: it has no price."""
        return self.charge if self.charge is not None and self.charge.currency else None

    @property
    def tried(self) -> tuple[str, ...]:
        """The carriers that could not deliver the message before it went to another one."""
        return tuple(dict.fromkeys(part.carrier for parts in self.rounds[:-1] for part in parts))

    @property
    def told_done_at(self) -> float | None:
        """When the message reached its final state: as the carrier says, or else when the relay learnt it."""
        return not_before(self.accepted_at, self.carrier_done_at or 0.0) or self.done_at
