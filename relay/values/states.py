"""Message states, and the customer's words for them.

Everywhere inside the relay, a state is SMPP's message_state number (SMPP 3.4 section 5.2.28). It is a plain integer
because the relay compares and looks up states several times for each message, and an Enum member takes four times as
long. Only `CUSTOMER_WORDS` turns states into the customer's words.
"""

from typing import Final, NamedTuple

SCHEDULED: Final = 0
ENROUTE: Final = 1
DELIVERED: Final = 2
EXPIRED: Final = 3
DELETED: Final = 4
UNDELIVERABLE: Final = 5
ACCEPTED: Final = 6
UNKNOWN: Final = 7
REJECTED: Final = 8
SKIPPED: Final = 9

FINAL_STATES: Final = frozenset({DELIVERED, EXPIRED, DELETED, UNDELIVERABLE, UNKNOWN, REJECTED, SKIPPED})

#: The states of a message that is still under way.
INTERMEDIATE_STATES: Final = frozenset({SCHEDULED, ENROUTE, ACCEPTED})

#: From worst to best. If the parts of a long message end differently, the message ends as the worst of them.
WORST_FIRST: Final = (REJECTED, UNDELIVERABLE, EXPIRED, DELETED, UNKNOWN, SKIPPED, DELIVERED)


class CustomerWords(NamedTuple):
    """The words of a notification for a state: the three fields of its body, and the SMPP Appendix B word."""

    status: str
    send_status: str
    error: str


#: The status of a message that waits for its time (`send_at`), in queries and lists. No notification has it.
SCHEDULED_STATUS: Final = "SCHEDULED"
CUSTOMER_WORDS: Final[dict[int, CustomerWords]] = {
    SCHEDULED: CustomerWords("ENROUTE", "pending", "001"),
    ENROUTE: CustomerWords("ENROUTE", "pending", "001"),
    DELIVERED: CustomerWords("DELIVRD", "delivered", "000"),
    EXPIRED: CustomerWords("EXPIRED", "failed", "003"),
    DELETED: CustomerWords("DELETED", "failed", "004"),
    UNDELIVERABLE: CustomerWords("UNDELIV", "failed", "005"),
    ACCEPTED: CustomerWords("ACCEPTD", "pending", "006"),
    UNKNOWN: CustomerWords("UNKNOWN", "failed", "007"),
    REJECTED: CustomerWords("REJECTD", "carrier-reject", "008"),
    SKIPPED: CustomerWords("UNKNOWN", "failed", "007"),
}


def customer_words(state: int, carrier_error: bytes) -> CustomerWords:
    """The customer's words for `state`.

    :param carrier_error: the carrier's own `err`, verbatim. It is never mixed into `error`, with the one exception
        of the contract: 002 for a delivered message, if the carrier itself reported 002.
    """
    words = CUSTOMER_WORDS.get(state, CUSTOMER_WORDS[UNKNOWN])
    if state == DELIVERED and carrier_error == b"002":
        return words._replace(error="002")
    return words
