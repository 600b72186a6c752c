"""Notifications, the queues that they wait in, and the attempts to give them to customers."""

import enum
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from relay.values.inbound import InboundMessage


class Channel(enum.StrEnum):
    """The ways in which a customer is notified."""

    WEBHOOK = "webhook"
    SMPP = "smpp"


class QueueKey(NamedTuple):
    """Names one notification queue. Its notifications go the same way, so they fail together.

    :ivar url: the notification URL that the messages were submitted with. It is empty for the account's own URL, which
        may change until the attempt is made. Over SMPP it is the login that gets the receipts (`Message.login`).
    """

    account: str
    channel: str
    url: str = ""


def not_before(accepted_at: float, carrier_done_at: float) -> float:
    """Corrects a carrier's date that is up to a minute before acceptance, because most dates have no seconds."""
    return accepted_at if accepted_at - 60.0 < carrier_done_at < accepted_at else carrier_done_at


class Notification(msgspec.Struct, frozen=True, gc=False):
    """A notification that was claimed for an attempt.

    :ivar channel: see `Channel`.
    :ivar attempt: the number of this attempt, from 1.
    :ivar addresses: as in `Message`: the customer's own source first.
    :ivar url: as in `QueueKey`.
    :ivar done_at: when the relay learnt the state.
    :ivar carrier_done_at: when the message reached the state, as the carrier says; 0.0: the carrier doesn't say.
    :ivar user_message_reference: the optional parameter of the submission; None: it had none.
    :ivar scheduled_at: above 0 if the notification was brought forward (`Store.bring_forward`). Then this attempt
        repeats attempt number `attempt`, and `scheduled_at` is when the schedule makes the next attempt due.
    :ivar taken: whether a carrier took the message. `taken`, `carrier` and `carrier_message_id` are known only if the
        message has a notification URL of its own.
    :ivar carrier: the carrier that took or refused the message; "": it was sent to none.
    :ivar carrier_message_id: the canonical id, for a message of one part.
    :ivar inbound: what a handset sent, if this is no notification but a message for the customer.
    """

    id: bytes
    account: str
    channel: str
    state: int
    final: bool
    attempt: int
    accepted_at: float
    done_at: float
    addresses: bytes
    carrier_error: bytes = b""
    network_error_code: bytes = b""
    url: str = ""
    reference: str | None = None
    owed_since: float = 0.0
    parts: int = 1
    scheduled_at: float = 0.0
    taken: bool = True
    carrier: str = ""
    carrier_message_id: bytes = b""
    carrier_done_at: float = 0.0
    user_message_reference: int | None = None
    inbound: InboundMessage | None = None

    @property
    def told_done_at(self) -> float:
        """When the message reached its state: as the carrier says, or else when the relay learnt it."""
        return not_before(self.accepted_at, self.carrier_done_at) or self.done_at

    @property
    def queue_key(self) -> QueueKey:
        """The queue that this notification was claimed from."""
        return QueueKey(self.account, self.channel, self.url)


class Claim(msgspec.Struct, frozen=True, gc=False):
    """The notifications that were claimed. `more` says whether others in the queue are due now, too."""

    notifications: Sequence[Notification]
    more: bool = False


class Verdict(enum.IntEnum):
    """How an attempt ended."""

    DELIVERED = 0
    RETRY = 1
    GIVEN_UP = 2


class Recovery(enum.IntEnum):
    """The event that brings a retry forward.

    OUTAGE_ENDED also brings forward the retries that wait for REACHED.
    """

    #: No event brings the retry forward.
    NOTHING = 0
    #: The customer's URL was skipped for a while, and takes notifications again.
    OUTAGE_ENDED = 1
    #: The customer could not be reached, and has taken a notification since.
    REACHED = 2


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """The end of an attempt to notify a customer.

    :ivar due_at: for RETRY, when the next attempt is due.
    :ivar answer: the customer's answer in a word or two: "204", "ESME_RX_T_APPN", "timeout".
    :ivar seconds: how long the attempt took.
    :ivar brought_forward_by: for RETRY, the event that makes the next attempt due before `due_at`
        (`Store.bring_forward`).
    :ivar place: for RETRY, the part of the URL that failed and has to recover. "": the queue's own place.
    :ivar url: for webhooks: the URL that gave the answer, without its secrets (`relay.values.shown_url`).
    :ivar body: the beginning of the answer's body, as text.
    """

    notification: Notification
    verdict: Verdict
    at: float
    due_at: float = 0.0
    answer: str = ""
    seconds: float = 0.0
    brought_forward_by: Recovery = Recovery.NOTHING
    place: str = ""
    url: str = ""
    body: str = ""
