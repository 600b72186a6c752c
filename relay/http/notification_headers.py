"""The headers of a notification, with the example of one that is signed, for OpenAPI and the page `/docs`."""

from typing import Final

import msgspec

from relay.accounts.signing import secret_key, signature
from relay.http.api_examples import ID, NOTIFICATION

#: The secret, the id, the time and the body of the example.
SECRET: Final = "whsec_YW4gZXhhbXBsZSBvZiBhIHNlY3JldCwgMzIgYnl0ZXM="
WEBHOOK_ID: Final = f"{ID}_DELIVRD"
TIMESTAMP: Final = "1795479946"
BODY: Final = msgspec.json.encode(NOTIFICATION)

#: The headers of a notification: name, meaning, example.
HEADERS: Final = (
    ("webhook-id", "The id of the notification. It is the same in every attempt.", WEBHOOK_ID),
    ("webhook-timestamp", "The time of this attempt, in seconds since 1970.", TIMESTAMP),
    (
        "webhook-signature",
        "`v1,` and the signature in base64, if the account has a secret. While the secret is being changed there are "
        "two, with a space between them: one must be right.",
        signature([secret_key(SECRET)], WEBHOOK_ID.encode(), TIMESTAMP.encode(), BODY).decode(),
    ),
    ("x-relay-attempt", "The number of the attempt, from 1.", "1"),
    ("x-relay-carrier-error", "The carrier's own code, if it gave one. Not with batches.", "000"),
    ("x-relay-reference", "Your `reference` of the message in percent-encoded UTF-8. Not with batches.", "order%207"),
    ("x-relay-test", "1, if it is a test notification.", "1"),
)

#: Those that every notification has.
ALWAYS: Final = frozenset({"webhook-id", "webhook-timestamp", "x-relay-attempt"})
