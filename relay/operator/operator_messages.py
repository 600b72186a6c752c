"""The pages about messages: a search, its list, and the life of one message."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.account_use import price_words
from relay.account_pages.html import Content, badge, card, choice, el, facts, moment
from relay.history.history_entries import NOTIFICATIONS
from relay.operator.operator_html import Frame, action_link, grid, link, path_of
from relay.operator.time_line import TimeLine, time_line
from relay.values.ids import id_text
from relay.values.message_view import MessageView
from relay.values.messages import destination_of, source_of
from relay.values.states import CUSTOMER_WORDS, SCHEDULED_STATUS, customer_words

#: The parameters that the form has a field for.
FIELDS: Final = frozenset({"find", "account", "carrier", "carrier_error", "since", "until", "status", "notification"})
#: The fields of the form that are texts: name, label, hint in the empty field.
_FIELDS: Final = (
    ("find", "Number, id or reference", "447700900123"),
    ("account", "Account", ""),
    ("carrier", "Carrier", ""),
    ("carrier_error", "Carrier's error", ""),
    ("since", "From (UTC)", "2026-11-01"),
    ("until", "Until (UTC)", "2026-11-08T12:00Z"),
)
_HEADS: Final = ("Accepted", "Account", "To", "From", "State", "Carrier", "Carrier's error", "Notification")


def search_form(asked: Mapping[str, str], problem: str, field: str) -> Tag:
    """Makes the form of a search.

    :param asked: what the form was sent with.
    :param problem: what is wrong with the field `field`; "" if nothing is.
    """
    words = sorted({words.send_status for words in CUSTOMER_WORDS.values()})
    words += sorted({SCHEDULED_STATUS, *(words.status for words in CUSTOMER_WORDS.values())})
    status = choice([("", "any"), *((word, word) for word in words)], asked.get("status", ""))
    told = choice([("", "any"), *((word, word) for word in NOTIFICATIONS)], asked.get("notification", ""))
    controls = [
        _control(name, label, el("input", value=asked.get(name, ""), placeholder=hint or None, maxlength="100",
                                 autocomplete="off", spellcheck="false"), problem if name == field else "")
        for name, label, hint in _FIELDS
    ]  # fmt: skip
    controls.append(_control("status", "State", status, problem if field == "status" else ""))
    controls.append(_control("notification", "Notification", told, problem if field == "notification" else ""))
    return el(
        "form",
        *controls,
        el("div", el("button", "Search", type="submit", class_="primary"), class_="buttons"),
        method="get",
        action="/page/messages",
        role="search",
        class_="filters",
    )


def _control(name: str, label: str, control: Tag, problem: str) -> Tag:
    control.attributes |= {"id": f"by-{name}", "name": name}
    if problem:
        control.attributes |= {"aria-invalid": "true", "aria-describedby": f"by-{name}-problem", "autofocus": ""}
    return el(
        "div",
        el("label", label, for_=f"by-{name}"),
        control,
        el("p", problem, id=f"by-{name}-problem", class_="wrong", role="alert") if problem else None,
        class_="field",
    )


def messages_table(views: Sequence[MessageView], empty: str) -> Tag:
    """Makes the table of the messages that a search found."""
    return grid("messages", "Messages", _HEADS, map(_row, views), empty)


def _row(view: MessageView) -> Sequence[Content]:
    words = customer_words(view.state, view.carrier_error.encode())
    told = f"owed by {' and '.join(view.owed)}" if view.owed else view.attempts[-1].answer if view.attempts else ""
    status = SCHEDULED_STATUS if view.waits_for_its_time else words.status
    return (
        el("td", el("a", moment(view.accepted_at), href=path_of("messages", id_text(view.id)), title=id_text(view.id))),
        link(view.account, "accounts", view.account),
        destination_of(view.addresses).decode("latin-1"),
        source_of(view.addresses).decode("latin-1"),
        el("td", el("span", badge(words.send_status), f" {status}")),
        link(view.carrier, "carriers", view.carrier) if view.carrier else "none",
        el("td", view.carrier_error, class_=None if view.carrier_error else "nought"),
        el("td", told, class_="bad" if view.owed and view.attempts else None if told else "nought"),
    )


def next_page(asked: Mapping[str, str], after: str, complete: bool) -> Tag:
    """Makes the link to the next page of a search, or on with one that took too long."""
    words = "More messages" if complete else "The search took too long: go on"
    query = urlencode({name: value for name, value in asked.items() if value} | {"after": after})
    return el("p", el("a", words, href=f"/page/messages?{query}", class_="button", rel="next"), class_="more")


def message_page(frame: Frame, view: MessageView) -> list[Content]:
    """Makes the content of a message's own page."""
    line = time_line(view)
    words = customer_words(view.state, view.carrier_error.encode())
    resend = action_link(frame, "Resend the notification", "messages", line.id, "notify") if line.final else None
    return [
        None if resend is None else el("div", resend, class_="buttons"),
        el(
            "div",
            card(
                "Message",
                facts(
                    [
                        ("State", el("span", badge(words.send_status), f" {line.status}")),
                        ("Id", el("code", line.id)),
                        ("Account", link(line.account, "accounts", line.account)),
                        ("Interface", line.interface.upper()),
                        ("To", line.to),
                        ("From", line.sender or "–"),
                        ("Reference", line.reference or "–"),
                        ("Carrier", link(line.carrier, "carriers", line.carrier) if line.carrier else "none"),
                        ("Carrier's ids", el("code", ", ".join(line.carrier_message_ids) or "–")),
                        ("Carrier's error", line.carrier_error or "–"),
                        *([("Price", price)] if (price := price_words(view)) else []),
                        ("Still to notify by", " and ".join(line.owed) or "nobody"),
                        *([("Its own notification URL", line.notification_url)] if line.notification_url else []),
                    ]
                ),
            ),
            card("What happened", _events(line)),
            id="message",
            class_="pair",
            data_live=True,
        ),
    ]


def _events(line: TimeLine) -> Tag:
    kinds = {True: "good", False: "bad", None: None}
    return el(
        "ol",
        *(el("li", moment(event.at), el("span", event.what, class_=kinds[event.good])) for event in line.events),
        class_="life",
    )
