"""The page about messages from handsets: who got them, and whether the account has them. It never shows a text."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, choice, el, moment
from relay.operator.inbound_search import FoundInbound, InboundLook
from relay.operator.operator_html import grid, link, word
from relay.values.inbound_lists import DELIVERIES

PATH: Final = "/page/inbound"
_FIELDS: Final = (("number", "Number"), ("account", "Account"), ("carrier", "Carrier"))
_HEADS: Final = ("Received", "From", "To", "Carrier", "Account", "Parts", "State", "Attempts", "Last answer")
_KINDS: Final = {"waiting": "some", "delivered": "good", "failed": "bad"}


def inbound_page(asked: Mapping[str, str], found: FoundInbound | None, problem: str) -> list[Content]:
    """Makes the content of the page.

    :param found: None: a parameter is wrong, and `problem` says which.
    """
    content: list[Content] = [el("section", _form(asked), class_="card")]
    if found is None:
        return [*content, el("p", problem, class_="wrong", role="alert")]
    empty = "No message from a handset is like this." if any(asked.values()) else "No handset has sent a message yet."
    table = grid("inbound", "Messages from handsets", _HEADS, map(_row, found.messages), empty)
    content.append(el("section", table, class_="card"))
    if not found.complete:
        content.append(
            el("p", "The search took too long, and not all accounts were searched: name one.", class_="hint")
        )
    if found.next is not None:
        query = urlencode({name: value for name, value in asked.items() if value} | {"before": str(found.next)})
        older = el("a", "Older messages", href=f"{PATH}?{query}", class_="button", rel="next")
        content.append(el("p", older, class_="more"))
    content.append(
        el(
            "p",
            "These are the messages that are in memory and in the journal. Those for accounts that get them over SMPP "
            "alone are not among them: the carrier hears what the customer answers.",
            class_="hint",
        )
    )
    return content


def _form(asked: Mapping[str, str]) -> Tag:
    delivery = choice([("", "any"), *((word, word) for word in DELIVERIES)], asked.get("delivery", ""))
    delivery.attributes |= {"id": "by-delivery", "name": "delivery"}
    fields = [
        el(
            "div",
            el("label", label, for_=f"by-{name}"),
            el("input", id=f"by-{name}", name=name, value=asked.get(name, ""), maxlength="100", autocomplete="off",
               spellcheck="false"),
            class_="field",
        )
        for name, label in _FIELDS
    ]  # fmt: skip
    return el(
        "form",
        *fields,
        el("div", el("label", "State", for_="by-delivery"), delivery, class_="field"),
        el("div", el("button", "Search", type="submit", class_="primary"), class_="buttons"),
        method="get",
        action=PATH,
        role="search",
        class_="filters",
    )


def _row(look: InboundLook) -> Sequence[Content]:
    parts = f"{look.parts}, without {', '.join(map(str, look.missing))}" if look.missing else str(look.parts)
    return (
        el("td", moment(look.received_at), title=look.id),
        look.sender,
        look.to,
        link(look.carrier, "carriers", look.carrier),
        link(look.account, "accounts", look.account),
        el("td", parts, class_="bad" if look.missing else None),
        el("td", word(look.delivery, _KINDS[look.delivery]), f" by {' and '.join(look.owed)}" if look.owed else None),
        el("td", str(look.attempts), class_="number" if look.attempts else "number nought"),
        el("td", look.answer, class_="wide" if look.answer else "nought"),
    )
