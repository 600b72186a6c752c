"""The pages about accounts: all of them in a table, and one of them with everything that is known of it."""

from collections.abc import Iterable, Mapping, Sequence

from twisted.web.template import Tag

from relay.account_pages.access_forms import login_words
from relay.account_pages.account_use import use_rows, use_title
from relay.account_pages.html import Content, card, duration, el, facts, moment
from relay.charging.statement import Statement
from relay.customers.bound_logins import LoginView
from relay.operator.looks import AccountLook
from relay.operator.operator_html import Frame, action_link, grid, link, number, percent, search_link, word
from relay.operator.owed import Owed
from relay.values.amounts import amount_text
from relay.values.charge import TopUp

#: Above this share of failed attempts the table marks the account.
_MANY_FAILURES = 0.2
#: The page of an account shows so many top-ups.
_TOP_UPS_SHOWN = 20
_TOP_UP_HEADS = ("At", "Amount", "Key", "By", "Reason")
_HEADS = (
    "Account", "Binds", "Rate", "Accepted", "Refused", "Owed", "Oldest owed", "Notified", "Retried", "Given up",
    "Failed attempts", "Notification URL", "",
)  # fmt: skip


def accounts_table(frame: Frame, accounts: Iterable[AccountLook], owed: Mapping[str, Owed], since: Content) -> Tag:
    """Makes the table of all accounts.

    :param owed: what each account is owed.
    :param since: says since when the counts are.
    """
    rows = (_row(frame, account, owed.get(account.name, Owed())) for account in accounts)
    return el(
        "section",
        grid("accounts", "Accounts", _HEADS, rows, "The configuration has no account."),
        el("p", "Counts are ", since, ". Rates are of the last ten seconds, failed attempts of the last hour.",
           class_="hint"),
        class_="card",
    )  # fmt: skip


def _row(frame: Frame, account: AccountLook, owed: Owed) -> Sequence[Content]:
    refused = ", ".join(f"{count:,} {status}" for status, count in account.refused.items())
    share = account.failure_share
    suspended = el("div", word("suspended", "bad")) if account.suspended else None
    kind = "bad" if share is not None and share > _MANY_FAILURES else "" if share else "nought"
    return (
        el("td", link(account.name, "accounts", account.name), suspended),
        number(account.binds),
        el("td", f"{account.rate:.1f} /s", class_="number"),
        number(account.accepted),
        el("td", refused or "0", class_="wide" if refused else "nought"),
        number(owed.count),
        el("td", moment(owed.since)) if owed.since else el("td", class_="nought"),
        number(account.delivered),
        number(account.retries),
        number(account.given_up, "bad" if account.given_up else ""),
        el("td", percent(share), class_=f"number {kind}".strip()),
        el("td", url_of(account), class_="wide"),
        el("td", *actions_of(frame, account)),
    )


def url_of(account: AccountLook) -> list[Content]:
    """Makes the text about an account's notification URL."""
    if not account.url:
        return ["none"]
    if account.url_off:
        return [account.url, el("div", word(f"off: {account.url_off}", "bad"))]
    if account.url_failures:
        times = "once" if account.url_failures == 1 else f"{account.url_failures} times in a row"
        return [account.url, el("div", word(f"failed {times}", "bad"))]
    return [account.url]


def actions_of(frame: Frame, account: AccountLook) -> list[Content]:
    """Makes the links to the actions that an account's state and the user's role allow."""
    made: list[Content] = []
    if account.suspended:
        made.append(action_link(frame, "End suspension", "accounts", account.name, "unsuspend"))
    if account.url_off:
        made.append(action_link(frame, "Switch on", "accounts", account.name, "url-on"))
    elif account.url:
        made.append(action_link(frame, "Switch off", "accounts", account.name, "url-off"))
    if account.binds:
        made.append(action_link(frame, "Unbind", "accounts", account.name, "unbind"))
    made.append(action_link(frame, "Resend", "accounts", account.name, "replay"))
    return made


def _suspend(frame: Frame, account: AccountLook) -> list[Content]:
    made: list[Content] = [
        action_link(frame, "Purge queued messages", "accounts", account.name, "purge"),
        action_link(frame, "Trace", "accounts", account.name, "trace"),
    ]
    return made if account.suspended else [*made, action_link(frame, "Suspend", "accounts", account.name, "suspend")]


def use_cards(frame: Frame, account: str, found: Statement, top_ups: Sequence[TopUp]) -> Tag:
    """Makes the cards with an account's balance, quota and latest top-ups, and the button that tops it up.

    :param found: what the account has used.
    :param top_ups: newest first.
    """
    use = facts(use_rows(found), id="account-use", data_live=True)
    if not found.prepaid:
        return card(use_title(found), use)
    rows = (
        (
            el("td", moment(t.at)),
            el("td", f"{amount_text(t.amount)} {t.currency}", class_="number"),
            t.key,
            t.by,
            el("td", t.reason, class_="wide" if t.reason else "nought"),
        )
        for t in top_ups[:_TOP_UPS_SHOWN]
    )
    button = action_link(frame, "Top up", "accounts", account, "top-up")
    return el(
        "div",
        card(use_title(found), use, None if button is None else el("div", button, class_="buttons")),
        card("Latest top-ups", grid("top-ups", "Latest top-ups", _TOP_UP_HEADS, rows, "There is none yet.")),
        class_="pair",
    )


def _of_last_hour(failure_share: float | None) -> str:
    return "no attempt in the last hour" if failure_share is None else f"{percent(failure_share)} in the last hour"


def account_page(
    frame: Frame,
    account: AccountLook,
    owed: Owed,
    given_up: int,
    since: Content,
    logins: Iterable[LoginView],
    now: float,
    use: Tag | None = None,
) -> list[Content]:
    """Makes the content of an account's own page.

    :param owed: what it is owed.
    :param logins: its SMPP logins.
    :param given_up: how many finished messages are kept whose notification was given up.
    :param use: its `use_cards`; None: it has neither quota nor prices.
    """
    refused = [(status, f"{count:,}") for status, count in account.refused.items()]
    oldest: list[Content] = [", the oldest since ", moment(owed.since)] if owed.since else []
    blocked = duration(account.url_blocked_seconds) if account.url_blocked_seconds else "no"
    intake = facts(
        [
            ("State", word("suspended: logins are refused", "bad") if account.suspended else "active"),
            *([("Parts that wait for its end", f"{account.kept:,}")] if account.suspended else []),
            *((f"SMPP login {view.login.settings.system_id}", el("span", *login_words(view, now))) for view in logins),
            ("Rate", f"{account.rate:.1f} a second"),
            ("Accepted", f"{account.accepted:,}"),
            ("Refused", f"{sum(account.refused.values()):,}"),
            *refused,
        ],
        id="account-intake",
        data_live=True,
    )
    told = facts(
        (
            ("URL", el("span", *url_of(account))),
            ("Owed", el("span", f"{owed.count:,}", *oldest)),
            ("Delivered", f"{account.delivered:,}"),
            ("Attempts that failed", f"{account.retries:,}; {_of_last_hour(account.failure_share)}"),
            ("Given up", f"{account.given_up:,}; {given_up:,} of all can be sent again"),
            ("Under way", f"{account.url_in_flight}"),
            ("Pausing", blocked),
        ),
        id="account-told",
        data_live=True,
    )
    own = search_link("Its messages", account=account.name)
    waiting = search_link("Messages whose notification is owed", account=account.name, notification="owed")
    return [
        el(
            "div",
            *actions_of(frame, account),
            *_suspend(frame, account),
            " ",
            el("span", own, " · ", waiting),
            class_="buttons",
        ),
        el("div", card("Messages", intake), card("Notifications", told), class_="pair"),
        use,
        el("p", "Counts are ", since, ".", class_="hint"),
    ]
