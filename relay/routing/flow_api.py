"""What the flow stands between: carriers' links, those who serve queues, and the parts that go to the former."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from relay.text.text_form import TextForm
from relay.values.messages import AtCarrier, QueueKey


class Outgoing(msgspec.Struct, gc=False):
    """A part on its way to a carrier: what a link queues, and the token of its submit_sm.

    :ivar body: None while it waits in the journal only.
    :ivar carriers: who may take it, in order of preference; a carrier that refused it is taken out.
    :ivar account: whose it is: accounts take turns in a carrier's queue.
    :ivar priority: as in `relay.values.messages.Message`; likewise `adapt`.
    :ivar done: an answer that came after its time settled it; whoever finds it in a queue drops it.
    :ivar sent_at: when it was written to a carrier last.
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
    adapt: int = 0


class Link(Protocol):
    """A carrier, as the flow sees it."""

    @property
    def up(self) -> bool:
        """Whether it can take submit_sm now."""

    @property
    def room(self) -> int:
        """How many more parts its queue takes."""

    def room_within(self, seconds: float, account: str) -> int:
        """How many more parts of an account would be sent within so many seconds, as far as one can tell."""

    def offer(self, parts: Sequence[Outgoing]) -> None:
        """Queues parts and sends what the window takes."""

    def take_back(self) -> Sequence[Outgoing]:
        """Gives up the queued parts that another carrier may take as well."""

    def is_sending(self, message_id: bytes) -> bool:
        """Whether a part of the message has been written and has no answer."""

    @property
    def busy(self) -> bool:
        """Whether any part waits there, or has been written and has no answer."""

    @property
    def queries(self) -> int | None:
        """How many overdue parts the carrier can be asked about now; None where it is never asked."""

    def ask(self, parts: Sequence[AtCarrier]) -> None:
        """Asks the carrier about overdue parts. What it says goes to the flow's `receipts` and `asked`."""

    @property
    def can_cancel(self) -> bool:
        """Whether the carrier can be asked to cancel what it has taken, now."""

    @property
    def can_schedule(self) -> bool:
        """Whether the carrier keeps messages until their schedule_delivery_time."""

    @property
    def text_form(self) -> TextForm:
        """What must be known of the carrier before a text is cut into parts."""

    def cancel(self, part: AtCarrier) -> Awaitable[bool]:
        """Asks the carrier to cancel a part; true: it has."""


class NotificationSender(Protocol):
    """Who hands notifications over: customers' sessions, or the webhooks."""

    def wake(self, queue_key: QueueKey) -> None:
        """Something has become due in the queue. Cheap, and harmless when nothing has."""


class RateLimits(Protocol):
    """Who says how fast an account may submit."""

    def allow(self, account: str, count: int, now: float) -> float:
        """0.0 and the count is taken, or the seconds after which to ask again."""

    def allow_up_to(self, account: str, count: int, now: float) -> tuple[int, float]:
        """Takes as many of `count` as there is room for now: how many, and after how many seconds to ask again."""
