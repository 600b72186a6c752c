"""The page about the logins of programs: API keys and SMPP logins."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import Content, button, card, choice, el, field, form, moment
from relay.account_pages.page_values import Session
from relay.accounts.api_keys import MOST_KEYS, ApiKey
from relay.customers.bound_logins import LoginView

#: The scopes, and what a key with each of them may do.
SCOPES: Final = {
    "all": "Everything, and My Account",
    "send": "Send and cancel messages",
    "read": "Read messages, notifications and the account",
}


def keys_card(
    session: Session, keys: Sequence[ApiKey], configured: bool, last_used_at: Callable[[ApiKey], float | None]
) -> Tag:
    """Makes the list of the keys.

    :param configured: whether the configuration has a key, too.
    """
    rows = [_row(session, key, last_used_at(key)) for key in keys]
    if configured:
        words = f"{SCOPES['all']}. Only the relay's operator can change it."
        rows.insert(0, el("li", el("div", el("strong", "The relay's configuration"), el("div", words, class_="hint"))))
    listed = el("ul", *rows, class_="rows", id="keys") if rows else el("p", "There is no key.", class_="empty")
    return card(
        "API keys",
        el("p", "Programs log in with a key. Give each program its own: then you can replace or end one without the "
           "others.", class_="hint"),
        listed,
    )  # fmt: skip


def _row(session: Session, key: ApiKey, used_at: float | None) -> Tag:
    networks = ", ".join(str(network) for network in key.networks)
    used: Sequence[Content] = [" Never used."] if used_at is None else [" Last used ", moment(used_at), "."]
    said = [
        f"{SCOPES[key.scope]}{f', from {networks}' if networks else ''}. Made ",
        moment(key.made_at),
        ".",
        *used,
        *([" Ends ", moment(key.ends_at), "."] if key.ends_at else []),
    ]
    buttons = form(
        session,
        "/my/access",
        el("input", type="hidden", name="id", value=key.id),
        None if key.ends_at else button("Replace", "replace", "small"),
        button("End", "end", "small"),
        class_="buttons",
    )
    return el("li", el("div", el("strong", key.name), el("div", *said, class_="hint")), buttons)


def new_key_card(session: Session, values: Mapping[str, str], problems: Mapping[str, str]) -> Tag:
    """Makes the form for a new key.

    :param values: what the customer has entered.
    """
    return card(
        "New key",
        form(
            session,
            "/my/access",
            field(
                "Name",
                "name",
                el("input", type="text", value=values.get("name", ""), maxlength="60", autocomplete="off",
                   required=True),
                hint="For example the program that will use it.",
                problem=problems.get("name", ""),
            ),
            field("What it may do", "scope", choice(SCOPES.items(), values.get("scope", "all"))),
            field(
                "Networks",
                "networks",
                el("input", type="text", value=values.get("networks", ""), maxlength="500", autocomplete="off",
                   spellcheck="false", placeholder="192.0.2.0/24, 2001:db8::/32"),
                hint="From where it may be used. Empty: from anywhere.",
                problem=problems.get("networks", ""),
            ),
            el("div", button("Make key", "make", "primary"), class_="buttons"),
            el("p", f"An account has {MOST_KEYS} keys at the most. A key is shown only once.", class_="hint"),
            novalidate=True,
        ),
    )  # fmt: skip


def smpp_card(logins: Sequence[LoginView], now: float) -> Tag:
    """Makes the list of the SMPP logins."""
    return card(
        "SMPP logins",
        el("p", "Programs bind with one of these. Only the relay's operator can change them.", class_="hint"),
        el("ul", *(_smpp_row(view, now) for view in logins), class_="rows")
        if logins
        else el("p", "There is none. The relay's operator can add one.", class_="empty"),
    )


def _smpp_row(view: LoginView, now: float) -> Tag:
    return el("li", el("div", el("strong", view.login.settings.system_id), el("div", *login_words(view, now),
              class_="hint")))  # fmt: skip


def login_words(view: LoginView, now: float) -> list[Content]:
    """Makes the text about an SMPP login. It has no password."""
    login, settings = view.login, view.login.settings
    said: list[Content] = [f"{view.bound} of {settings.max_binds} sessions bound"]
    if settings.allow_from:
        said.append(f", from {', '.join(settings.allow_from)}")
    said.append(".")
    if login.name and settings.receipts == "first":
        said.append(" Its receipts go to the first login.")
    if not view.bound:
        said += [" Never used."] if view.last_used_at is None else [" Last used ", moment(view.last_used_at), "."]
    if now < login.old_until:
        said += [" Its old password is valid until ", moment(login.old_until), "."]
    return said
