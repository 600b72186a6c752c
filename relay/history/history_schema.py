"""What all databases of the history have in common: their format, the cursor, and the end of a segment."""

from typing import Final

import msgspec

#: Increase it if the tables change in a way that an older relay can't read.
SCHEMA_VERSION: Final = 1
#: Marks a segment as one that has its indexes.
INDEXED: Final = "UPDATE segments SET indexed = 1 WHERE number = {n}"
DROP_SEGMENT: Final = (
    "DROP TABLE m{n}",
    "DROP TABLE p{n}",
    "DELETE FROM segments WHERE number = {n}",
    "DELETE FROM open_ids WHERE segment = {n}",
)


class Cursor(msgspec.Struct, frozen=True, order=True):
    """Names a place in the journal: the number of a segment file, and an offset in that file."""

    sequence: int
    offset: int


class NewerHistory(Exception):
    """Says that a newer relay wrote the database. Its text says what to do."""
