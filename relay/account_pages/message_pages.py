"""Pages about messages: the list, and everything that the relay knows about one message."""

from collections.abc import Mapping, Sequence

from twisted.web.template import Tag

from relay.account_pages.html import Content, badge, button, card, choice, duration, el, facts, field, form, moment
from relay.account_pages.list_question import FILTERS, NOTIFIED, ListQuestion
from relay.account_pages.page_values import Session
from relay.account_pages.resending import PICK
from relay.http.message_reports import report
from relay.http.types import MessageReport
from relay.values.ids import id_text
from relay.values.messages import MessageView


def finder(question: ListQuestion, problems: Mapping[str, str]) -> Tag:
    """Makes the filter and the search form.

    :param problems: what is wrong with `since` and `until`.
    """
    links = [
        el("a", words, href=question.url(show=name), aria_current="true" if name == question.show else None)
        for name, (words, _) in FILTERS.items()
    ]
    more = bool(question.notified or question.since or question.until)
    show_all = el("a", "Show all", href="/my/messages", class_="button") if more else None
    return el(
        "form",
        el("input", type="hidden", name="show", value=question.show),
        el("nav", *links, class_="choices", aria_label="Filter by state"),
        el(
            "div",
            el("label", "Search by id, number or reference", for_="search", class_="unseen"),
            el("input", type="search", id="search", name="search", value=question.search,
               placeholder="Id, number, reference", maxlength="60", autocomplete="off"),
            button("Search"),
            class_="search",
        ),
        el(
            "details",
            el("summary", "Time and notification"),
            el(
                "div",
                _instant_field("Accepted from (UTC)", "since", question.since, problems),
                _instant_field("until (UTC)", "until", question.until, problems),
                field("Notification", "notified", choice(NOTIFIED.items(), question.notified)),
                el("div", button("Apply"), show_all, class_="buttons"),
                class_="narrowing",
            ),
            open=more,
        ),
        method="get",
        action="/my/messages",
        role="search",
        class_="finder",
    )  # fmt: skip


def _instant_field(label: str, name: str, value: str, problems: Mapping[str, str]) -> Tag:
    control = el("input", type="datetime-local", value=value, data_utc=True)
    return field(label, name, control, problem=problems.get(name, ""))


def table(views: Sequence[MessageView], error_codes: str, *, empty: str, caption: str, pickable: bool = False) -> Tag:
    """Makes a table of messages, newest first.

    :param pickable: whether each message has a box by which it can be picked.
    """
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
        el("tbody", *(_row(view, report(view, error_codes), pickable) for view in views)),
        class_="messages",
    )


def _row(view: MessageView, told: MessageReport, pickable: bool) -> Tag:
    box = (
        el("input", type="checkbox", name=f"{PICK}{told.id}", value="yes", aria_label=f"Pick the message to {told.to}")
        if pickable
        else None
    )
    took = "" if view.done_at is None else duration(view.done_at - view.accepted_at)
    return el(
        "tr",
        el("td", box, el("a", told.to, href=f"/my/messages/{told.id}", title=f"Message {told.id}")),
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


def resend_buttons(question: ListQuestion) -> Tag:
    """Makes the buttons that send notifications again, and the fields that say which list it is."""
    hidden = [el("input", type="hidden", name=name, value=value) for name, value in question._asdict().items() if value]
    return el(
        "div",
        *hidden,
        el("span", "Send notifications again:"),
        button("Picked messages", "picked"),
        button("All of this list", "all"),
        class_="buttons",
    )


def export_links(question: ListQuestion) -> list[Content]:
    """To the list as a file, in both formats."""
    links: list[Content] = []
    for kind, words in (("csv", "CSV"), ("jsonl", "JSON lines")):
        links += [" " if links else "", el("a", words, href=question.url("/my/messages/export", format=kind))]
    return links


def details(session: Session, view: MessageView, error_codes: str, *, can_notify: bool) -> Tag:
    """Makes the page's content about one message."""
    told = report(view, error_codes)
    rows: list[tuple[str, Content]] = [
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
        ("Parts", str(told.parts)),
        ("Id", el("code", told.id)),
    ]
    if view.notification_url:
        rows.append(("Its own notification URL", view.notification_url))
    return el(
        "div",
        card("Message", facts(rows)),
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
