"""Says in plain words how a receiver answered a notification."""

from http import HTTPStatus
from typing import Final

#: What a status means for the customer, who can change the receiver.
_STATUS_HINTS: Final = {
    401: "It wants a login that the relay doesn't have.",
    403: "It refuses the relay.",
    404: "There is nothing at this address.",
    405: "It takes no POST at this address.",
    410: "It says that the address is gone for good.",
    429: "It asks the relay to send less.",
}
_REASONS: Final = {
    "timeout": "Your server did not answer in time.",
    "connection refused": "Nothing listens at this address and port.",
    "no such host": "The host's name isn't known.",
    "connection closed": "Your server closed the connection without an answer.",
    "can't connect": "The relay can't connect to your server.",
    "no valid HTTP answer": "Your server's answer is not HTTP.",
    "stopped": "The relay stopped meanwhile.",
    "skipped": "Left out, because it failed often.",
}


def answer_words(answer: str) -> str:
    """Describes an answer in one or two sentences.

    :param answer: as in `relay.values.messages.Attempt`: a status, a reason, or both URLs' answers.
    """
    first, _, second = answer.partition(", fallback ")
    said = _one(first)
    return f"{said} The second URL: {_one(second)}" if second else said


def _one(answer: str) -> str:
    if not (answer.isdecimal() and len(answer) == 3):
        if answer.startswith("ESME_"):
            return f"Your system answered {answer}."
        if answer.startswith("TLS: "):
            return f"No encrypted connection: {answer.removeprefix('TLS: ')}."
        return _REASONS.get(answer) or f"{answer[:1].upper()}{answer[1:]}."
    code = int(answer)
    try:
        phrase = f" {HTTPStatus(code).phrase}"
    except ValueError:
        phrase = ""
    hint = _STATUS_HINTS.get(code, "")
    if 300 <= code < 400:
        hint = "The relay follows no redirects: enter the address to which it leads."
    elif code >= 500:
        hint = "It has a fault."
    return f"Your server answered {code}{phrase}.{' ' if hint else ''}{hint}"
