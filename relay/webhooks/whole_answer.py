"""Reads an answer quickly if it arrived in one piece and is plain. Nearly all answers are.

Twisted reads an answer line by line into objects, which takes longer than all other work on a webhook. If an answer
isn't plain, this module returns None, and Twisted reads it. `tests/webhooks/test_whole_answer.py` checks that both read
answers in the same way.
"""

from typing import Final

from relay.webhooks.answer import Answer
from relay.webhooks.answer_head import read_head

#: The client keeps so many octets of an answer's body. If the body is longer than the second limit, it closes the
#: connection.
BODY_KEPT_BYTES: Final = 4096
BODY_READ_BYTES: Final = 65_536


def read_whole(octets: bytes) -> Answer | None:
    """Reads these octets, if they are exactly one plain answer after which the connection may be used again.

    Failures aren't plain: they are rare, and may have a Retry-After.
    """
    end = octets.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = octets[:end]
    read = read_head(head, 0)
    if read is None or read.text is not head or not read.keeps or read.status >= 400:
        return None
    if read.length is None or read.length > BODY_READ_BYTES or len(octets) != end + read.length:
        return None
    return Answer(read.status, "", octets[end : end + BODY_KEPT_BYTES])
