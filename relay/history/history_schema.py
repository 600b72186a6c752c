"""What all databases of the history have in common: their format, the cursor, and a segment's life."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final

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


class SegmentTables:
    """Makes the tables and indexes of segments. A connection to a database inherits it.

    :cvar NEW_SEGMENT: the statements that make an empty segment, with `{n}` for its number.
    :cvar ID_INDEX: the statement that makes the index of the message ids, if it isn't there.
    :cvar INDEXES: those that make all indexes, and mark the segment.
    """

    NEW_SEGMENT: ClassVar[Sequence[str]]
    ID_INDEX: ClassVar[str]
    INDEXES: ClassVar[Sequence[str]]

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """Runs a statement."""

    def begin_segment(self, number: int) -> None:
        for statement in self.NEW_SEGMENT:
            self.execute(statement.format(n=number))

    def index_segment(self, number: int) -> None:
        for statement in self.INDEXES:
            self.execute(statement.format(n=number))

    def index_ids(self, number: int) -> None:
        self.execute(self.ID_INDEX.format(n=number))
