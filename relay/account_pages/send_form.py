"""The form that sends a message."""

from collections.abc import Mapping
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import button, card, el, field, form
from relay.account_pages.page_values import Session

FIELDS: Final = ("to", "from", "text")


def send_card(session: Session, values: Mapping[str, str], *, wrong: str = "", problem: str = "") -> Tag:
    """A message to send.

    :param values: what was entered.
    :param wrong: the field that `problem` is about; "" where it is about none.
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
                hint="International format.",
                problem=why("to"),
            ),
            field(
                "From",
                "from",
                el("input", type="text", value=values.get("from", ""), placeholder="RELAY", required=True,
                   maxlength="40", autocomplete="off", spellcheck="false"),
                hint="A number, or up to eleven letters and digits.",
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
