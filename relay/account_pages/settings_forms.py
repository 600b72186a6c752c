"""The forms that set where and how an account is notified."""

from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import Content, button, card, choice, copied, el, field, form, moment
from relay.account_pages.page_values import Session
from relay.accounts.account_settings import MOST_IN_A_BATCH
from relay.config.account_config import Account
from relay.http.types import AccountReport

URL_LABEL: Final = "SMS Delivery Notification URL"

#: The settings of the second form, and their names for people.
DELIVERY_SETTINGS: Final = {
    "notification_format": "Format",
    "notify": "Which states",
    "error_codes": "Error codes",
    "notification_batch": "Most notifications in one POST",
    "notification_fallback_url": "Second URL, if the first one fails",
}


def _origin(set_here: bool) -> Tag:
    """Says whether the customer or the configuration has set a value."""
    if set_here:
        return el("span", "Set here, instead of the configuration's", class_="origin here")
    return el("span", "From the relay's configuration", class_="origin")


def url_card(
    session: Session, report: AccountReport, back: str, *, entered: str | None = None, problem: str = ""
) -> Tag:
    """Makes the forms that set, remove and test the notification URL.

    :param back: the page that has the forms. It also gets the form that sets the URL.
    :param entered: the URL that the customer entered, if it isn't allowed.
    """
    url = report.notification_url
    set_here = report.notification_url_from == "setting"
    state = report.notification_url_state
    control = el(
        "input",
        type="url",
        value=(url or "") if entered is None else entered,
        placeholder="https://yoursite.com/sms/notifications",
        autocomplete="off",
        spellcheck="false",
        maxlength="2048",
    )
    words: Content
    if state == "none":
        words = el("span", "No URL: the relay posts no notifications", class_="state none")
    elif state == "on":
        words = el("span", "On", class_="state on")
    elif state == "failing":
        words = el("span", "Failing. The relay will try again.", class_="state failing")
    else:
        by_operator = state.endswith("operator switched it off")
        cure = (
            "You can change the URL, but it stays off until the operator switches it on."
            if by_operator
            else "Save it again to switch it on."
        )
        words = el("span", f"{state.capitalize()}. {cure}", class_="state off")
    return card(
        "Delivery notifications",
        el("p", words, _origin(set_here), class_="states"),
        form(
            session,
            back,
            field(
                URL_LABEL,
                "url",
                control,
                hint="The relay posts every final state of a message to this URL. Answer 2xx when you have it.",
                problem=problem,
            ),
            el(
                "div",
                button("Save URL", "save", "primary"),
                button("Remove", "remove") if url else None,
                button("Reset to the configuration's", "reset", "quiet") if set_here else None,
                class_="buttons",
            ),
            novalidate=True,
        ),
        form(
            session,
            "/my/test",
            el("input", type="hidden", name="back", value=back),
            button("Send test notification"),
            el("span", "Posts an example now, and shows how your receiver answers.", class_="hint"),
            class_="buttons apart",
        )
        if url
        else None,
        id="notifications",
    )


def secret_card(session: Session, account: Account, set_here: str | None, old_until: float | None, unseen: bool) -> Tag:
    """Makes the form that makes, changes and removes the signing secret.

    :param set_here: the secret that was set while the relay runs; "": the customer wants none; None: neither.
    :param unseen: whether the relay made the secret by itself, and the customer has not copied it yet.
    """
    secret = account.notification_secret
    if secret is not None:
        state = el("span", "Signed", class_="state on")
    elif account.sign and set_here is None:
        state = el("span", "The relay makes a secret with the first notification", class_="state none")
    else:
        state = el("span", "Not signed", class_="state none")
    # Nobody has set the secret that the relay made: it has no origin.
    shows_origin = not unseen and (secret is not None or set_here is not None)
    shown = None
    if secret is not None and unseen:
        shown = form(
            session,
            "/my/secret",
            el("p", "The relay has made this secret for you. Copy it into your receiver."),
            el("p", copied("made-secret", secret.reveal()), class_="secret"),
            el("div", button("I have copied it", "seen"), class_="buttons"),
        )
    return card(
        "Signing secret",
        el("p", state, _origin(set_here is not None) if shows_origin else None, class_="states"),
        el(
            "p",
            "With a secret, the relay signs every POST as the Standard Webhooks specification says. So your receiver "
            "can check that the POST came from this relay. A secret that you make is shown only once. The one before "
            "it signs, too, for 24 hours.",
            class_="hint",
        ),
        shown,
        el("p", "The previous secret signs, too, until ", moment(old_until), ".") if old_until else None,
        form(
            session,
            "/my/secret",
            button("Make a new secret" if secret else "Make a secret", "generate", "primary"),
            button("Stop signing", "remove") if secret else None,
            button("Reset to the configuration's", "reset", "quiet") if set_here is not None else None,
            class_="buttons",
        ),
    )


def delivery_card(
    session: Session, account: Account, set_here: set[str], *, entered: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
) -> Tag:  # fmt: skip
    """Makes the form with the other settings of notifications.

    :param set_here: the settings that the customer has set, and not the configuration.
    """
    values = current_values(account) | (entered or {})
    wrong = problems or {}

    def row(name: str, control: Tag, hint: str) -> Tag:
        return field(
            DELIVERY_SETTINGS[name],
            name,
            control,
            hint=[hint, " ", _origin(True)] if name in set_here else hint,
            problem=wrong.get(name, ""),
        )

    return card(
        "How notifications are sent",
        None if set_here else el("p", _origin(False), class_="states"),
        form(
            session,
            "/my/settings",
            el("input", type="hidden", name="form", value="delivery"),
            row(
                "notification_format",
                choice((("json", "JSON"), ("form", "Form-encoded")), values["notification_format"]),
                "The body of a notification.",
            ),
            row(
                "notify",
                choice(
                    (
                        ("final", "Final states only"),
                        ("all", "Every state that a carrier reports"),
                        ("progress", "Every state, and that a carrier has taken it"),
                    ),
                    values["notify"],
                ),
                "Every state: you also get notifications while a message is still on its way.",
            ),
            row(
                "error_codes",
                choice((("standard", "Standard"), ("carrier", "The carrier's own")), values["error_codes"]),
                "The numbers in the field 'error'.",
            ),
            row(
                "notification_batch",
                el("input", type="number", min="1", max=str(MOST_IN_A_BATCH), value=values["notification_batch"]),
                "If it is above 1, the body is an array.",
            ),
            row(
                "notification_fallback_url",
                el("input", type="url", value=values["notification_fallback_url"], autocomplete="off",
                   spellcheck="false", maxlength="2048"),
                "May stay empty.",
            ),
            el(
                "div",
                button("Save settings", "save", "primary"),
                button("Reset to the configuration's", "reset", "quiet") if set_here else None,
                class_="buttons",
            ),
            novalidate=True,
            class_="columns",
        ),
    )  # fmt: skip


def current_values(account: Account) -> dict[str, str]:
    """The values of the form with the other settings, as texts."""
    return {
        "notification_format": account.notification_format,
        "notify": account.notify,
        "error_codes": account.error_codes,
        "notification_batch": str(account.notification_batch),
        "notification_fallback_url": account.notification_fallback_url or "",
    }
