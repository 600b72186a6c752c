"""The questions to the operator's decision service, and its decisions."""

from typing import Final

import msgspec

from relay.values.messages import Refused


class Question(msgspec.Struct, frozen=True, gc=False):
    """A message about which the decision service is asked before the relay accepts it.

    :ivar sender: the sender (from) as the customer wrote it, or the account's default sender.
    :ivar to: the number as the customer wrote it, without a plus.
    :ivar length: how many characters the text has; for octets that are no text, how many octets.
    :ivar text: the text; None: the content is no text.
    """

    account: str
    sender: str
    to: str
    length: int
    text: str | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What happens with a message.

    :ivar tags: as in `relay.values.messages.Submission`; likewise `source`.
    :ivar refused: why the message is refused; None: it isn't.
    """

    tags: tuple[str, ...] = ()
    source: bytes = b""
    refused: Refused | None = None


#: The message goes on as it is.
PASSED: Final = Decision()
