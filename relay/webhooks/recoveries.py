"""Which lanes have something that waits for a retry, so that it can be tried once more when its URL is back.

Theory of operation: a URL may have very many lanes, where messages bring URLs of their own that differ in the query.
For each URL there is a set of lanes in which something has failed and may be hastened, with the time until which it
waits: past that nothing needs to be hastened. Whenever a lane is added, two others are looked at in turn and dropped
where their time has passed, so a set has about as many lanes as really wait, and tidying it is never a pause. A URL
that is back has its set handed out, some lanes at a time, to whoever asks.
"""

from collections import OrderedDict, deque

from relay.values.messages import Comeback, Lane
from relay.webhooks.circuit_breaker import Pacing
from relay.webhooks.schedule import Retry


class Comebacks:
    """See the module's text. A URL is named by its `Pacing`."""

    def __init__(self) -> None:
        self._waiting: dict[Pacing, dict[Comeback, _Lanes]] = {}
        self._back: deque[tuple[Comeback, _Lanes]] = deque()

    def delayed(self, url: Pacing, lane: Lane, retry: Retry, now: float) -> None:
        """Something in the lane waits for this retry."""
        if retry.hastened_by:
            by_comeback = self._waiting.setdefault(url, {})
            by_comeback.setdefault(retry.hastened_by, _Lanes()).add(lane, retry.due_at, now)

    def came_back(self, url: Pacing, comeback: Comeback) -> None:
        """The lanes that wait for this, or for less, are handed out from now on."""
        waiting = self._waiting.get(url)
        if waiting is None or not comeback:
            return
        for hastened_by in sorted(waiting, reverse=True):
            if hastened_by >= comeback:
                self._back.append((comeback, waiting.pop(hastened_by)))
        if not waiting:
            del self._waiting[url]

    def forget(self, url: Pacing) -> None:
        """What waits there comes by the schedule."""
        self._waiting.pop(url, None)

    def take(self, limit: int) -> list[tuple[Lane, Comeback]]:
        """Takes up to `limit` lanes that are to be hastened, each with what does it."""
        taken: list[tuple[Lane, Comeback]] = []
        back = self._back
        while back and len(taken) < limit:
            comeback, lanes = back[0]
            taken.append((lanes.popitem()[0], comeback))
            if not lanes:
                back.popleft()
        return taken

    def __len__(self) -> int:
        """How many lanes are kept, whether they wait or are to be handed out."""
        waiting = sum(len(lanes) for by_comeback in self._waiting.values() for lanes in by_comeback.values())
        return waiting + sum(len(lanes) for _, lanes in self._back)


class _Lanes(OrderedDict[Lane, float]):
    """Lanes, each with the time until which something waits there; the one that was looked at last stands last."""

    def add(self, lane: Lane, due_at: float, now: float) -> None:
        self[lane] = max(due_at, self.get(lane, 0.0))
        for _ in range(2):
            first, until = self.popitem(last=False)
            if until > now:
                self[first] = until
            elif not self:
                return
