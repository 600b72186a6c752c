"""Says how the messages ended that carriers took: by carrier, account and country code, and after which time."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

#: The upper bounds of the classes of the time to a receipt, in seconds. One more class is above the last bound.
TOOK_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
#: The places of the counts of a group. The classes of `TOOK_SECONDS` follow them.
DELIVERED: Final = 0
FAILED: Final = 1
UNANSWERED: Final = 2
FIRST_CLASS: Final = 3
#: How many counts a group has.
COUNTS: Final = FIRST_CLASS + len(TOOK_SECONDS) + 1


class QualityGroup(NamedTuple):
    """The messages of one account that one carrier took to the numbers of one country code.

    :ivar country: the country code; "": the number has none that is assigned.
    """

    carrier: str
    account: str
    country: str


class EndedCounts(msgspec.Struct, frozen=True):
    """How some messages ended.

    A message counts for the carrier that took it last. If it went to another carrier, it also counts for the one that
    did not deliver it. Messages that no carrier took, or that were deleted, don't count.

    :ivar place: the place in the feed of all accounts up to which messages are counted.
    :ivar groups: for each group: how many were delivered, how many failed, how many never got a receipt; then, for each
        class of `TOOK_SECONDS`, how many were delivered in this time after the carrier had taken them.
    """

    place: int
    groups: Mapping[QualityGroup, Sequence[int]]
