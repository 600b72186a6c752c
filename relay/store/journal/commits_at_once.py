"""Decides which commits the reactor makes itself, instead of giving them to the disk's thread.

To give a commit to the thread and to get its result takes two switches between threads and one more turn of the
reactor. With little traffic that is most of what a message costs, and longer than a fast disk needs. But while the
reactor makes a commit, everybody waits. So it makes only small commits of a disk that has been fast, and only after the
journal has been idle for as long as a commit takes. Then such commits take at most half of the reactor's time, and
under load all commits are made in the thread, where they share syncs.
"""

from typing import Final

#: The reactor makes no commits while the disk may need longer than this.
FAST_SECONDS: Final = 0.001

#: The reactor makes no commits that are larger.
SMALL_BYTES: Final = 16_384

#: What is expected of a disk at first, and by how much the expectation may fall with each commit. After a commit of
#: 10 ms, 22 fast commits must be made in the thread before the reactor makes one again.
FIRST_SECONDS: Final = 0.010
REMEMBERED: Final = 0.9


class CommitsAtOnce:
    """Remembers how long commits took, and says whether the reactor may make the next one.

    :ivar expected_seconds: how long the next commit may take, from what the last ones took.
    """

    def __init__(self) -> None:
        self.expected_seconds = FIRST_SECONDS
        self._ended_at = 0.0

    def may_make(self, now: float, entries: int, octets: int) -> bool:
        """Whether the reactor may make a commit now.

        :param entries: how many calls wait for the commit. If it is more than one, there is much traffic.
        :param octets: how many octets the commit writes.
        """
        return (
            entries == 1
            and octets <= SMALL_BYTES
            and self.expected_seconds <= FAST_SECONDS
            and now - self._ended_at >= self.expected_seconds
        )

    def took(self, seconds: float, now: float) -> None:
        """Notes a commit that ended now.

        :param seconds: how long it kept the disk busy, on the reactor or in the thread.
        """
        self.expected_seconds = max(seconds, self.expected_seconds * REMEMBERED)
        self._ended_at = now

    def failed(self) -> None:
        """Notes a commit that failed: the disk must show again that it is fast."""
        self.expected_seconds = max(self.expected_seconds, FIRST_SECONDS)
