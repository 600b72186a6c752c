"""The list of messages: its filters, its table, and what can be done with all of it."""

from collections.abc import Mapping, Sequence

from twisted.web.template import Tag

from relay.account_pages.account_use import price_words
from relay.account_pages.html import Content, badge, button, choice, duration, el, field, moment
from relay.account_pages.list_question import FILTERS, NOTIFIED, ListQuestion
from relay.account_pages.resend_words import PICK
from relay.http.message_reports import report
from relay.http.types import MessageReport
from relay.values.message_view import MessageView


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
    priced = any(view.cost is not None for view in views)
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
                el("th", "Price", scope="col", class_="on-wide-cell") if priced else None,
            ),
        ),
        el("tbody", *(_row(view, report(view, error_codes), pickable, priced) for view in views)),
        class_="messages",
    )


def _row(view: MessageView, told: MessageReport, pickable: bool, priced: bool) -> Tag:
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
        el("td", price_words(view), class_="on-wide-cell number") if priced else None,
        data_id=told.id,
    )


def _notified(view: MessageView, told: MessageReport) -> str:
    """The state of the message's notification, in a word or two."""
    if view.owed:
        return f"owed, {told.attempts[-1].attempt} tried" if told.attempts else "owed"
    if told.attempts:
        return told.attempts[-1].answer
    return ""


def resend_buttons(question: ListQuestion) -> Tag:
    """Makes the buttons that send notifications again, and the fields that say which list it is."""
    hidden = [el("input", type="hidden", name=name, value=value) for name, value in question.fields.items()]
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
