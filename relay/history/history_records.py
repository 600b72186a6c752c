"""Message records that are written from the history: each message that has ended has one line, whatever happens.

Theory of operation: the transaction that writes a message's end into the history also notes that its line is owed. Then
the lines that are owed are made from the history and appended to the file, and the notes are deleted. Between these two
the process may be killed: a start reads the end of the file, and deletes the notes of lines that stand there.

A history that begins while there is a file already (it was switched on, or begun anew) reads of messages whose lines
were written long ago. Of what had ended by then, only what the end of the file lacks is owed.

Called in the history's thread.
"""

from functools import partial
from typing import Final

from twisted.logger import Logger

from relay.history.history_database import HistoryDatabase
from relay.history.history_entries import Entry, view_of
from relay.history.record_file import RecordFile
from relay.history.record_line import KnownLines, known_lines, record_line
from relay.values.ids import id_text

#: How much of the file's end a start reads; the lines of one turn are not longer.
_TAIL_BYTES: Final = 16 << 20
LINES_A_WRITE: Final = 5_000
#: Batches that ended at the same time may have been written in either order, within this time.
_LOOK_BACK_SECONDS: Final = 60.0


class HistoryRecords:
    """Writes the file.

    :param sync: whether a line is to be on the disk before its note is deleted.
    """

    log = Logger()

    def __init__(self, path: str, *, sync: bool) -> None:
        self._file = RecordFile(path)
        self._sync = sync
        self._known = KnownLines()
        self._existed = False
        self._unwritable = False

    def open(self, database: HistoryDatabase, now: float) -> bool:
        """Reads the end of the file, or begins it; gives whether that could be done. To be called once the database is
        open, and when it was begun anew, until it gives True, and before `write`."""
        try:
            self._existed = self._file.changed_at() is not None
            self._known = known_lines(self._file.tail(_TAIL_BYTES))
            if not self._existed:
                self._file.begin(now, sync=self._sync)
        except OSError as problem:
            self._failed(problem)
            return False
        owed = database.owed_lines(LINES_A_WRITE)
        written = [n for n, entry in owed if entry is None or id_text(entry.message.id) in self._known.ids]
        database.lines_written(written)
        return True

    def owed(self, repeated: bool, entry: Entry) -> bool:
        """Whether a message that has ended is owed a line.

        :param repeated: the journal's records are read once more, or for the first time by this history.
        """
        if not repeated:
            return True
        known = self._known
        return (
            self._existed
            and entry.done_at >= known.latest - _LOOK_BACK_SECONDS
            and id_text(entry.message.id) not in known.ids
        )

    def write(self, database: HistoryDatabase, now: float) -> None:
        """Writes the lines that are owed. While the file can't be written they stay owed.

        :raises sqlite3.Error: the database can't be written.
        """
        append = partial(self._file.append, now=now, sync=self._sync)
        while owed := database.owed_lines(LINES_A_WRITE):
            try:
                append(b"".join([record_line(view_of(entry)) for _, entry in owed if entry is not None]))
            except OSError as problem:
                self._failed(problem)
                return
            # If we stop here, a start finds these lines in the file.
            database.lines_written([n for n, _ in owed])
        if self._unwritable:
            self._unwritable = False
            self.log.info("records_writable: all message records are written; {dropped} lines are lost", dropped=0)

    def _failed(self, problem: OSError) -> None:
        if not self._unwritable:
            self._unwritable = True
            self.log.error(
                "records_unwritable: {path}: {reason}; tried again every second", path=self._file.path,
                reason=str(problem),
            )  # fmt: skip

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
