"""Says how long a text is when it is sent: its alphabet, its parts, and the room that is left in the last one."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.text.compose import (
    GSM_SEPTETS_A_PART,
    GSM_SEPTETS_ALONE,
    OCTETS_A_PART,
    OCTETS_ALONE,
    split,
)
from relay.text.passthrough import read_part
from relay.text.text_form import DATA_CODING_DEFAULT, DATA_CODING_LATIN1, DATA_CODING_UCS2

#: The alphabets that `compose` chooses from, as people know them.
_ALPHABETS: Final = {
    DATA_CODING_DEFAULT: "GSM alphabet",
    DATA_CODING_LATIN1: "Latin-1",
    DATA_CODING_UCS2: "Unicode (UCS-2)",
}


class TextSize(NamedTuple):
    """The size of a text.

    :ivar alphabet: its name in words.
    :ivar parts: how many parts a handset gets, also if the carrier cuts the text.
    :ivar left: how many more characters fit into the last part. Some characters of the GSM alphabet count twice.
    """

    alphabet: str
    parts: int
    left: int


def text_size(bodies: Sequence[bytes]) -> TextSize:
    """The size of the text in the submit_sm bodies that `relay.text.compose.compose` made.

    :raises relay.text.compose.InvalidText: the text needs more than 255 parts.
    """
    read = [read_part(body) for body in bodies]
    data_coding = read[0].data_coding
    pieces = [part.payload for part in read]
    if len(pieces) == 1:
        # The carrier may get a long text whole, and cuts it then.
        pieces = split(pieces[0], data_coding)
    if data_coding == DATA_CODING_DEFAULT:
        room = GSM_SEPTETS_ALONE if len(pieces) == 1 else GSM_SEPTETS_A_PART
    else:
        room = OCTETS_ALONE if len(pieces) == 1 else OCTETS_A_PART
    size = 2 if data_coding == DATA_CODING_UCS2 else 1
    return TextSize(_ALPHABETS.get(data_coding, "octets"), len(pieces), (room - len(pieces[-1])) // size)
