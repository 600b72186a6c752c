"""Sending notifications again on the page of messages: what is asked before, and how far it has come."""

from collections.abc import Mapping
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.confirmation import Question
from relay.account_pages.html import button, el, form, moment
from relay.account_pages.page_values import Session
from relay.http.resend_jobs import MOST_RESENT, ResendJob
from relay.http.resending import ResendCount
from relay.values.ids import parse_id

#: The beginning of the names of the boxes that pick a message.
PICK: Final = "pick-"


def picked_ids(fields: Mapping[str, str]) -> list[bytes]:
    """The ids of the messages whose boxes were checked."""
    found = [parse_id(name.removeprefix(PICK)) for name in fields if name.startswith(PICK)]
    return [message_id for message_id in found if message_id is not None]


def told(count: int) -> str:
    """A number of notifications in words."""
    return "1 notification" if count == 1 else f"{count:,} notifications"


def _of_messages(count: int) -> str:
    return "1 message has" if count == 1 else f"{count:,} messages have"


def question_about(count: ResendCount, back: str) -> Question:
    """What the customer is asked before notifications are sent again."""
    if not count.complete:
        said = f"These are more than {MOST_RESENT:,} messages. Choose a shorter time, and send them in parts."
        return Question("Too many messages?", said, "", back, dangerous=False)
    words = ["The relay sends the latest notification of each of these messages once more."]
    if count.url_not_kept:
        words.append(
            f"{_of_messages(count.url_not_kept)} been left out: they are old, and had a notification URL of their own "
            "with a login or a query, which isn't kept for so long."
        )
    if count.not_ended:
        words.append(f"{_of_messages(count.not_ended)} not ended yet.")
    if count.no_url:
        words.append(f"{_of_messages(count.no_url)} no notification URL.")
    return Question(f"Send {told(count.messages)} again?", " ".join(words), "Send again", back, dangerous=False)


def job_notice(session: Session, job: ResendJob | None) -> Tag | None:
    """Says how far sending a list again has come, or how it ended."""
    if job is None:
        return None
    so_far = f"{job.resent:,} of {told(job.messages)}"
    if job.state == "running":
        words = [f"Sending again: {so_far}. It waits while your receiver fails."]
        stop = form(session, "/my/messages/resend", button("Stop", "stop"), class_="buttons")
        return el("div", el("p", *words), stop, class_="notice")
    ends = {"ended": "All are sent again", "stopped": "Stopped"}.get(job.state, f"Failed ({job.reason})")
    return el("p", f"{ends}: {so_far}, begun ", moment(job.began_at), ".", class_="hint")
