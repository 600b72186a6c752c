"""Pages that ask whether the customer is sure, before something is done that is hard to undo."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from twisted.web.template import Tag

from relay.account_pages.html import button, card, el, form
from relay.account_pages.page_values import Session


class Question(NamedTuple):
    """What a page asks.

    :ivar title: the question, which ends with a question mark.
    :ivar text: what happens if the customer says yes.
    :ivar yes: the words on the button; "": there is no choice.
    :ivar back: the page that a customer who doesn't want it goes back to.
    :ivar dangerous: whether something is lost.
    """

    title: str
    text: str
    yes: str
    back: str
    dangerous: bool = True


REMOVE_URL: Final = Question(
    "Remove the notification URL?",
    "The relay will post no more notifications to it. What is owed waits for a new URL, until its retry window ends.",
    "Remove the URL",
    "/my/settings",
)
STOP_SIGNING: Final = Question(
    "Stop signing?",
    "Notifications will have no signature, so a receiver that checks signatures will refuse them. The secret is gone "
    "then: to sign again, you make a new one.",
    "Stop signing",
    "/my/settings",
)


def confirmation(session: Session, action: str, fields: Mapping[str, str], question: Question) -> Tag:
    """Makes the content of the page.

    :param action: the path to which the form is sent again.
    :param fields: what was sent. It is sent again, with a field `sure`.
    """
    again = {name: value for name, value in fields.items() if name != "csrf"} | {"sure": "yes"}
    return card(
        "Are you sure?",
        el("p", question.text),
        form(
            session,
            action,
            *(el("input", type="hidden", name=name, value=value) for name, value in again.items()),
            button(question.yes, kind="danger" if question.dangerous else "primary") if question.yes else None,
            el("a", "Cancel", href=question.back, class_="button"),
            class_="buttons",
        ),
    )
