"""The page about one message: what it is, and everything that happened to it, in order of time."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from twisted.web.template import Tag

from relay.account_pages.account_use import price_words
from relay.account_pages.answer_words import answer_words
from relay.account_pages.html import Content, badge, button, card, copied, duration, el, facts, form, moment
from relay.account_pages.page_values import Session
from relay.http.message_reports import report
from relay.values.ids import id_text
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.notifications import Channel, Notification
from relay.values.states import CUSTOMER_WORDS, ENROUTE, UNKNOWN, customer_words
from relay.webhooks.request import WebhookRequest

#: Makes the request of an attempt again, see `WebhookTester.built_again`.
BuiltAgain = Callable[[Notification, float], WebhookRequest | None]

#: What a status means.
STATUS_WORDS: Final = {
    "SCHEDULED": "It waits for its time.",
    "ENROUTE": "It is on its way.",
    "ACCEPTD": "It is on its way: somebody has read or taken it on behalf of the recipient.",
    "DELIVRD": "The recipient's phone has it, says the carrier.",
    "EXPIRED": "It could not be delivered while it was valid.",
    "DELETED": "It was cancelled, or somebody deleted it on its way.",
    "UNDELIV": "It can't be delivered, says the carrier.",
    "UNKNOWN": "It was sent, but nobody says how it ended.",
    "REJECTD": "The carrier refused it, or no carrier takes it.",
}

#: What an error of the standard codes means.
ERROR_WORDS: Final = {
    "000": "no error",
    "001": "still on its way",
    "002": "delivered; the carrier reports error 002 with it",
    "003": "not delivered in time",
    "004": "deleted",
    "005": "undeliverable",
    "006": "taken on behalf of the recipient",
    "007": "unknown",
    "008": "refused",
}


_URL_NOT_KEPT: Final = (
    "The notification can't be sent again: the message's own URL had a login or a query, which isn't kept for so long."
)


class Happening(NamedTuple):
    """One thing that happened to a message.

    :ivar kind: "good", "bad", or "" for neither.
    :ivar more: what is shown below it.
    """

    at: float
    what: Content
    kind: str = ""
    more: Content = None


def message_page(session: Session, view: MessageView, error_codes: str, built_again: BuiltAgain, why_not: str) -> Tag:
    """Makes the page's content.

    :param error_codes: the account's setting.
    :param why_not: why the notification can't be sent again (`Resending.why_not`); "": it can.
    """
    again = form(
        session,
        f"/my/messages/{id_text(view.id)}/notify",
        button("Send the notification again"),
        class_="buttons apart",
    )
    return el(
        "div",
        card("Message", facts(_facts(view, error_codes))),
        card(
            "What happened",
            el("ol", *(_shown(one) for one in happenings(view, built_again)), class_="timeline"),
            el("p", f"Not yet notified by {' and '.join(view.owed)}.", class_="hint") if view.owed else None,
            el("p", _URL_NOT_KEPT, class_="hint") if why_not == "url-not-kept" else None,
            None if why_not else again,
        ),
        id="message",
        data_live=True,
        class_="pair",
    )


def _facts(view: MessageView, error_codes: str) -> Iterator[tuple[str, Content]]:
    told = report(view, error_codes)
    yield "send_status", badge(told.send_status)
    yield "status", [told.status, _hint(STATUS_WORDS.get(told.status, ""))]
    meaning = ERROR_WORDS.get(told.error, "") if error_codes == "standard" else "a number of the carrier's own"
    yield "error", [told.error, _hint(meaning)]
    yield "To", copied("message-to", told.to)
    yield "From", told.from_
    yield "Reference", copied("message-reference", told.reference) if told.reference else "none"
    yield "Id", copied("message-id", told.id)
    yield "Submitted", [moment(view.accepted_at), f" by {view.interface.upper()}"]
    if view.done_at is not None:
        yield "Final state learnt", [moment(view.done_at), f", after {duration(view.done_at - view.accepted_at)}"]
    if view.carrier_done_at:
        yield "Ended, says the carrier", moment(view.carrier_done_at)
    yield "Carrier", told.carrier or "none yet"
    if told.carrier_error:
        yield "Carrier's error", [told.carrier_error, _hint("a number of the carrier's own")]
    yield "Parts", str(told.parts)
    if price := price_words(view):
        yield "Price", price
    if view.notification_url:
        yield "Its own notification URL", view.notification_url


def _hint(words: str) -> Content:
    return el("div", words, class_="hint") if words else ""


def _shown(happening: Happening) -> Tag:
    return el("li", moment(happening.at), el("div", happening.what, happening.more), class_=happening.kind or None)


def happenings(view: MessageView, built_again: BuiltAgain) -> list[Happening]:
    """Everything that happened to a message, and what will happen, in order of time."""
    parts = len(view.parts)
    size = "" if parts == 1 else f", in {parts} parts"
    found = [Happening(view.accepted_at, f"Accepted over {view.interface.upper()}{size}.", "good")]
    # A message that went to another carrier has several rounds.
    for each in view.rounds or [view.parts]:
        for number, part in enumerate(each, 1):
            found += _of_part(part, "" if parts == 1 else f"Part {number} of {parts}: ")
    if view.final and view.done_at is not None:
        words = customer_words(view.state, view.carrier_error.encode("latin-1", "replace"))
        said = f"Ended as {words.status}. {STATUS_WORDS[words.status]}"
        found.append(Happening(view.done_at, said, _kind(view.state)))
    found += [_of_attempt(view, attempt, built_again) for attempt in view.attempts]
    # Stable: what happened in the same instant stays in this order.
    found.sort(key=lambda happening: happening.at)
    if view.attempts and view.owed and view.attempts[-1].due_at:
        found.append(Happening(view.attempts[-1].due_at, "The next attempt to notify is due."))
    if view.waits_for_its_time:
        found.append(Happening(view.scheduled_at, "It will be sent."))
    if not view.final:
        found.append(Happening(view.expires_at, "Its validity ends."))
    return found


def _of_part(part: PartView, which: str) -> Iterator[Happening]:
    if part.submitted_at is not None:
        yield Happening(part.submitted_at, f"{which}Sent. {part.carrier} answered that it has taken it.", "good")
    if part.done_at is not None and part.submitted_at is not None:
        words = customer_words(part.state, b"")
        said = f"{which}Receipt from {part.carrier}: {words.status}"
        if part.carrier_stat:
            said += f" (its own word: {part.carrier_stat})"
        if part.carrier_error:
            said += f", error {part.carrier_error}"
        more = None
        if part.carrier_done_at:
            more = el("p", "It names the time ", moment(part.carrier_done_at), ".", class_="hint")
        yield Happening(part.done_at, f"{said}.", _kind(part.state), more)


def _of_attempt(view: MessageView, attempt: AttemptView, built_again: BuiltAgain) -> Happening:
    good = attempt.answer[:1] == "2" or attempt.answer == "ESME_ROK"
    channel = "SMPP" if attempt.channel == Channel.SMPP else "HTTP"
    what = [
        f"Notification {attempt.status} over {channel}, attempt {attempt.attempt}: {answer_words(attempt.answer)}",
        f" It took {duration(attempt.seconds)}." if attempt.seconds else "",
    ]
    more: list[Content] = []
    if attempt.url:
        more.append(el("p", "To ", el("span", attempt.url, class_="url"), class_="hint"))
    if attempt.body:
        more.append(el("p", "The answer began: ", el("code", attempt.body), class_="hint"))
    if attempt.due_at and not good:
        more.append(el("p", "The next attempt was due ", moment(attempt.due_at), ".", class_="hint"))
    if attempt.channel == Channel.WEBHOOK:
        request = built_again(_notification(view, attempt), attempt.at)
        if request is not None:
            more.append(_request(request, own=bool(view.notification_url)))
    return Happening(attempt.at, what, "good" if good else "bad", more)


def _notification(view: MessageView, attempt: AttemptView) -> Notification:
    """The notification that an attempt was about, as far as it is known."""
    of_status = [state for state, words in CUSTOMER_WORDS.items() if words.status == attempt.status]
    state = view.state if view.state in of_status else next(iter(of_status), UNKNOWN)
    return Notification(
        id=view.id,
        account=view.account,
        channel=attempt.channel,
        state=state,
        final=view.final and state == view.state,
        attempt=attempt.attempt,
        accepted_at=view.accepted_at,
        done_at=view.done_at or attempt.at,
        addresses=view.addresses,
        carrier_error=view.carrier_error.encode("latin-1", "replace") if state == view.state else b"",
        url=view.notification_url or "",
        reference=view.reference,
        parts=len(view.parts),
        taken=any(part.submitted_at is not None for part in view.parts),
        carrier=view.carrier,
        carrier_done_at=view.carrier_done_at or 0.0,
    )


def _request(request: WebhookRequest, *, own: bool) -> Tag:
    """Makes the request of an attempt, folded."""
    headers = [f"{name.decode()}: {value.decode()}" for name, values in request.headers.items() for value in values]
    body = (request.body or b"").decode("utf-8", "replace")
    text = "\n".join([f"{request.method} {request.url}", *headers, *(["", body] if body else [])])
    where = "the message's own URL" if own else "the account's present URL"
    return el(
        "details",
        el("summary", "Its request"),
        el("p", f"Built again, with {where}. The signature and headers with secrets are left out.", class_="hint"),
        el("pre", text, tabindex="0", aria_label="The request"),
    )


def _kind(state: int) -> str:
    send_status = CUSTOMER_WORDS.get(state, CUSTOMER_WORDS[ENROUTE]).send_status
    return "good" if send_status == "delivered" else "" if send_status == "pending" else "bad"
