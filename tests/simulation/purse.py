"""The money of a world: accounts that pay before they send, their top-ups, and what must be true of their balances.

In some worlds all messages have a price, and two of the three accounts are prepaid. The operator tops them up now and
then, and repeats a top-up that was not answered, as a person does after a crash, and now and then one that was.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from relay.config.account_config import PriceTable, Quota
from relay.store.store_values import StoreUnavailable
from relay.store.table.entries import Row
from relay.store.table.entry_values import REFUNDED
from relay.values.amounts import amount_text
from relay.values.charge import TopUp
from relay.values.ids import id_text, parse_id
from relay.values.states import DELETED, EXPIRED, REJECTED, UNDELIVERABLE, UNKNOWN

CURRENCY = "EUR"
#: What one SMS costs, in millionths.
PRICE = 10_000
PREPAID = ("hook", "both")
_STATES = {"REJECTD": REJECTED, "UNDELIV": UNDELIVERABLE, "EXPIRED": EXPIRED, "DELETED": DELETED, "UNKNOWN": UNKNOWN}


class Paid(NamedTuple):
    """A top-up whose answer may not have come: the account, the operator's key, and the amount."""

    account: str
    key: str
    amount: int


class Process(Protocol):
    """A process of the world."""

    dead: bool


class Purse:
    """What the accounts of a world pay, and the checks of it.

    :ivar on: whether messages have a price in this world.
    :param counts: of what happened in the world.
    """

    def __init__(self, seed: int, counts: Counter[str]) -> None:
        self._counts = counts
        #: For how many SMS a top-up may be.
        self.amounts: Sequence[int] = (5, 40, 200, 1000)
        self._pick = random.Random(f"purse {seed}")
        self.on = self._pick.random() < 0.6
        self._refund = self._pick.choice([[], ["REJECTD"], ["REJECTD", "UNDELIV", "EXPIRED", "DELETED"]])
        self._daily = self._pick.choice([0, 0, 40])
        self._count = 0
        self._unanswered: list[Paid] = []
        self._answered: dict[tuple[str, str], int] = {}

    def tables(self) -> dict[str, PriceTable]:
        """The configuration's prices."""
        return {"retail": PriceTable(currency=CURRENCY, by_prefix={"": amount_text(PRICE)})} if self.on else {}

    def settings(self, account: str) -> dict[str, Any]:
        """What the configuration says about the money of an account."""
        if not self.on:
            return {}
        quota = Quota(daily=self._daily) if account == "both" else Quota()
        return {"prices": "retail", "prepaid": account in PREPAID, "refund": self._refund, "quota": quota}

    # The operator

    async def top_up(self, store: Any, process: Process, now: float) -> None:
        """Tops an account up, or repeats a top-up that was not answered."""
        if not self.on:
            return
        if self._unanswered and self._pick.random() < 0.7:
            paid = self._unanswered[0]
        elif self._answered and self._pick.random() < 0.2:
            # As somebody does who has not read the answer, or whose colleague was quicker.
            (account, key), amount = self._pick.choice(list(self._answered.items()))
            paid = Paid(account, key, amount)
        else:
            self._count += 1
            amount = self._pick.choice(self.amounts) * PRICE
            paid = Paid(self._pick.choice(PREPAID), f"payment-{self._count}", amount)
            self._unanswered.append(paid)
        try:
            await store.top_up(TopUp(paid.account, paid.key, paid.amount, CURRENCY, now))
        except StoreUnavailable:
            return
        if not process.dead:
            self._counts["topped up"] += 1
            self._answered[paid.account, paid.key] = paid.amount
            self._unanswered = [other for other in self._unanswered if other != paid]

    @property
    def all_answered(self) -> bool:
        """Whether the operator knows of each top-up that it counts."""
        return not self._unanswered

    def problems_at_end(self, store: Any) -> Iterator[str]:
        """What is wrong after each top-up was answered: the relay has those, and no other ones."""
        for account in PREPAID:
            answered = {key: amount for (name, key), amount in self._answered.items() if name == account}
            known = {top_up.key: top_up.amount for top_up in store.top_ups(account)}
            if known != answered:
                yield f"{account} has the top-ups {known}, and these were answered: {answered}"

    def count_refunds(self, store: Any) -> None:
        """Counts the messages whose price was given back."""
        self._counts["given back"] += sum(
            bool(row.flags & REFUNDED) for shard in store.table.shards for row in shard.values()
        )

    # Checks

    def problems(self, store: Any, accepted: dict[str, int]) -> Iterator[str]:
        """What is wrong with the money at this instant.

        :param accepted: how many SMS each message has whose customer was told that it is accepted.
        """
        if not self.on:
            return
        rows: list[Row] = [row for shard in store.table.shards for row in shard.values()]
        for account in ("smpp", *PREPAID):
            yield from self._of_account(store, account, [row for row in rows if row.origin.account.name == account])
        for message_id, count in accepted.items():
            raw = parse_id(message_id)
            row = None if raw is None else store.table.get(raw)
            if row is not None and (row.origin.charge is None or row.origin.charge.price != count * PRICE):
                yield f"{message_id} has {count} SMS and the charge {row.origin.charge}"

    def _of_account(self, store: Any, account: str, rows: list[Row]) -> Iterator[str]:
        use, top_ups = store.account_use(account), store.top_ups(account)
        paid = {top_up.key: top_up.amount for top_up in top_ups}
        for (name, key), amount in self._answered.items():
            if name == account and paid.get(key) != amount:
                yield f"{account}'s top-up {key} of {amount} was answered, and the relay has {paid.get(key)}"
        spent = sum(row.origin.charge.price for row in rows if row.origin.charge and not row.flags & REFUNDED)
        balance = use.balances.get(CURRENCY, 0)
        should = sum(paid.values()) - spent if account in PREPAID else 0
        if balance != should:
            yield f"{account}'s balance is {balance}, and its top-ups less its messages are {should}"
        if balance < 0:
            yield f"{account}'s balance is under zero: {balance}"
        today = [row for row in rows if _day(row.acceptance.accepted_at) == use.day]
        if len(today) != use.on_day:
            yield f"{account} has {len(today)} messages of {use.day}, and {use.on_day} were counted"
        if account == "both" and self._daily and use.on_day > self._daily:
            yield f"{account} may send {self._daily} messages a day and has sent {use.on_day}"
        yield from self._of_refunds(store, rows)

    def _of_refunds(self, store: Any, rows: list[Row]) -> Iterator[str]:
        given_back = {_STATES[name] for name in self._refund}
        for row in rows:
            refunded = bool(row.flags & REFUNDED)
            if refunded == (row.latest.state in given_back):
                continue
            view = store._view(row)
            if refunded and row.latest.state == DELETED and all(part.submitted_at is None for part in view.parts):
                # It was cancelled before its time.
                continue
            if view.final or refunded:
                said = "was given back" if refunded else "was not given back"
                yield f"the price of {id_text(row.id)} {said}: {view}"


def _day(at: float) -> int:
    return int(datetime.fromtimestamp(at, UTC).strftime("%Y%m%d"))
