"""A store for tests that use only a few of its calls: every other call makes the test fail."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import NoReturn

from relay.store.api import Store
from relay.store.store_values import (
    NO_IDS,
    NOBODY,
    AcceptedBefore,
    FeedEntry,
    Idempotency,
    KeptReceipts,
    OtherCarrier,
    ReadAgain,
    ReplayResult,
    StoreFigures,
    StoreResult,
)
from relay.values.carrier_reports import AmbiguousReceipt, AtCarrier, QueryOutcome, Receipt, Submitted
from relay.values.charge import AccountUse, ToppedUp, TopUp
from relay.values.ended_counts import EndedCounts
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.inbound_lists import InboundListed, InboundWanted
from relay.values.message_view import MessageView
from relay.values.messages import Ending, FailedOver, Message, Pending, Replacement
from relay.values.notifications import Attempt, Claim, Notification, QueueKey, Recovery


def _unexpected(call: str) -> NoReturn:
    raise AssertionError(f"Store.{call} was called, and this test's store does not have it")


class UnusedStore(Store):
    """Inherit from it and override the calls that the test expects."""

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Idempotency | None = None,
        repeatable: Set[bytes] = NO_IDS,
        day: int = 0,
    ) -> Awaitable[AcceptedBefore | None]:
        _unexpected("accept")

    def unsubmitted(self, after: tuple[bytes, int] | None, limit: int) -> Awaitable[Sequence[Pending]]:
        _unexpected("unsubmitted")

    def connect_routes(self, other_carrier: OtherCarrier) -> None:
        """Every flow makes this call."""

    def failed_over(self, limit: int) -> Awaitable[FailedOver]:
        _unexpected("failed_over")

    def scheduled_due(self, now: float, limit: int) -> Awaitable[Sequence[Pending]]:
        _unexpected("scheduled_due")

    def scheduled_count(self, account: str) -> int:
        _unexpected("scheduled_count")

    def account_use(self, account: str) -> AccountUse:
        _unexpected("account_use")

    def top_up(self, top_up: TopUp) -> Awaitable[ToppedUp]:
        _unexpected("top_up")

    def top_ups(self, account: str) -> Sequence[TopUp]:
        _unexpected("top_ups")

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> Awaitable[Sequence[bytes | None]]:
        _unexpected("bodies")

    def replace(self, replacement: Replacement) -> Awaitable[bool]:
        _unexpected("replace")

    def sending(self, batch: Sequence[tuple[bytes, int]], carrier: str) -> Awaitable[None]:
        _unexpected("sending")

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> Awaitable[StoreResult]:
        _unexpected("submitted")

    def receipts(self, batch: Sequence[Receipt]) -> Awaitable[StoreResult]:
        _unexpected("receipts")

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> Awaitable[StoreResult]:
        _unexpected("query_outcomes")

    def end(self, batch: Sequence[Ending]) -> Awaitable[StoreResult]:
        _unexpected("end")

    def expire(self, now: float, askable: Mapping[str, int] = NOBODY) -> Awaitable[StoreResult]:
        _unexpected("expire")

    def kept_receipts(self, after: tuple[int, int] | None, limit: int) -> Awaitable[KeptReceipts]:
        _unexpected("kept_receipts")

    def reread(self, batch: Sequence[ReadAgain]) -> Awaitable[StoreResult]:
        _unexpected("reread")

    def dismiss_evidence(self, carrier: str) -> Awaitable[int]:
        _unexpected("dismiss_evidence")

    def queues(self) -> Awaitable[Sequence[QueueKey]]:
        _unexpected("queues")

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Awaitable[Claim]:
        _unexpected("claim")

    def settle(self, batch: Sequence[Attempt]) -> Awaitable[None]:
        _unexpected("settle")

    def release(self, batch: Sequence[Notification]) -> None:
        _unexpected("release")

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        _unexpected("subscribe")

    def bring_forward(self, queue_key: QueueKey, recovery: Recovery) -> None:
        _unexpected("bring_forward")

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> Awaitable[ReplayResult]:
        _unexpected("notify_again")

    def notify_old(self, account: str, views: Sequence[MessageView], now: float) -> Awaitable[ReplayResult]:
        _unexpected("notify_old")

    def given_up(self, account: str, since: float, until: float, limit: int) -> Awaitable[Sequence[bytes]]:
        _unexpected("given_up")

    def given_up_count(self, account: str) -> int:
        _unexpected("given_up_count")

    def learnt_between(self, account: str, since: float, until: float, limit: int) -> Awaitable[Sequence[bytes]]:
        _unexpected("learnt_between")

    def owed_since(self, account: str) -> Awaitable[float | None]:
        _unexpected("owed_since")

    def ended_counts(self, after: int, limit: int) -> Awaitable[EndedCounts]:
        _unexpected("ended_counts")

    def look_up(self, message_id: bytes) -> Awaitable[MessageView | None]:
        _unexpected("look_up")

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> Awaitable[Sequence[MessageView]]:
        _unexpected("recent")

    def feed(self, account: str, after: int, limit: int) -> Awaitable[Sequence[FeedEntry]]:
        _unexpected("feed")

    def feed_begins(self, account: str) -> int:
        _unexpected("feed_begins")

    def find_carrier_id(self, carrier_message_id: bytes) -> Awaitable[Sequence[MessageView]]:
        _unexpected("find_carrier_id")

    def at_carriers(self, message_id: bytes) -> Awaitable[Sequence[AtCarrier]]:
        _unexpected("at_carriers")

    def receipts_out(self, carrier: str) -> Awaitable[int]:
        _unexpected("receipts_out")

    def carriers(self) -> Awaitable[Sequence[str]]:
        _unexpected("carriers")

    def owed_by_account(self) -> Awaitable[Mapping[str, int]]:
        _unexpected("owed_by_account")

    def orphans(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        _unexpected("orphans")

    def evidence(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        _unexpected("evidence")

    def unreadable(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        _unexpected("unreadable")

    def ambiguous(self, limit: int) -> Awaitable[Sequence[AmbiguousReceipt]]:
        _unexpected("ambiguous")

    def figures(self) -> StoreFigures:
        _unexpected("figures")

    def settings(self) -> Awaitable[Sequence[tuple[str, str, str]]]:
        _unexpected("settings")

    def put_setting(self, account: str, name: str, value: str | None) -> Awaitable[None]:
        _unexpected("put_setting")

    def receive(self, batch: Sequence[InboundMessage]) -> Awaitable[StoreResult]:
        _unexpected("receive")

    def keep_parts(self, batch: Sequence[InboundPart]) -> Awaitable[None]:
        _unexpected("keep_parts")

    def kept_parts(self) -> Awaitable[Sequence[InboundPart]]:
        _unexpected("kept_parts")

    def look_up_inbound(self, message_id: bytes) -> Awaitable[MessageView | None]:
        _unexpected("look_up_inbound")

    def inbound_feed(self, account: str, after: int, limit: int) -> Awaitable[Sequence[MessageView]]:
        _unexpected("inbound_feed")

    def latest_inbound(self, account: str, wanted: InboundWanted, limit: int) -> Awaitable[Sequence[InboundListed]]:
        _unexpected("latest_inbound")

    def repeated(self, account: str, key: str) -> Awaitable[Idempotency | None]:
        _unexpected("repeated")
