"""A store of owed notifications and an HTTP client that the test controls."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from relay.config.tls_config import NotificationTls
from relay.runtime.alarms import Alarms
from relay.store.store_values import StoreUnavailable
from relay.values.notifications import Attempt, Channel, Claim, Notification, QueueKey, Recovery, Verdict
from relay.values.states import DELIVERED
from relay.webhooks.answer import Answer

OK = Answer(204)


def notification(
    number: int, *, account: str = "acme", url: str = "", state: int = DELIVERED, done_at: float = 1e6, **more: object
) -> Notification:
    """The notification of a message whose id is `number`."""
    return Notification(
        number.to_bytes(16, "big"),
        account,
        Channel.WEBHOOK,
        state,
        True,
        1,
        done_at,
        done_at,
        b"\0\0RELAY\0\1\x01447700900123\0",
        url=url,
        **more,  # type: ignore[arg-type]
    )


class OwingStore:
    """Keeps what is owed, as the contract of `relay.store.api` says. Every call is durable at once."""

    def __init__(self) -> None:
        self.owed: dict[QueueKey, list[tuple[float, Notification]]] = {}
        self.brought_forward_by: dict[bytes, tuple[Recovery, str]] = {}
        self.claimed: set[tuple[QueueKey, bytes]] = set()
        self.attempts: list[Attempt] = []
        self.settles = 0
        self.claims = 0
        self.settings: list[tuple[str, str, str | None]] = []
        self.broken = False
        self.alarms: Alarms[QueueKey]
        #: Hears when something will be due in a queue.
        self.due_later: Callable[[QueueKey, float], None] = lambda queue_key, due_at: None

    def owe(self, *notifications: Notification, due_at: float = 0.0) -> None:
        for each in notifications:
            self.owed.setdefault(each.queue_key, []).append((due_at, each))

    @property
    def still_owed(self) -> int:
        return sum(map(len, self.owed.values())) + len(self.claimed)

    def queues(self) -> Deferred[Sequence[QueueKey]]:
        for queue_key, owed in self.owed.items():
            for due_at, _ in owed:
                self.due_later(queue_key, due_at)
        return succeed([queue_key for queue_key, owed in self.owed.items() if any(due_at == 0.0 for due_at, _ in owed)])

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Deferred[Claim]:
        self.claims += 1
        if self.broken:
            raise StoreUnavailable("broken")
        owed = sorted(self.owed.get(queue_key, []), key=lambda entry: entry[0])
        given = [each for due_at, each in owed if due_at <= now][:limit]
        ids = {id(each) for each in given}
        rest = [entry for entry in owed if id(entry[1]) not in ids]
        self.owed[queue_key] = rest
        self.claimed.update((queue_key, each.id) for each in given)
        more = bool(rest) and rest[0][0] <= now
        if rest and not more:
            self.due_later(queue_key, rest[0][0])
        return succeed(Claim(given, more))

    def announce(self, clock: Clock, due: Callable[[Sequence[QueueKey]], None]) -> None:
        """Stands for `subscribe`."""
        self.alarms = Alarms(clock, due)
        self.due_later = self.alarms.at

    def settle(self, batch: Sequence[Attempt]) -> Deferred[None]:
        self.settles += 1
        for attempt in batch:
            each = attempt.notification
            self.claimed.remove((each.queue_key, each.id))
            self.attempts.append(attempt)
            if attempt.verdict is Verdict.RETRY:
                again = msgspec.structs.replace(each, attempt=each.attempt + 1, scheduled_at=0.0)
                self.owe(again, due_at=attempt.due_at)
                self.brought_forward_by[each.id] = (attempt.brought_forward_by, attempt.place)
                self.due_later(each.queue_key, attempt.due_at)
        # As the contract has it: what has happened is known to the store, whether it is durable or not.
        return fail(StoreUnavailable("broken")) if self.broken else succeed(None)

    def release(self, batch: Sequence[Notification]) -> None:
        for each in reversed(batch):
            self.claimed.remove((each.queue_key, each.id))
            self.owed.setdefault(each.queue_key, []).insert(0, (0.0, each))

    def bring_forward(self, place: QueueKey, recovery: Recovery) -> None:
        for queue_key, owed in self.owed.items():
            if queue_key.account != place.account:
                continue
            for index, (due_at, each) in enumerate(owed):
                by, failed_at = self.brought_forward_by.get(each.id, (Recovery.NOTHING, ""))
                if by >= recovery and failed_at == place.url:
                    del self.brought_forward_by[each.id]
                    again = msgspec.structs.replace(each, attempt=each.attempt - 1, scheduled_at=due_at)
                    owed[index] = (0.0, again)
                    self.due_later(queue_key, 0.0)

    def put_setting(self, account: str, name: str, value: str | None) -> Deferred[None]:
        self.settings.append((account, name, value))
        return succeed(None)


class Sent(msgspec.Struct):
    """One request that was sent."""

    method: str
    url: str
    headers: dict[bytes, list[bytes]]
    body: bytes
    at: float
    tls: NotificationTls | None = None
    answered: bool = False

    @property
    def fields(self) -> dict[str, str]:
        decoded: dict[str, str] = msgspec.json.decode(self.body)
        return decoded


class FakeClient:
    """Answers as `answer` says: an Answer, or a Deferred that the test fires."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sent: list[Sent] = []
        self.answer: Callable[[Sent], Answer | Deferred[Answer]] = lambda sent: OK
        self.in_flight = 0
        self.in_flight_to: Counter[str] = Counter()
        self.most_in_flight = 0
        self.most_to: Counter[str] = Counter()

    async def send(
        self,
        url: str,
        headers: dict[bytes, list[bytes]],
        body: bytes | None,
        *,
        allow_private: bool,
        method: str = "POST",
        tls: NotificationTls | None = None,
    ) -> Answer:
        sent = Sent(method, url, headers, body or b"", self._clock.seconds(), tls)
        self.sent.append(sent)
        self.in_flight += 1
        self.in_flight_to[url] += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.most_to[url] = max(self.most_to[url], self.in_flight_to[url])
        try:
            answer = self.answer(sent)
            return answer if isinstance(answer, Answer) else await answer
        finally:
            sent.answered = True
            self.in_flight -= 1
            self.in_flight_to[url] -= 1
