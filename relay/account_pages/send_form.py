"""The form that sends a message."""

from collections.abc import Mapping
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import button, card, el, field, form
from relay.account_pages.page_values import Session

FIELDS: Final = ("to", "from", "text")


def send_card(session: Session, values: Mapping[str, str], *, wrong: str = "", problem: str = "") -> Tag:
    """Makes the form for a message.

    :param values: the values that the customer has entered.
    :param wrong: the field with the problem; "": the problem belongs to no field.
    """

    def why(name: str) -> str:
        return problem if wrong == name else ""

    return card(
        "New message",
        el("p", problem, class_="notice bad", role="alert") if problem and wrong not in FIELDS else None,
        form(
            session,
            "/my/send",
            field(
                "To",
                "to",
                el("input", type="tel", value=values.get("to", ""), placeholder="+447700900123", required=True,
                   maxlength="40", autocomplete="off"),
                hint="With the country code.",
                problem=why("to"),
            ),
            field(
                "From",
                "from",
                el("input", type="text", value=values.get("from", ""), placeholder="RELAY", required=True,
                   maxlength="40", autocomplete="off", spellcheck="false"),
                hint="A number, or up to 11 letters and digits.",
                problem=why("from"),
            ),
            field(
                "Text",
                "text",
                el("textarea", values.get("text", ""), rows="4", maxlength="10000", required=True),
                hint="Long texts are sent in parts.",
                problem=why("text"),
            ),
            el("div", button("Send message", kind="primary"), class_="buttons"),
            novalidate=True,
        ),
    )  # fmt: skip
