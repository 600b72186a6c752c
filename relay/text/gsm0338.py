"""The GSM 7-bit default alphabet and its extension table (3GPP TS 23.038 section 6.2.1), one octet a septet.

Septets are not packed: SMPP carries them one an octet, and the message centre packs them for the air.
"""

import re
from typing import Final

ESCAPE: Final = 0x1B

#: By septet; the escape's own place holds U+00A0, as the standard has receivers show it that know no extension.
_DEFAULT: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\xa0ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: By the septet that follows an escape.
_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

#: The characters that need no escape.
DEFAULT_CHARACTERS: Final = frozenset(_DEFAULT) - {"\xa0"}

_septets_of: Final = {
    **{ord(character): chr(septet) for septet, character in enumerate(_DEFAULT) if septet != ESCAPE},
    **{ord(character): chr(ESCAPE) + chr(septet) for septet, character in _EXTENSION.items()},
}
_encodable = re.compile(f"[{re.escape(''.join(map(chr, _septets_of)))}]*").fullmatch
#: Most texts hold only what ASCII has at the same places; they need no table.
_same_in_ascii = re.compile(r"[\n\r !\"#%&'()*+,\-./0-9:;<=>?A-Za-z]*+").fullmatch


def encode(text: str) -> bytes | None:
    """The septets of `text`; None where it has a character that the alphabet doesn't have."""
    if _same_in_ascii(text) is not None:
        return text.encode("ascii")
    if _encodable(text) is None:
        return None
    return text.translate(_septets_of).encode("latin-1")


def decode(septets: bytes) -> str:
    """The text of septets.

    As TS 23.038 has it: an escape before a septet that the extension table doesn't have is skipped, and an escape
    before an escape or at the end is a space. An octet's eighth bit is ignored.
    """
    characters: list[str] = []
    escaped = False
    for octet in septets:
        septet = octet & 0x7F
        if escaped:
            escaped = False
            characters.append(" " if septet == ESCAPE else _EXTENSION.get(septet, _DEFAULT[septet]))
        elif septet == ESCAPE:
            escaped = True
        else:
            characters.append(_DEFAULT[septet])
    if escaped:
        characters.append(" ")
    return "".join(characters)
