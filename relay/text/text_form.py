"""The alphabets in which a text can go to the carriers of a route, and what data_coding says of them."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from relay.text import gsm0338

#: What data_coding 0 means at a carrier. ucs2: it isn't used, every text goes as UCS-2.
Alphabet = Literal["gsm", "latin1", "ascii", "ucs2"]

#: What data_coding says (SMPP 3.4 section 5.2.19).
DATA_CODING_DEFAULT: Final = 0x00
DATA_CODING_LATIN1: Final = 0x03
DATA_CODING_UCS2: Final = 0x08
#: Message class 0 (3GPP TS 23.038 section 4), with the default alphabet or UCS-2: the handset shows the text at once.
FLASH: Final = 0x10


class TextForm(NamedTuple):
    """What must be known of a route's carriers before a text is cut into parts.

    :ivar alphabets: their default alphabets.
    :ivar payload: whether the first of them gets a long text whole, in message_payload.
    """

    alphabets: frozenset[Alphabet] = frozenset(("gsm",))
    payload: bool = False


#: Of carriers without settings.
PLAIN: Final = TextForm()


def in_common(forms: Iterable[TextForm]) -> TextForm:
    """What carriers have in common, the preferred one first."""
    forms = tuple(forms)
    if not forms:
        return PLAIN
    return TextForm(frozenset(alphabet for form in forms for alphabet in form.alphabets), forms[0].payload)


def holds(alphabet: Alphabet, text: str) -> bool:
    """Whether a carrier with this default alphabet can be given the text in it."""
    if alphabet == "gsm":
        return gsm0338.encode(text) is not None
    if alphabet == "ascii":
        return text.isascii()
    return alphabet == "latin1" and all(ord(character) < 0x100 for character in text)
