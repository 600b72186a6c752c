"""What the operator's pages ask before an action."""

from typing import Final, NamedTuple


class ActionQuestion(NamedTuple):
    """What the page of an action asks.

    :ivar title: the page's title; `{}` is the name of what it concerns.
    :ivar words: the words of the button.
    """

    title: str
    text: str
    words: str


_MADE: Final = {
    "carriers": {
        "hold": (
            "Hold {}?",
            "No more messages are sent to it. They go to the next carrier of their route, or wait. Receipts still "
            "come.",
            "Hold carrier",
        ),
        "resume": ("Resume {}?", "The messages that wait for it are sent.", "Resume carrier"),
        "unbind": (
            "Unbind {} now?",
            "Receipts that have not come will be lost, and their messages end UNKNOWN.",
            "Unbind carrier",
        ),
        "trace": (
            "Trace {}?",
            "For some minutes the relay notes each PDU and HTTP request between itself and the carrier, without texts "
            "and secrets. Receipts that a carrier posts over HTTP are not among them.",
            "Begin trace",
        ),
        "dismiss": (
            "Dismiss the receipts of {}?",
            "They are kept no more, and can't find their messages any more.",
            "Dismiss receipts",
        ),
        "purge": (
            "Purge the queue of {}?",
            "They end as DELETED, and their customers are notified. What the carrier has taken is not affected.",
            "Purge queue",
        ),
    },
    "accounts": {
        "purge": (
            "Purge the queued messages of {}?",
            "They end as DELETED, and the account is notified. What carriers have taken is not affected.",
            "Purge messages",
        ),
        "unbind": ("Unbind {}?", "Its SMPP sessions end. It can bind again at once.", "Unbind account"),
        "suspend": (
            "Suspend {}?",
            "Its SMPP sessions end, its logins are refused, and its messages that no carrier has taken wait until the "
            "suspension ends. It is still notified of the others.",
            "Suspend account",
        ),
        "unsuspend": ("End the suspension of {}?", "It may log in again, and its messages are sent.", "End suspension"),
        "trace": (
            "Trace {}?",
            "For some minutes the relay notes each PDU of its SMPP sessions and each request to its URLs, without "
            "texts and secrets. The account's own HTTP requests are not among them.",
            "Begin trace",
        ),
        "top-up": ("Top up {}?", "", "Add to the balance"),
        "url-off": (
            "Stop posting to the URL of {}?",
            "Its notifications wait until their retry window ends.",
            "Switch URL off",
        ),
        "url-on": ("Post to the URL of {} again?", "The relay sends what is owed at once.", "Switch URL on"),
        "replay": (
            "Resend the notifications of {} that were given up?",
            "The relay sends all of them that it still keeps.",
            "Resend notifications",
        ),
    },
    "routes": {
        "purge": (
            "Purge the messages of routes[{}]?",
            "They end as DELETED, and their customers are notified. What carriers have taken is not affected.",
            "Purge messages",
        ),
    },
    "traces": {"end": ("End trace {}?", "Its lines are kept.", "End trace")},
    "messages": {
        "notify": (
            "Send the notification of {} again?",
            "The customer gets the same id and status once more.",
            "Send it again",
        ),
    },
}

#: The question of each action, by the kind of what it concerns and the name of the action.
QUESTIONS: Final = {
    (kind, action): ActionQuestion(*made) for kind, actions in _MADE.items() for action, made in actions.items()
}
