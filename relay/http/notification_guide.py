"""The part of the page `/docs` about notifications: what they say, how they are verified, when they are repeated."""

import json
from typing import Final

from relay.http.api_examples import FAILED_NOTIFICATION, NOTIFICATION
from relay.http.docs_html import block, paragraph, table
from relay.http.notification_headers import BODY, HEADERS, SECRET
from relay.http.signature_examples import SIGNATURE_EXAMPLES
from relay.values.states import (
    ACCEPTED,
    CUSTOMER_WORDS,
    DELETED,
    DELIVERED,
    ENROUTE,
    EXPIRED,
    REJECTED,
    UNDELIVERABLE,
    UNKNOWN,
)

#: By state, with the words for a customer.
STATES: Final = (
    (DELIVERED, "The handset has the message. `error` is 002 if the carrier itself reported 002."),
    (EXPIRED, "It was not delivered within its validity: the handset was off or out of reach. Send it again later."),
    (DELETED, "It was deleted: you cancelled it, or the carrier removed it."),
    (UNDELIVERABLE, "It can't be delivered: the number doesn't exist, is barred, or takes no SMS. Check the number."),
    (UNKNOWN, "The final state is not known. The message may have arrived."),
    (REJECTED, "The carrier refused it, or no carrier takes it. Check the sender, the number and the text."),
    (ENROUTE, "It is on its way. Only if the account has `notify: all` or `progress`."),
    (ACCEPTED, "The carrier has accepted it. Only if the account has `notify: all` or `progress`."),
)

_ANSWERS: Final = (
    ("2xx", "It is done: you have the notification."),
    ("410", "The relay switches the URL off until you set it again. Notifications wait."),
    ("429 or 503 with `Retry-After`", "The relay sends nothing to your URL until that time."),
    ("429", "The relay sends half as many at once, and more again when that succeeds."),
    ("anything else, a redirect, or nothing in 15 seconds", "The relay tries again after the next pause."),
)

#: What the sections are called, by their anchors.
SECTIONS: Final = {
    "notifications": "Notifications",
    "states": "States and error codes",
    "signature": "Verify the signature",
    "retries": "Answers and retries",
    "batches": "Batches, forms and a second URL",
}


def notification_guide(fields: list[tuple[str, str, str]], inbound: list[tuple[str, str, str]]) -> list[str]:
    """Makes the part of the page, as pieces of HTML.

    :param fields: the fields of a notification: name, type, meaning.
    :param inbound: the same of a message from a handset.
    """
    return [
        _heading("notifications"),
        paragraph(
            "When a message has ended, the relay sends a POST to your notification URL. Set the URL on the account "
            "page or with `PUT /account/notification-url`, and try it with `POST /account/test-notification`. "
            "The body has exactly these five fields. They are always strings:"
        ),
        table(("name", "type", "meaning"), [(f"`{name}`", kind, words) for name, kind, words in fields]),
        block(_request()),
        paragraph(
            "Answer with any status of 2xx, such as 204. A message has one notification, also if its text was sent in "
            "several parts. A notification may come twice, and in another order than the messages: remember `id` and "
            "`status`, or the header `webhook-id`, and ignore what you know already."
        ),
        table(("header", "meaning"), [(f"`{name}`", words) for name, words, _ in HEADERS]),
        _heading("states"),
        table(
            ("status", "send_status", "error", "meaning"),
            [
                (f"`{words.status}`", f"`{words.send_status}`", f"`{words.error}`", meaning)
                for words, meaning in ((CUSTOMER_WORDS[state], meaning) for state, meaning in STATES)
            ],
        ),
        paragraph(
            "A final state is final: only `pending` is followed by another notification of the same message. `error` "
            "belongs to the state. The carrier's own code is in `x-relay-carrier-error`; with the account's setting "
            "`error_codes: carrier` it is in `error`."
        ),
        *_signature(),
        _heading("retries"),
        table(("you answer", "what happens"), _ANSWERS),
        paragraph(
            "After a failure the relay tries again: after 5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20 and 24 "
            "hours, ten times in all. Each pause is a little longer at random. When your server works again after many "
            "failures, the relay sends what waits without waiting for the pauses. After the last attempt it gives the "
            "notification up. You can have it sent again (`POST /notifications/replay` with `given_up`), and it stays "
            "in the feed `GET /notifications`."
        ),
        _heading("batches"),
        paragraph(
            "With the account's setting `notification_batch`, such as 100, the body is always a JSON array of up to "
            "that many notifications. The relay sends it when it is full, or 200 ms after the first. Your answer is "
            "for all of them, and so is the signature."
        ),
        block(json.dumps([NOTIFICATION, FAILED_NOTIFICATION], indent=1)),
        paragraph(
            "With `notification_format: form` the same five fields come as a form (application/x-www-form-urlencoded), "
            "one in each request. With `notification_fallback_url`, a notification that fails at the first "
            "URL goes to the second one at once."
        ),
        "<h3 id='from-handsets'>Messages from handsets</h3>",
        paragraph(
            "If the operator has set an `inbound_url` for your account, messages from handsets are sent there as JSON. "
            "They are signed and tried again in the same way. `webhook-id` ends in `_inbound`."
        ),
        table(("name", "type", "meaning"), [(f"`{name}`", kind, words) for name, kind, words in inbound]),
    ]


def _heading(anchor: str) -> str:
    return f"<h2 id='{anchor}'>{SECTIONS[anchor]}</h2>"


def _request() -> str:
    """A notification as your server gets it."""
    lines = ["POST /sms/notifications HTTP/1.1", "content-type: application/json"]
    lines += [f"{name}: {example}" for name, _, example in HEADERS[:4]]
    return "\n".join([*lines, "", BODY.decode()])


def _signature() -> list[str]:
    parts = [
        _heading("signature"),
        paragraph(
            "If the account has a secret (`whsec_` and base64), every notification is signed as the Standard Webhooks "
            "specification says. There are libraries for it in most languages; the functions below need none. Take the "
            "bytes of the body as they came: a body that was parsed and written again has another signature."
        ),
        "<ol>",
        "<li>Refuse a <code>webhook-timestamp</code> that is more than five minutes away from your clock.</li>",
        "<li>Join <code>webhook-id</code>, <code>webhook-timestamp</code> and the body with full stops.</li>",
        "<li>Make its HMAC-SHA256. The key is the secret after <code>whsec_</code>, decoded from base64.</li>",
        "<li>Compare <code>v1,</code> and its base64 with each signature in the header, in constant time.</li>",
        "</ol>",
        paragraph(
            f"To try your own function: the secret of the example above is `{SECRET}`. The example is old, so leave "
            "the first step out."
        ),
    ]
    for language, code in SIGNATURE_EXAMPLES.items():
        parts.append(f"<details><summary>{language}</summary>{block(code)}</details>")
    return parts
