"""What an account has used and what is left, for the customer's pages and the operator's."""

from collections.abc import Iterator

from relay.account_pages.html import Content, el, moment
from relay.charging.statement import Statement
from relay.values.message_view import MessageView


def use_title(found: Statement) -> str:
    """The title of the list: Balance and quota, Prices, ..."""
    money = ["balance"] if found.prepaid else ["prices"] if found.currency else []
    return " and ".join(money + (["quota"] if found.daily or found.monthly else [])).capitalize()


def use_rows(found: Statement) -> Iterator[tuple[str, Content]]:
    """The names and values for a list of facts: only what the account has."""
    if found.prepaid:
        yield "Balance", [f"{found.balance_text} {found.currency}", *_balance_badge(found)]
    elif found.currency:
        yield "Currency", f"{found.currency}; the account is not prepaid"
    if found.daily:
        yield "Today", _quota(found.on_day, found.daily, found.day_ends_at)
    if found.monthly:
        yield "This month", _quota(found.in_month, found.monthly, found.month_ends_at)
    if found.daily or found.monthly:
        yield "Days begin", f"at midnight, {found.time_zone}"


def price_words(view: MessageView) -> str:
    """What a message cost; "": it has no price."""
    cost = view.cost
    if cost is None:
        return ""
    return f"{cost.price_text} {cost.currency}" + (", given back" if view.refunded else "")


def _quota(used: int, limit: int, ends_at: float) -> Content:
    left = max(0, limit - used)
    begins = el("div", "begins anew ", moment(ends_at), class_="hint")
    return [f"{used:,} of {limit:,} messages, {left:,} left", *_used_up(not left), begins]


def _balance_badge(found: Statement) -> list[Content]:
    if found.balance > 0 and found.is_low:
        return [" ", el("span", "low", class_="badge carrier-reject")]
    return _used_up(found.balance <= 0)


def _used_up(really: bool) -> list[Content]:
    return [" ", el("span", "used up", class_="badge failed")] if really else []
