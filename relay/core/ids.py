"""Message ids: UUIDs, sixteen bytes inside the relay and thirty-six characters outside.

The table keeps the sixteen bytes because a million of them fit where the text would not. Randomness is an argument.
"""

from collections.abc import Callable

RandomBytes = Callable[[int], bytes]


def new_ids(count: int, random_bytes: RandomBytes) -> list[bytes]:
    """`count` fresh random (version 4, RFC 9562) message ids, from one call for randomness.

    :param random_bytes: `os.urandom` in production, a seeded source in tests.
    """
    pool = random_bytes(16 * count)
    ids = []
    for start in range(0, 16 * count, 16):
        raw = bytearray(pool[start : start + 16])
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        ids.append(bytes(raw))
    return ids


def id_text(message_id: bytes) -> str:
    """The id as customers see it, `72b83667-a8f1-4c09-861f-e1ee6dd4561b`."""
    h = message_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse_id(text: str) -> bytes | None:
    """The sixteen bytes that a customer's text names, or None where it is no id of ours.

    Upper case is accepted: customers' databases change it.
    """
    if len(text) != 36 or text[8] != "-" or text[13] != "-" or text[18] != "-" or text[23] != "-":
        return None
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    return raw if len(raw) == 16 else None
