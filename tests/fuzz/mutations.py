"""Makes nearly correct octets, for both fuzzers. A `random.Random` decides everything."""

import random
from collections.abc import Sequence

#: Numbers on which length and range checks break, as they stand in octets.
_EDGES = tuple(
    number.to_bytes(size, "big")
    for size in (1, 2, 4)
    for number in (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    if number < 1 << 8 * size
)


def mutated(octets: bytes, choice: random.Random, extra: Sequence[bytes] = ()) -> bytes:
    """`octets` with one to four small things wrong.

    :param extra: pieces that mean something in this protocol, to be put in.
    """
    data = bytearray(octets)
    for _ in range(choice.choice((1, 1, 1, 2, 4))):
        at = choice.randrange(len(data) + 1)
        kind = choice.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << choice.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = choice.randrange(256)
        elif kind == 2:
            del data[at : at + choice.choice((1, 1, 2, 8, 64))]
        elif kind == 3:
            data[at:at] = choice.randbytes(choice.choice((1, 1, 4, 32, 300)))
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            piece = data[at : at + choice.randrange(1, 32)]
            data[at:at] = piece * choice.choice((1, 2, 50))
        elif kind == 6:
            edge = choice.choice(_EDGES)
            data[at : at + len(edge)] = edge
        elif extra:
            data[at:at] = choice.choice(extra)
    return bytes(data)


def pieces(octets: bytes, choice: random.Random) -> list[bytes]:
    """`octets` cut as TCP might cut them."""
    if choice.random() < 0.7:
        return [octets]
    cuts = sorted(choice.randrange(len(octets) + 1) for _ in range(choice.randrange(1, 5)))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True) if start < end]
