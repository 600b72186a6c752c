"""Which queues have something that waits for a retry, so that it can be tried once more when its URL is back.

Theory of operation: a URL may have very many queues, where messages bring URLs of their own that differ in the query.
For each URL there is a set of queues in which something has failed and may be brought forward, with the time until
which it waits: past that nothing needs to be brought forward. Whenever a queue is added, two others are looked at in
turn and dropped where their time has passed, so a set has about as many queues as really wait, and tidying it is never
a pause. A URL that is back has its set handed out, some queues at a time, to whoever asks.
"""

from collections import OrderedDict, deque

from relay.values.messages import QueueKey, Recovery
from relay.webhooks.circuit_breaker import CircuitBreaker
from relay.webhooks.schedule import Retry


class Recoveries:
    """Remembers which queues to try again when their URL is back. A URL is named by its `CircuitBreaker`."""

    def __init__(self) -> None:
        self._waiting: dict[CircuitBreaker, dict[Recovery, _Keys]] = {}
        self._back: deque[tuple[Recovery, _Keys]] = deque()

    def delayed(self, url: CircuitBreaker, queue_key: QueueKey, retry: Retry, now: float) -> None:
        """Something in the queue waits for this retry."""
        if retry.brought_forward_by:
            by_recovery = self._waiting.setdefault(url, {})
            by_recovery.setdefault(retry.brought_forward_by, _Keys()).add(queue_key, retry.due_at, now)

    def came_back(self, url: CircuitBreaker, recovery: Recovery) -> None:
        """The queues that wait for this, or for less, are handed out from now on."""
        waiting = self._waiting.get(url)
        if waiting is None or not recovery:
            return
        for brought_forward_by in sorted(waiting, reverse=True):
            if brought_forward_by >= recovery:
                self._back.append((recovery, waiting.pop(brought_forward_by)))
        if not waiting:
            del self._waiting[url]

    def forget(self, url: CircuitBreaker) -> None:
        """What waits there comes by the schedule."""
        self._waiting.pop(url, None)

    def take(self, limit: int) -> list[tuple[QueueKey, Recovery]]:
        """Takes up to `limit` queues that are to be brought forward, each with what does it."""
        taken: list[tuple[QueueKey, Recovery]] = []
        back = self._back
        while back and len(taken) < limit:
            recovery, queues = back[0]
            taken.append((queues.popitem()[0], recovery))
            if not queues:
                back.popleft()
        return taken

    def __len__(self) -> int:
        """How many queues are kept, whether they wait or are to be handed out."""
        waiting = sum(len(queues) for by_recovery in self._waiting.values() for queues in by_recovery.values())
        return waiting + sum(len(queues) for _, queues in self._back)


class _Keys(OrderedDict[QueueKey, float]):
    """Queues, each with the time until which something waits there; the one that was looked at last stands last."""

    def add(self, queue_key: QueueKey, due_at: float, now: float) -> None:
        self[queue_key] = max(due_at, self.get(queue_key, 0.0))
        for _ in range(2):
            first, until = self.popitem(last=False)
            if until > now:
                self[first] = until
            elif not self:
                return
