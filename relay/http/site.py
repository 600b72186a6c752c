"""The HTTP listeners: decide who may connect, and close connections whose time is over.

The handler of a site decides what a request means. The customers' listener and the admin listener each are a site.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from relay.config.daemon_config import Limits
from relay.http.api_request import ApiRequest
from relay.http.before_login import BeforeLogin
from relay.http.forwarded import TrustedProxies
from relay.http.http_connection import ApiConnection
from relay.runtime.fair_turns import FairTurns

#: How often the site looks for connections whose time is over.
SWEEP_SECONDS: Final = 5.0

#: Trusts no proxy.
NO_PROXIES: Final = TrustedProxies(())


class ApiSite(Factory):
    """Builds the connections of a listener, and limits their number.

    :param handler: gets each request when its body is complete. It must not raise.
    :param limits: the configuration's limits.
    :param turns: shares the time between the connections of all listeners.
    :param proxies: the proxies that may name a client's address.
    :ivar log_in_early: gets a request whose head has arrived, and calls its `logged_in` if the head has a valid login.
    """

    noisy = False

    def __init__(
        self,
        handler: Callable[[ApiRequest], None],
        limits: Limits,
        clock: IReactorTime,
        turns: FairTurns | None = None,
        proxies: TrustedProxies = NO_PROXIES,
    ) -> None:
        self.handle = handler
        self.request_bytes = limits.request_bytes
        self._limits = limits
        self.clock = clock
        self.turns = turns or FairTurns(clock)
        self.before_login = BeforeLogin(limits)
        self._proxies = proxies
        self.most_connections = limits.connections
        #: Whether the process may keep a connection that has just been accepted.
        self.has_room: Callable[[], bool] = lambda: True
        self.log_in_early: Callable[[ApiRequest], None] = lambda request: None
        self._by_network: Counter[str] = Counter()
        self._open: set[ApiConnection] = set()
        self._expiry: IDelayedCall | None = None

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def client_address(self, host: str, request: ApiRequest) -> str:
        """The address of the client that sent a request over a connection from `host`."""
        return self._proxies.client_address(host, request.requestHeaders)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        host = getattr(addr, "host", "")
        if len(self._open) >= self.most_connections or not self.has_room():
            return None
        connection = ApiConnection(self, host, is_proxy=self._proxies.trusts(host))
        if not connection.is_proxy:
            network = connection.network
            if self._by_network[network] >= self._limits.connections_per_address:
                return None
            if not self.before_login.connected(network, connection):
                return None
            self._by_network[network] += 1
        self._open.add(connection)
        if self._expiry is None:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_overdue)
        return connection

    def _end_overdue(self) -> None:
        self._expiry = None
        now = self.clock.seconds()
        for connection in tuple(self._open):
            if not connection.closing and connection.overdue(now):
                connection.loseConnection()
        if self._open:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_overdue)

    def closed(self, connection: ApiConnection) -> None:
        """Tells that a connection has ended."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        if not connection.is_proxy:
            network = connection.network
            self.before_login.gone(network, connection)
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]
        if not self._open and self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def abort(self) -> None:
        """Ends every connection at once."""
        for connection in tuple(self._open):
            transport: Any = connection.transport
            transport.abortConnection()
