"""Who may send a request now: the places for requests are shared out between accounts, in turns.

Theory of operation: an account has *origins* (scheme, host and port of a URL; its own URL counts as an origin of its
own), and an origin has the queues that want to send. An origin that has queues and room stands in its account's line,
and an account that has origins in its line stands in the line of accounts. `next_origin` takes them in turns. So what
it costs to find who is next doesn't depend on how many wait.

An account takes no more places than are free: alone it may use half of them, two accounts a third each, and so on.
Whoever comes new finds a place at once, although others' requests may be under way for very long.

An *origin* says how many requests may be under way, and counts the connections that fail. A *path* (a URL without its
query) counts the statuses that say no. Both are kept only while they are in use or remember a failure, and of those
that merely remember, the latest `REMEMBERED` of an account.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from relay.values.messages import QueueKey
from relay.webhooks.circuit_breaker import CircuitBreaker

#: Requests under way at once, to all URLs together.
MOST_IN_FLIGHT: Final = 1000

#: Origins, and paths, of an account that are not in use and whose failures are remembered.
REMEMBERED: Final = 1000

#: A path limits nothing by itself: its origin does.
_NO_LIMIT: Final = 1_000_000


class Destination:
    """An origin or a path of one account: its state, and the queues that wait for room there.

    :ivar claiming: claims from the store under way, each of which may lead to a request.
    :ivar waiting: the queues, each with the name of its path.
    """

    __slots__ = ("account", "breaker", "claiming", "in_line", "name", "waiting")

    def __init__(self, account: "AccountPlaces", name: str, most: int) -> None:
        self.account = account
        self.name = name
        self.breaker = CircuitBreaker(most)
        self.claiming = 0
        self.in_line = False
        self.waiting: dict[QueueKey, str] = {}

    def room(self, now: float) -> int:
        """How many more requests may begin."""
        return self.breaker.room(now) - self.claiming

    @property
    def in_use(self) -> bool:
        """Whether a request is under way there, or a queue waits."""
        return bool(self.waiting or self.claiming or self.breaker.in_flight or self.in_line)


class Origin(Destination):
    """Where connections go: a scheme, host and port."""


class Path(Destination):
    """A URL without its query."""


DestinationT = TypeVar("DestinationT", bound=Destination)


class _Kept(Generic[DestinationT]):
    """An account's origins, or its paths."""

    __slots__ = ("all", "idle")

    def __init__(self) -> None:
        self.all: dict[str, DestinationT] = {}
        self.idle: OrderedDict[str, None] = OrderedDict()

    def use(self, destination: DestinationT) -> None:
        """It is in use from now on."""
        self.idle.pop(destination.name, None)

    def leave(self, destination: DestinationT, now: float) -> None:
        """It may not be in use any more: forgets it, or keeps what it remembers for a while."""
        if destination.in_use:
            return
        name = destination.name
        if destination.breaker.pristine(now):
            self.idle.pop(name, None)
            self.all.pop(name, None)
            return
        self.idle[name] = None
        self.idle.move_to_end(name)
        if len(self.idle) > REMEMBERED:
            oldest, _ = self.idle.popitem(last=False)
            del self.all[oldest]


class AccountPlaces:
    """One account's origins and paths, and how many requests it has under way."""

    __slots__ = ("in_flight", "in_line", "line", "name", "origins", "paths")

    def __init__(self, name: str) -> None:
        self.name = name
        self.in_flight = 0
        self.in_line = False
        self.line: deque[Origin] = deque()
        self.origins: _Kept[Origin] = _Kept()
        self.paths: _Kept[Path] = _Kept()


class Places:
    """Shares places out between accounts. Keeps no clock: whoever calls says what time it is.

    :ivar most: how many places there are; fewer where the process may open few files.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self.in_flight = 0
        self.most = most
        self._accounts: dict[str, AccountPlaces] = {}
        self._line: deque[AccountPlaces] = deque()
        #: How often a line was looked at, for tests that count work.
        self.looks = 0

    # Finding

    def account(self, name: str) -> AccountPlaces:
        """The account's places, made where there are none."""
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = AccountPlaces(name)
        return account

    def origin(self, account_name: str, name: str, most: Callable[[str], int]) -> Origin:
        """An account's origin, made where there is none.

        :param most: gives the account's requests to it at once, for one that is made.
        """
        account = self.account(account_name)
        origin = account.origins.all.get(name)
        if origin is None:
            origin = account.origins.all[name] = Origin(account, name, most(account_name))
        return origin

    def failing_path(self, account: AccountPlaces, name: str) -> Path:
        """An account's path, made where there is none: to count a failure."""
        path = account.paths.all.get(name)
        if path is None:
            path = account.paths.all[name] = Path(account, name, _NO_LIMIT)
        return path

    def destinations(self, account_name: str) -> Iterable[Destination]:
        """The account's origins and paths that are kept."""
        account = self.account(account_name)
        return [*account.origins.all.values(), *account.paths.all.values()]

    def __len__(self) -> int:
        """How many origins and paths are kept."""
        return sum(len(a.origins.all) + len(a.paths.all) for a in self._accounts.values())

    # Lines

    def wait(self, origin: Origin, queue_key: QueueKey, path: str) -> None:
        """The queue wants to send there. A second call changes nothing.

        :param path: the name of its path.
        """
        origin.waiting[queue_key] = path
        origin.account.origins.use(origin)
        self.line_up(origin)

    def line_up(self, origin: Origin) -> None:
        """The origin may have room for a queue that waits. Harmless where it hasn't."""
        if origin.waiting and not origin.in_line:
            origin.in_line = True
            origin.account.line.append(origin)
        self._line_up_account(origin.account)

    def _line_up_account(self, account: AccountPlaces) -> None:
        if account.line and not account.in_line:
            account.in_line = True
            self._line.append(account)

    def next_origin(self) -> Origin | None:
        """The origin whose turn it is; it has a queue that waits, and leaves the line. None: nobody may send now."""
        line = self._line
        while line and self.in_flight < self.most:
            self.looks += 1
            account = line[0]
            if not account.line or account.in_flight >= max(1, self.most - self.in_flight):
                # One that has its share comes back into the line when one of its requests ends.
                line.popleft()
                account.in_line = False
                continue
            line.rotate(-1)
            origin = account.line.popleft()
            origin.in_line = False
            if origin.waiting:
                return origin
        return None

    def may_begin(self, account: AccountPlaces) -> bool:
        """Whether the account may have one more request under way."""
        free = self.most - self.in_flight
        return free > 0 and account.in_flight < max(1, free)

    @property
    def anybody_waits(self) -> bool:
        """Whether `next_origin` might find one."""
        return bool(self._line) and self.in_flight < self.most

    # Requests

    def began(self, origin: Origin, path: Path | None) -> None:
        """A request begins."""
        account = origin.account
        self.in_flight += 1
        account.in_flight += 1
        origin.breaker.began()
        account.origins.use(origin)
        if path is not None:
            path.breaker.began()
            account.paths.use(path)

    def ended(self, origin: Origin) -> None:
        """A request has ended; its origin and path have been told how (see `CircuitBreaker`)."""
        account = origin.account
        self.in_flight -= 1
        account.in_flight -= 1
        self.line_up(origin)

    def leave(self, destination: Destination, now: float) -> None:
        """An origin or a path may not be in use any more."""
        if isinstance(destination, Origin):
            destination.account.origins.leave(destination, now)
        elif isinstance(destination, Path):
            destination.account.paths.leave(destination, now)
