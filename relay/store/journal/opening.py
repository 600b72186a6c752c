"""Opens a journal at a start: locks the data directory, and reads what is there, or takes what was followed before."""

from collections.abc import Callable
from os.path import join
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from relay.store.journal.directory_lock import DirectoryLock
from relay.store.journal.disk_thread import InThread, JournalDisk
from relay.store.journal.files import Files, Locked
from relay.store.journal.followed_journal import FollowedJournal
from relay.store.journal.journal_format import JournalError
from relay.store.journal.recovery import Progress, read_journal
from relay.store.table.entry_values import Segment
from relay.store.table.replaying import Replay


class JournalOpening:
    """Locks a data directory, and gives the segments of its journal.

    :param directory: the data directory. The journal is in `journal` in it.
    :ivar disk: the journal's directory.
    :ivar lock: keeps other processes out.
    """

    def __init__(
        self, files: Files, directory: str, in_thread: InThread[Any], thread_is_idle: Callable[[], bool]
    ) -> None:
        self._directory = directory
        self.lock = DirectoryLock(files, directory)
        self.disk = JournalDisk(files, join(directory, "journal"), in_thread, self.lock.in_place, thread_is_idle)
        self._followed: FollowedJournal | None = None

    def follow(self, replay: Replay) -> FollowedJournal:
        """Locks the directory. From now on, the journal is what the result is given. A second call begins again.

        :raises JournalError: the directory is in use, or can't be used.
        """
        self._take()
        self._followed = FollowedJournal(replay)
        return self._followed

    async def read(self, replay: Replay, clock: IReactorTime, progress: Progress | None) -> list[Segment]:
        """Locks the directory, reads the journal, and returns its segments. What was followed isn't read again.

        :raises JournalError: the directory is in use, damaged or of a newer version, or it can't be read.
        """
        self._take()
        try:
            if self._followed is not None:
                return self._followed.finish(clock.seconds())
            return await read_journal(self.disk.files, self.disk.directory, replay, clock, progress)
        except OSError as problem:
            self.lock.release()
            raise self._unusable(problem) from problem
        except (JournalError, CancelledError):
            self.lock.release()
            raise

    def _take(self) -> None:
        try:
            self.disk.files.make_directory(self._directory)
            self.disk.files.make_directory(self.disk.directory)
            if not self.lock.held:
                self.lock.take()
        except Locked as problem:
            raise JournalError(
                f"{self._directory} is in use by the relay with process id {problem.owner}. Stop that relay first, or "
                "give this one a data_dir of its own."
            ) from None
        except OSError as problem:
            raise self._unusable(problem) from problem

    def _unusable(self, problem: OSError) -> JournalError:
        return JournalError(f"data_dir {self._directory}: can't be used: {problem}")
