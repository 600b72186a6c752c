"""What an account does first: the checklist that the overview shows until there is a message."""

import re
import shlex
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import Content, card, copied, el
from relay.http.api_request import ApiRequest

#: What a Host header may have. The line is pasted into a shell, so nothing else may be in it.
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


def base_url(request: ApiRequest) -> str:
    """The URL of this relay as the customer's browser knows it, without a slash at its end."""
    host = (request.header(b"Host") or b"").decode("latin-1")
    secure = request.isSecure() or request.header(b"X-Forwarded-Proto") == b"https"
    return f"{'https' if secure else 'http'}://{host if _HOST.fullmatch(host) else 'relay.example'}"


def first_steps(account: str, base: str, *, has_url: bool, tested: bool, sender: str) -> Tag:
    """Makes the checklist.

    :param base: as `base_url` gives it.
    :param tested: whether a test notification has arrived.
    :param sender: the account's default sender, or "".
    """
    body = f'{{"to": "447700900123", "from": "{sender or "RELAY"}", "text": "Hello"}}'
    line = (
        f"curl -sS -u {shlex.quote(account + ':YOUR-KEY')} {base}/messages "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    steps: list[tuple[bool, Content]] = [
        (True, "You have an API key: you logged in with it. Programs send it with every request."),
        (has_url, ["Set the ", el("a", "notification URL", href="#notifications"), ": the relay posts there how each "
                   "message ended."]),
        (tested, "Send a test notification to it, with the button below the URL."),
        (False, ["Send a first message: with ", el("a", "the form", href="/my/send"), ", or paste this line into a "
                 "terminal. Put your key and your number into it.",
                 el("p", copied("curl-line", line), class_="secret")]),
    ]  # fmt: skip
    return card(
        "First steps",
        el(
            "ol",
            *(
                el("li", el("span", "Done: " if done else "To do: ", class_="unseen"), *_listed(said),
                   class_="done" if done else None)
                for done, said in steps
            ),
            class_="steps",
        ),
        el("p", "More is in the ", el("a", "API documentation", href="/docs"), ".", class_="hint"),
    )  # fmt: skip


def _listed(said: Content) -> list[Content]:
    return [said] if isinstance(said, str) else said
