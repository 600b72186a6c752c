"""Pages about messages: the list, and everything that the relay knows about one message."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, badge, button, card, duration, el, form, moment
from relay.account_pages.page_values import Session
from relay.http.message_reports import report
from relay.http.types import MessageReport, TriedCarrier
from relay.values.ids import id_text
from relay.values.messages import MessageView
from relay.values.states import (
    ACCEPTED,
    DELETED,
    DELIVERED,
    ENROUTE,
    EXPIRED,
    REJECTED,
    SCHEDULED,
    SKIPPED,
    UNDELIVERABLE,
    UNKNOWN,
)

#: The filters of the list: the name of each, and the states that it shows.
FILTERS: Final[dict[str, tuple[str, tuple[int | None, ...]]]] = {
    "all": ("All", (None,)),
    "pending": ("Waiting", (SCHEDULED, ENROUTE, ACCEPTED)),
    "delivered": ("Delivered", (DELIVERED,)),
    "failed": ("Failed", (EXPIRED, DELETED, UNDELIVERABLE, UNKNOWN, SKIPPED)),
    "carrier-reject": ("Carrier-reject", (REJECTED,)),
}


def finder(show: str, search: str) -> Tag:
    """Makes the filter and the search field."""
    links = [
        el(
            "a",
            words,
            href="/my/messages?" + urlencode({"show": name} | ({"search": search} if search else {})),
            aria_current="true" if name == show else None,
        )
        for name, (words, _) in FILTERS.items()
    ]
    return el(
        "div",
        el("nav", *links, class_="choices", aria_label="Filter by state"),
        el(
            "form",
            el("input", type="hidden", name="show", value=show),
            el("label", "Search by id or number", for_="search", class_="unseen"),
            el("input", type="search", id="search", name="search", value=search, placeholder="Id or number",
               maxlength="60", autocomplete="off"),
            button("Search"),
            method="get",
            action="/my/messages",
            role="search",
            class_="search",
        ),
        class_="finder",
    )  # fmt: skip


def table(views: Sequence[MessageView], error_codes: str, *, empty: str, caption: str) -> Tag:
    """Makes a table of messages, newest first."""
    if not views:
        return el("p", empty, class_="empty")
    return el(
        "table",
        el("caption", caption, class_="unseen"),
        el(
            "thead",
            el(
                "tr",
                el("th", "To", scope="col"),
                el("th", "send_status", scope="col"),
                el("th", "status", scope="col", class_="on-wide-cell"),
                el("th", "error", scope="col", class_="on-wide-cell"),
                el("th", "From", scope="col", class_="on-wide-cell"),
                el("th", "Submitted", scope="col"),
                el("th", "Took", scope="col", class_="on-wide-cell"),
                el("th", "Notified", scope="col", class_="on-wide-cell"),
            ),
        ),
        el("tbody", *(_row(view, report(view, error_codes)) for view in views)),
        class_="messages",
    )


def _row(view: MessageView, told: MessageReport) -> Tag:
    took = "" if view.done_at is None else duration(view.done_at - view.accepted_at)
    return el(
        "tr",
        el("td", el("a", told.to, href=f"/my/messages/{told.id}", title=f"Message {told.id}")),
        el("td", badge(told.send_status)),
        el("td", told.status, class_="on-wide-cell"),
        el("td", told.error, class_="on-wide-cell number"),
        el("td", told.from_, class_="on-wide-cell"),
        el("td", moment(view.accepted_at)),
        el("td", took, class_="on-wide-cell number"),
        el("td", _notified(view, told), class_="on-wide-cell"),
        data_id=told.id,
    )


def _notified(view: MessageView, told: MessageReport) -> str:
    """The state of the message's notification, in a word or two."""
    if view.owed:
        return f"owed, {len(told.attempts)} tried" if told.attempts else "owed"
    if told.attempts:
        return told.attempts[-1].answer
    return ""


def older_link(show: str, search: str, views: Sequence[MessageView], skip: int) -> Tag:
    """Makes the link to the next page of the list, which begins after the last message here."""
    last_at = views[-1].accepted_at
    here = sum(view.accepted_at == last_at for view in views)
    if here == len(views):
        here += skip
    query = {"show": show, "before": repr(last_at), "skip": str(here)} | ({"search": search} if search else {})
    return el("a", "Older messages", href="/my/messages?" + urlencode(query), class_="button", rel="next")


def next_link(show: str, search: str, after: str, complete: bool) -> Tag:
    """To the next page of a search in the history; or on with one that took too long."""
    query = {"show": show, "after": after} | ({"search": search} if search else {})
    words = "Older messages" if complete else "The search took too long: go on with older messages"
    return el("a", words, href="/my/messages?" + urlencode(query), class_="button", rel="next")


def export_links(show: str, search: str) -> list[Content]:
    """To the list as a file, in both formats."""
    links: list[Content] = []
    for kind, words in (("csv", "CSV"), ("jsonl", "JSON lines")):
        query = {"format": kind, "show": show} | ({"search": search} if search else {})
        links += [" " if links else "", el("a", words, href="/my/messages/export?" + urlencode(query))]
    return links


def details(session: Session, view: MessageView, error_codes: str, *, can_notify: bool) -> Tag:
    """Makes the page's content about one message."""
    told = report(view, error_codes)
    facts = [
        ("send_status", badge(told.send_status)),
        ("status", told.status),
        ("error", told.error),
        ("To", told.to),
        ("From", told.from_),
        ("Reference", told.reference or "–"),
        ("Submitted", [moment(view.accepted_at), f" by {view.interface.upper()}"]),
        (
            "Final state learnt",
            "not yet"
            if view.done_at is None
            else [moment(view.done_at), f", after {duration(view.done_at - view.accepted_at)}"],
        ),
        *([("Ended, says the carrier", moment(view.carrier_done_at))] if view.carrier_done_at else []),
        ("Carrier", told.carrier or "none yet"),
        ("Carrier's error", told.carrier_error or "–"),
        *([("Carriers tried", _tried(told.tried))] if isinstance(told.tried, list) else []),
        ("Parts", str(told.parts)),
        ("Id", el("code", told.id)),
    ]
    if view.notification_url:
        facts.append(("Its own notification URL", view.notification_url))
    return el(
        "div",
        card("Message", el("dl", *(item for name, value in facts for item in (el("dt", name), el("dd", value))),
                           class_="facts")),
        card(
            "Notification attempts",
            _attempts(view, told),
            el("p", f"Not yet notified by {' and '.join(view.owed)}.", class_="hint") if view.owed else None,
            form(
                session,
                f"/my/messages/{id_text(view.id)}/notify",
                button("Send the notification again"),
                class_="buttons apart",
            )
            if view.final and can_notify
            else None,
        ),
        id="message",
        data_live=True,
        class_="pair",
    )  # fmt: skip


def _tried(tried: Sequence[TriedCarrier]) -> Tag:
    """The carriers that a message went to, in their order."""
    lines = [
        f"{one.carrier}: {one.status}{f', error {one.carrier_error}' if one.carrier_error else ''}"
        if one.carrier
        else "waits for the next carrier"
        for one in tried
    ]
    return el("ol", *[el("li", line) for line in lines])


def _attempts(view: MessageView, told: MessageReport) -> Tag:
    if not told.attempts:
        return el("p", "No attempt yet." if not view.final or view.owed else "None was asked for.", class_="empty")
    rows = [
        el(
            "tr",
            el("td", str(attempt.attempt), class_="number"),
            el("td", moment(seen.at)),
            el("td", attempt.channel),
            el("td", attempt.answer),
            el("td", duration(attempt.seconds), class_="number"),
            el("td", attempt.status, class_="on-wide-cell"),
        )
        for attempt, seen in zip(told.attempts, view.attempts, strict=True)
    ]
    heads = [
        el("th", words, scope="col", class_="on-wide-cell" if words == "Told" else None)
        for words in ("No.", "Time", "Channel", "Answer", "Took", "Told")
    ]
    return el(
        "div",
        el("table", el("caption", "Notification attempts", class_="unseen"), el("thead", el("tr", *heads)),
           el("tbody", *rows)),
        class_="scrolls",
        tabindex="0",
        role="region",
        aria_label="Notification attempts",
    )  # fmt: skip
