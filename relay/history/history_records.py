"""Writes message records from the history, so that each ended message gets exactly one line, even after a crash.

Theory of operation: one transaction writes a message's end into the history, and a note that its line is still missing
in the file. Then this module makes the missing lines from the history, appends them to the file and deletes the notes.
The process may be killed after it has appended the lines. So a start reads the end of the file, and deletes the notes
of the lines that it finds there.

A history may begin when the file already exists: somebody switched the history on, or it was begun again. Then it reads
about messages whose lines were written long ago. Of these messages, it writes only lines that the end of the file
lacks.

Call all functions in the history's thread.
"""

from functools import partial
from typing import Final

from twisted.logger import Logger

from relay.history.history_database import HistoryDatabase
from relay.history.history_entries import Entry, view_of
from relay.history.record_file import RecordFile
from relay.history.record_line import KnownLines, known_lines, record_line
from relay.values.ids import id_text

#: A start reads this much of the file's end. The lines of one write are shorter than this.
_TAIL_BYTES: Final = 16 << 20
LINES_A_WRITE: Final = 5_000
#: One write has no further line after this many octets. So `_TAIL_BYTES` has its lines, also those of long messages.
BYTES_A_WRITE: Final = 8 << 20
#: The file may have the lines of two batches in either order if the batches ended within this time.
_LOOK_BACK_SECONDS: Final = 60.0


class HistoryRecords:
    """Writes the message records to their file.

    :param sync: true if a line must be on the disk before its note is deleted.
    """

    log = Logger()

    def __init__(self, path: str, *, sync: bool) -> None:
        self._file = RecordFile(path)
        self._sync = sync
        #: As `BYTES_A_WRITE`.
        self.bytes_a_write = BYTES_A_WRITE
        self._known = KnownLines()
        self._existed = False
        self._unwritable = False

    def open(self, database: HistoryDatabase, now: float) -> bool:
        """Reads the end of the file, or makes the file. Returns true if that succeeded.

        Call it after the database was opened or begun again, and before `write`. Repeat the call until it returns true.
        """
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
        """Returns true if the file still needs the line of this ended message.

        :param repeated: true if the file may have the line already, because the history reads repeated records.
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
        """Writes the missing lines. If the file can't be written, a later call writes them.

        :raises sqlite3.Error: the database can't be written.
        """
        append = partial(self._file.append, now=now, sync=self._sync)
        while owed := database.owed_lines(LINES_A_WRITE):
            lines: list[bytes] = []
            notes: list[int] = []
            size = 0
            for n, entry in owed:
                if entry is not None:
                    lines.append(record_line(view_of(entry)))
                    size += len(lines[-1])
                notes.append(n)
                if size >= self.bytes_a_write:
                    break
            try:
                append(b"".join(lines))
            except OSError as problem:
                self._failed(problem)
                return
            # If we stop here, then the next start finds these lines in the file and deletes their notes.
            database.lines_written(notes)
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
