"""Keeps open files (descriptors) for the journal, for carriers and for webhooks, when connections would take them all.

Theory of operation: the system gives a new file the lowest number that is free. So the number says how many are open,
and a connection whose file has a high number is one too many. Nothing has to be counted.
"""

import os
import resource
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: What the journal, its compaction, message records and name look-ups open at once, with some to spare.
_OF_OUR_OWN: Final = 16
#: Webhooks that are out at once, where files are no matter.
MOST_WEBHOOKS: Final = 1_000
#: Connections of the admin listener, likewise.
MOST_ADMIN: Final = 200
_LOG_SECONDS: Final = 60.0


class OpenFiles:
    """Says whether there is a file for another connection that somebody opens to us.

    :param limit: how many files the process may have open.
    :param connections: how many connections each of the two listeners may have (`limits.connections`).
    :param carrier_sessions: how many connections carriers need.
    :ivar webhooks: how many webhooks may be out at once.
    :ivar admin: how many connections the admin listener may have; they are not asked about.
    :ivar enough: whether `connections` can be reached.
    """

    log = Logger()

    def __init__(self, limit: int, connections: int, carrier_sessions: int, clock: IReactorTime) -> None:
        # Operators get in when everything is taken, too.
        self.admin = min(MOST_ADMIN, limit // 8)
        kept = _OF_OUR_OWN + carrier_sessions + self.admin
        self.webhooks = max(2, min(MOST_WEBHOOKS, (limit - kept) // 4))
        self.enough = limit >= files_wanted(connections, carrier_sessions)
        self._limit = limit
        self._connections = connections
        #: Files from this number on are not for those who connect to us.
        self._first_kept = limit - kept - self.webhooks
        self._clock = clock
        self._logged_at: float | None = None
        self._probed = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def say_whether_enough(self) -> None:
        """Warns where `limits.connections` can't be reached."""
        if not self.enough:
            self.log.warn(
                "files_few: the process may have {limit} files open, too few for two listeners with limits.connections "
                "({connections}) each. Connections beyond file number {first_kept} are refused. Raise LimitNOFILE in "
                "the unit (ulimit -n), or lower limits.connections",
                limit=self._limit,
                connections=self._connections,
                first_kept=self._first_kept,
            )

    def room(self) -> bool:
        """Whether a connection that has just been accepted may stay. Takes 2 µs; logs once a minute when it may not."""
        try:
            number = os.dup(self._probed)
        except OSError:
            number = self._limit
        else:
            os.close(number)
        if number < self._first_kept:
            return True
        now = self._clock.seconds()
        if self._logged_at is None or now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            self.log.warn(
                "files_used_up: a connection was refused: of {limit} files that may be open, the rest is kept for the "
                "journal, carriers and webhooks",
                limit=self._limit,
            )
        return False


def files_wanted(connections: int, carrier_sessions: int) -> int:
    """How many files the process should be allowed to have open."""
    return 2 * connections + _OF_OUR_OWN + carrier_sessions + MOST_WEBHOOKS + MOST_ADMIN + 64


def allow_files(wanted: int) -> int:
    """Raises the process's own limit on open files as far as it needs and may; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return wanted if soft == resource.RLIM_INFINITY else soft
