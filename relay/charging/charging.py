"""Decides whether an account may send a message, and what the message costs.

Theory of operation: `Charging` has the terms of each account that has any; for the others it costs one look-up for each
batch. The flow makes a `Meter` for a batch, and asks it about each message that is otherwise fine. The meter begins
with what the store has counted, and counts the messages that it has admitted. The flow calls `accept` in the same turn
of the reactor, and the store counts then. So no two batches use the same rest of a quota, or the same money.
"""

from collections.abc import Callable, Mapping, Sequence

from relay.charging.sms_count import segments
from relay.charging.statement import Statement, statement
from relay.charging.terms import Terms, terms_of
from relay.config.account_config import Account, PriceTable
from relay.values.amounts import amount_text
from relay.values.charge import AccountUse, Charge
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RSUBMITFAIL, ESME_RTHROTTLED


class Charging:
    """Knows the terms of the accounts, by the present configuration.

    :param tables: the price tables, by name.
    """

    def __init__(self, accounts: Mapping[str, Account], tables: Mapping[str, PriceTable]) -> None:
        self._terms: dict[str, Terms] = {}
        self.replace(accounts, tables)

    def replace(self, accounts: Mapping[str, Account], tables: Mapping[str, PriceTable]) -> None:
        """Applies a new configuration."""
        self._terms = terms_of(accounts, tables)

    def terms(self, account: str) -> Terms | None:
        """The account's terms; None: its messages are not counted and cost nothing."""
        return self._terms.get(account)

    def statement(self, account: str, use_of: Callable[[str], AccountUse], now: float) -> Statement | None:
        """What the account has used, and what it may use; None: it has neither quota nor prices.

        :param use_of: gives what the store has counted for it.
        """
        terms = self._terms.get(account)
        return None if terms is None else statement(terms, use_of(account), now)

    def day(self, account: str, now: float) -> int:
        """The day on which messages of the account count now; 0: they are not counted."""
        terms = self._terms.get(account)
        return 0 if terms is None else terms.day(now)


class Meter:
    """Admits the messages of one batch, as far as the account's terms allow.

    :param use: what the store has counted for the account.
    """

    def __init__(self, terms: Terms, use: AccountUse, now: float) -> None:
        self._terms = terms
        self._now = now
        self._on_day, self._in_month = use.counts(terms.day(now))
        self._balance = 0 if terms.prices is None else use.balances.get(terms.prices.currency, 0)

    def admit(self, addresses: bytes, parts: Sequence[bytes]) -> Charge | Refused:
        """The charge of the next message, or why it is refused. If it has a charge, the flow must accept it.

        :param addresses: as in `Message`; likewise `parts`.
        """
        terms = self._terms
        if terms.monthly and self._in_month >= terms.monthly:
            return self._over(terms.monthly, "month", "monthly", terms.next_month(self._now).timestamp())
        if terms.daily and self._on_day >= terms.daily:
            return self._over(terms.daily, "day", "daily", terms.next_day(self._now).timestamp())
        price = 0
        if terms.prices is not None:
            each = terms.prices.of(addresses)
            if each is None:
                return Refused(ESME_RINVDSTADR, "to", "The account has no price for this number.", kind="no-price")
            price = each * segments(parts)
            if terms.prepaid:
                if price > max(0, self._balance):
                    return self._no_credit(price, terms.prices.currency)
                self._balance -= price
        self._on_day += 1
        self._in_month += 1
        return terms.charge(price)

    def _over(self, limit: int, period: str, key: str, ends_at: float) -> Refused:
        seconds = ends_at - self._now
        hours, minutes = divmod(int(seconds + 59.0) // 60, 60)
        reason = (
            f"The account may send {limit} messages a {period} (quota.{key}), and has. The next {period} begins in "
            f"{hours} h {minutes} min ({self._terms.zone.key})."
        )
        # The same message is accepted later although nobody does anything, so the status is that of a rate.
        return Refused(ESME_RTHROTTLED, "", reason, seconds, "quota-exceeded")

    def _no_credit(self, price: int, currency: str) -> Refused:
        reason = (
            f"The message costs {amount_text(price)} {currency}, and the account's balance is "
            f"{amount_text(self._balance)} {currency}. Top it up, and send the message again."
        )
        # Until somebody pays, no repeat of the message is accepted. So the client shouldn't try again by itself.
        return Refused(ESME_RSUBMITFAIL, "", reason, 0.0, "no-credit")
