"""The GSM 7-bit default alphabet and its extension table (3GPP TS 23.038 section 6.2.1), one octet a septet.

Septets are not packed: SMPP carries each septet in an octet of its own, and the message centre packs them for the air.
"""

import re
from typing import Final

ESCAPE: Final = 0x1B

#: The character of each septet. The escape has U+00A0: receivers without the extension table show it as a space.
_DEFAULT: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\xa0ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: The character of each septet that follows an escape.
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

_septets_of: Final = {
    **{ord(character): chr(septet) for septet, character in enumerate(_DEFAULT) if septet != ESCAPE},
    **{ord(character): chr(ESCAPE) + chr(septet) for septet, character in _EXTENSION.items()},
}
_encodable = re.compile(f"[{re.escape(''.join(map(chr, _septets_of)))}]*").fullmatch
#: Most texts have only characters with the same number in ASCII. They need no table.
_same_in_ascii = re.compile(r"[\n\r !\"#%&'()*+,\-./0-9:;<=>?A-Za-z]*+").fullmatch


def encode(text: str) -> bytes | None:
    """Encodes a text into septets. Returns None if the alphabet lacks one of its characters."""
    if _same_in_ascii(text) is not None:
        return text.encode("ascii")
    if _encodable(text) is None:
        return None
    return text.translate(_septets_of).encode("latin-1")


def decode(septets: bytes) -> str:
    """Decodes septets into a text. The eighth bit of each octet is ignored.

    As TS 23.038 says, an escape is skipped if the extension table lacks the septet after it. An escape before another
    escape, or at the end, becomes a space.
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
