"""Decides which account may send the next request: the accounts share the places for requests, and take turns.

A *place* stands for one request under way.

Theory of operation: an account has *origins* (scheme, host and port of a URL; the account's own URL counts as a
separate origin). An origin has the queues that want to send. If an origin has queues and room, it stands in its
account's line. If an account has origins in its line, it stands in the line of accounts. `next_origin` takes them in
turn. So the cost of this search doesn't depend on the number of queues that wait.

An account may have as many requests under way as there are free places: one account alone may use half of the places,
two accounts may use a third each, and so on. So an account that begins to send finds a place at once, even if the
requests of others take very long.

An *origin* limits the requests under way, and counts failed connections. A *path* (a URL without its query) counts
statuses that report failures. The relay keeps both while they are in use or remember a failure. If they only remember
a failure, it keeps the latest `REMEMBERED` of each account.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from relay.values.notifications import QueueKey
from relay.webhooks.circuit_breaker import CircuitBreaker

#: The most requests under way at once, to all URLs together.
MOST_IN_FLIGHT: Final = 1000

#: How many unused origins of an account the relay keeps because of their failures; the same number of paths.
REMEMBERED: Final = 1000

#: A path has no limit of requests: its origin has one.
_NO_LIMIT: Final = 1_000_000


class Destination:
    """Holds the state of one origin or path of an account, and the queues that wait for room there.

    :ivar claiming: how many claims are under way in the store; each may lead to a request.
    :ivar in_line: True while it stands in its account's line.
    :ivar waiting: the queues that wait, each with the name of its path.
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
        """Returns how many more requests may begin now; the result may be negative."""
        return self.breaker.room(now) - self.claiming

    @property
    def in_use(self) -> bool:
        """True if a request or a claim is under way there, or a queue waits."""
        return bool(self.waiting or self.claiming or self.breaker.in_flight or self.in_line)


class Origin(Destination):
    """Stands for a scheme, host and port to which an account's connections go."""


class Path(Destination):
    """Stands for a URL without its query, and counts the failures that its statuses report."""


DestinationT = TypeVar("DestinationT", bound=Destination)


class _Kept(Generic[DestinationT]):
    """Keeps an account's origins, or its paths, and forgets those that it needn't keep."""

    __slots__ = ("all", "idle")

    def __init__(self) -> None:
        self.all: dict[str, DestinationT] = {}
        self.idle: OrderedDict[str, None] = OrderedDict()

    def use(self, destination: DestinationT) -> None:
        """Notes that the destination is in use from now on."""
        self.idle.pop(destination.name, None)

    def leave(self, destination: DestinationT, now: float) -> None:
        """Checks if the destination is still in use.

        If it isn't, and no failure is remembered, this forgets the destination. If a failure is remembered, the
        destination stays until too many others have come after it.
        """
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
    """Holds one account's origins and paths, and counts the account's requests under way."""

    __slots__ = ("in_flight", "in_line", "line", "name", "origins", "paths")

    def __init__(self, name: str) -> None:
        self.name = name
        self.in_flight = 0
        self.in_line = False
        self.line: deque[Origin] = deque()
        self.origins: _Kept[Origin] = _Kept()
        self.paths: _Kept[Path] = _Kept()


class Places:
    """Shares the places for requests between the accounts. It has no clock: the caller passes the time.

    :ivar most: the number of places; it is lower if the process may open only few files.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self.in_flight = 0
        self.most = most
        self._accounts: dict[str, AccountPlaces] = {}
        self._line: deque[AccountPlaces] = deque()
        #: How many steps `next_origin` has made; tests count this work.
        self.looks = 0

    # Finding

    def account(self, name: str) -> AccountPlaces:
        """Returns the account's origins and paths; makes an empty entry for a new account."""
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = AccountPlaces(name)
        return account

    def origin(self, account_name: str, name: str, most: Callable[[str], int]) -> Origin:
        """Returns an account's origin; makes it if it doesn't exist.

        :param most: returns the most requests at once, by the account's name; it is called only for a new origin.
        """
        account = self.account(account_name)
        origin = account.origins.all.get(name)
        if origin is None:
            origin = account.origins.all[name] = Origin(account, name, most(account_name))
        return origin

    def failing_path(self, account: AccountPlaces, name: str) -> Path:
        """Returns an account's path, to count a failure; makes it if it doesn't exist."""
        path = account.paths.all.get(name)
        if path is None:
            path = account.paths.all[name] = Path(account, name, _NO_LIMIT)
        return path

    def destinations(self, account_name: str) -> Iterable[Destination]:
        """Returns all origins and paths of the account that are kept."""
        account = self.account(account_name)
        return [*account.origins.all.values(), *account.paths.all.values()]

    def __len__(self) -> int:
        """Returns how many origins and paths of all accounts are kept."""
        return sum(len(a.origins.all) + len(a.paths.all) for a in self._accounts.values())

    # Lines

    def wait(self, origin: Origin, queue_key: QueueKey, path: str) -> None:
        """Notes that a queue wants to send to an origin. A second call changes nothing.

        :param path: the name of the queue's path.
        """
        origin.waiting[queue_key] = path
        origin.account.origins.use(origin)
        self.line_up(origin)

    def line_up(self, origin: Origin) -> None:
        """Puts an origin into its account's line, if queues wait there.

        The caller needn't know if the origin has room.
        """
        if origin.waiting and not origin.in_line:
            origin.in_line = True
            origin.account.line.append(origin)
        self._line_up_account(origin.account)

    def _line_up_account(self, account: AccountPlaces) -> None:
        if account.line and not account.in_line:
            account.in_line = True
            self._line.append(account)

    def next_origin(self) -> Origin | None:
        """Takes the next origin out of its line and returns it; None: no account may send now.

        At least one queue waits at the origin.
        """
        line = self._line
        while line and self.in_flight < self.most:
            self.looks += 1
            account = line[0]
            if not account.line or account.in_flight >= max(1, self.most - self.in_flight):
                # An account that uses its whole share comes back into the line when one of its requests ends.
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
        """Returns True if the account may begin one more request."""
        free = self.most - self.in_flight
        return free > 0 and account.in_flight < max(1, free)

    @property
    def anybody_waits(self) -> bool:
        """True if `next_origin` may find an origin."""
        return bool(self._line) and self.in_flight < self.most

    # Requests

    def began(self, origin: Origin, path: Path | None) -> None:
        """Counts a request that begins."""
        account = origin.account
        self.in_flight += 1
        account.in_flight += 1
        origin.breaker.began()
        account.origins.use(origin)
        if path is not None:
            path.breaker.began()
            account.paths.use(path)

    def ended(self, origin: Origin) -> None:
        """Counts a request that has ended.

        The caller has already reported the result to the circuit breakers of the origin and the path.
        """
        account = origin.account
        self.in_flight -= 1
        account.in_flight -= 1
        self.line_up(origin)

    def leave(self, destination: Destination, now: float) -> None:
        """Checks if an origin or a path is still in use; if not, the account may forget it."""
        if isinstance(destination, Origin):
            destination.account.origins.leave(destination, now)
        elif isinstance(destination, Path):
            destination.account.paths.leave(destination, now)
