"""Keeps some open files (descriptors) free for the journal, for carriers and for webhooks.

Theory of operation: the system gives a new file the lowest free number. So the number of a new connection's file says
how many files are open. If it is too high, the relay refuses the connection. It doesn't have to count anything.
"""

import os
import resource
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: How many files the journal, its compaction, message records and name look-ups open at once, with some to spare.
_OF_OUR_OWN: Final = 16
#: The most webhooks under way at once, if there are files enough.
MOST_WEBHOOKS: Final = 1_000
#: The most connections of the admin listener, if there are files enough.
MOST_ADMIN: Final = 200
_LOG_SECONDS: Final = 60.0


class OpenFiles:
    """Says whether there is a file for another incoming connection.

    :param limit: how many files the process may have open.
    :param connections: how many connections each of the two listeners may have (`limits.connections`).
    :param carrier_sessions: how many connections carriers need.
    :ivar webhooks: how many webhooks may be under way at once.
    :ivar admin: how many connections the admin listener may have. `room` is not asked for them.
    :ivar enough: whether `connections` can be reached.
    """

    log = Logger()

    def __init__(self, limit: int, connections: int, carrier_sessions: int, clock: IReactorTime) -> None:
        # Operators must get in, too, when all other files are used.
        self.admin = min(MOST_ADMIN, limit // 8)
        kept = _OF_OUR_OWN + carrier_sessions + self.admin
        self.webhooks = max(2, min(MOST_WEBHOOKS, (limit - kept) // 4))
        self.enough = limit >= files_wanted(connections, carrier_sessions)
        self._limit = limit
        self._connections = connections
        #: Incoming connections can't have files from this number on.
        self._first_kept = limit - kept - self.webhooks
        self._clock = clock
        self._logged_at: float | None = None
        self._probed = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def say_whether_enough(self) -> None:
        """Logs a warning if the process may not open enough files for `limits.connections`."""
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
        """Whether a connection that has just been accepted may stay. If not, this is logged, once a minute at most.

        It takes 2 µs.
        """
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
                "files_used_up: a connection was refused, because the process may have {limit} files open, and those "
                "that are left are for the journal, carriers and webhooks. Raise LimitNOFILE in the unit (ulimit -n)",
                limit=self._limit,
            )
        return False


def files_wanted(connections: int, carrier_sessions: int) -> int:
    """How many files the process should be allowed to have open."""
    return 2 * connections + _OF_OUR_OWN + carrier_sessions + MOST_WEBHOOKS + MOST_ADMIN + 64


def allow_files(wanted: int) -> int:
    """Raises the process's own limit on open files to `wanted`, if the system allows it. Returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return wanted if soft == resource.RLIM_INFINITY else soft
