"""Declares the interfaces that the message flow needs: carriers' links, senders of notifications, rate limits."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from relay.text.text_form import TextForm
from relay.values.carrier_reports import AtCarrier
from relay.values.notifications import QueueKey


class Outgoing(msgspec.Struct, gc=False):
    """Holds a part on its way to a carrier. Links queue it, and use it as the token of its submit_sm.

    :ivar body: the body of the submit_sm; None while only the journal has the body.
    :ivar carriers: the carriers that may take the part, in order of preference, without those that refused it.
    :ivar account: the account of the message. Accounts take turns in a carrier's queue.
    :ivar priority: as in `relay.values.messages.Message`.
    :ivar done: true if a late response has settled the part. A link that finds it in a queue drops it.
    :ivar sent_at: when the part was last written to a carrier.
    :ivar sent_before: true if it may have been written to a carrier before `sent_at`: it was in doubt, perhaps because
        the relay was stopped.
    :ivar adapt: as in `relay.values.messages.Message`.
    """

    id: bytes
    part: int
    body: bytes | None
    expires_at: float
    carriers: tuple[str, ...]
    account: str = ""
    priority: int = 0
    done: bool = False
    sent_at: float = 0.0
    sent_before: bool = False
    adapt: int = 0


class Link(Protocol):
    """The interface of a carrier for the message flow."""

    @property
    def up(self) -> bool:
        """True if the carrier can take submit_sm now."""

    @property
    def room(self) -> int:
        """The number of parts that its queue still has room for."""

    def room_within(self, seconds: float, account: str) -> int:
        """Estimates how many more parts of an account the carrier would get within this time."""

    def offer(self, parts: Sequence[Outgoing]) -> None:
        """Queues parts, and sends as many as the window allows."""

    def take_back(self) -> Sequence[Outgoing]:
        """Removes the parts that another carrier may take from the queue, and returns them."""

    def withdraw(self, account: str) -> Sequence[Outgoing]:
        """Removes the parts of an account from the queue, and returns them."""

    def drop_cancelled(self) -> None:
        """Removes the queued parts of messages that were cancelled, instead of when their turn comes."""

    def is_sending(self, message_id: bytes) -> bool:
        """Returns true if a part of the message was written to the carrier and has no response yet."""

    @property
    def busy(self) -> bool:
        """True if a part waits in the queue, or was written to the carrier and has no response yet."""

    @property
    def queries(self) -> int | None:
        """The number of queries about overdue parts that the carrier can take now; None if it gets no queries."""

    def ask(self, parts: Sequence[AtCarrier]) -> None:
        """Queries the carrier about overdue parts. The link gives the results to the store."""

    @property
    def can_cancel(self) -> bool:
        """True if the relay can ask the carrier now to cancel parts that it has taken."""

    @property
    def can_schedule(self) -> bool:
        """True if the carrier keeps messages until their schedule_delivery_time."""

    @property
    def text_form(self) -> TextForm:
        """The form of text that the carrier wants. The relay needs it before it cuts a text into parts."""

    def cancel(self, part: AtCarrier) -> Awaitable[bool]:
        """Asks the carrier to cancel a part. The result is true if the carrier has cancelled it."""


class NotificationSender(Protocol):
    """The interface of a sender of notifications: over customers' sessions, or as webhooks."""

    def wake(self, queue_key: QueueKey) -> None:
        """Tells the sender that a notification in the queue may be due. The call is cheap, and harmless if none is."""


class RateLimits(Protocol):
    """The interface of the rate limits: they say how fast an account may submit."""

    def allow(self, account: str, count: int, now: float) -> float:
        """Takes `count` messages from the rate and returns 0.0, if there is room for all of them.

        Otherwise it takes none, and returns the seconds after which the caller may ask again.
        """

    def allow_up_to(self, account: str, count: int, now: float) -> tuple[int, float]:
        """Takes as many of `count` messages from the rate as there is room for now.

        Returns the number of messages that it took, and the seconds after which the caller may ask again.
        """
