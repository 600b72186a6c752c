"""Counts the journal's commits since the start: how many there were, how large they were, and how long they took."""

from relay.store.store_values import COMMIT_SECONDS_BOUNDS


class CommitFigures:
    """Counts the commits of a journal, for the operator.

    :ivar commits: commits that succeeded.
    :ivar batches: calls that these commits made durable.
    :ivar octets: octets that they wrote.
    :ivar buckets: commits by `COMMIT_SECONDS_BOUNDS`; the last bucket has those that took longer than all bounds.
    """

    def __init__(self) -> None:
        self.commits = 0
        self.batches = 0
        self.octets = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(COMMIT_SECONDS_BOUNDS) + 1)

    def count(self, seconds: float, batches: int, octets: int) -> None:
        """Counts one commit."""
        self.commits += 1
        self.batches += batches
        self.octets += octets
        self.seconds += seconds
        for index, bound in enumerate(COMMIT_SECONDS_BOUNDS):
            if seconds <= bound:
                self.buckets[index] += 1
                return
        self.buckets[-1] += 1
