"""Keeps connections to customers' receivers, and reads answers from them.

An answer counts as soon as its status has come. The relay closes a connection and never uses it again in two cases: the
answer's head breaks a rule (`relay.webhooks.answer_head`), or more octets come than the head announced. The relay could
take these octets for the answer to another request.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, ISSLTransport, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import SWITCHING as SWITCHING_PROTOCOLS
from twisted.web.iweb import IResponse

from relay.runtime.private_parts import ClientConnection, ClientFactory, ClientPool
from relay.webhooks.answer_head import END_OF_HEAD, read_head, status_of_head

#: The relay reads no more octets of one answer than this: head and body together.
ANSWER_BYTES: Final = 262_144

#: How many idle connections to one host the relay keeps, and for how long. Most servers keep theirs longer.
IDLE_CONNECTIONS: Final = 32
IDLE_SECONDS: Final = 45
SWEEP_SECONDS: Final = 5


class PooledConnection(ClientConnection):
    """Reads answers, also those that break a rule, and closes the connection if an answer is too large.

    :ivar relay_idle_since: since when the connection is idle.
    :ivar relay_requests: how many requests the relay has sent over this connection.
    :ivar relay_read: octets read since the last request.
    :ivar relay_keeps: True if the relay may send another request after this answer.
    """

    relay_idle_since = 0.0
    relay_requests = 0
    relay_read = 0
    relay_keeps = True
    #: The octets of an incomplete head; None: the connection has read the head.
    _relay_head: bytes | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        transport: Any = self.transport
        if ISSLTransport.providedBy(transport):
            # TLS waits for the receiver's close_notify. A receiver that never sends it would keep the connection open.
            transport.loseConnection = transport.abortConnection  # type: ignore[method-assign]

    def request(self, request: Any) -> "Deferred[IResponse]":
        self.relay_requests += 1
        self.relay_read = 0
        self._relay_head = b""
        return super().request(request)

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if self.state == "QUIESCENT":
            # These octets answer no request. The relay could take them for the answer to the next one.
            self.relay_keeps = False
            transport.loseConnection()
            return
        self.relay_read += len(data)
        if self.relay_read > ANSWER_BYTES:
            self._relay_head = None
            transport.abortConnection()
        elif self._relay_head is None:
            super().dataReceived(data)
        else:
            self._relay_read_head(self._relay_head + data, len(self._relay_head))

    def _relay_read_head(self, octets: bytes, searched: int) -> None:
        """Reads the head at the beginning of these octets; the octets after it belong to the body.

        :param searched: how many octets an earlier call has searched for the end of the head.
        """
        if octets[:1] in (b"\r", b"\n"):
            # The answer before was longer than its head said; these line ends belong to it.
            self.relay_keeps = False
            octets, searched = octets.lstrip(b"\r\n"), 0
        while (end := END_OF_HEAD.search(octets, max(0, searched - 3))) is not None:
            head, body = octets[: end.end()], octets[end.end() :]
            read = read_head(head, len(body))
            if read is None or read.status == SWITCHING_PROTOCOLS:
                self._relay_refuse()
                return
            if read.status < 200:
                # A status below 200 comes before the real answer (RFC 9110 section 15.2).
                octets, searched = body, 0
                continue
            self._relay_head = None
            self.relay_keeps = self.relay_keeps and read.keeps
            super().dataReceived(octets if read.text is head else read.text + body)
            return
        self._relay_head = octets
        if b"\n" in octets and status_of_head(octets) is None:
            self._relay_refuse()

    def _relay_refuse(self) -> None:
        """Makes the request fail, because the relay can't read its answer."""
        # Twisted's parser refuses an empty status line, and closes the connection.
        self._relay_head = None
        super().dataReceived(b"\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        head, self._relay_head = self._relay_head, None
        read = read_head(head, 0) if head else None
        if read is not None and read.status >= 200:
            # The connection broke off after the status: the status counts.
            self.relay_keeps = False
            super().dataReceived(read.text)
        super().connectionLost(reason)

    def answer_ended(self, rest: bytes) -> None:
        if rest:
            # The server sends more than it has announced.
            self.relay_keeps = False


class _Factory(ClientFactory):
    """Makes the pool's connections."""

    protocol = PooledConnection


class ConnectionPool(ClientPool):
    """Keeps idle connections for the next request, and closes the old ones every few seconds.

    Twisted's own pool makes a delayed call whenever it keeps a connection (8 µs), and never forgets a host.
    """

    factory = _Factory
    maxPersistentPerHost = IDLE_CONNECTIONS
    # Twisted repeats no POST in any case, and its wrapper around each connection costs time.
    retryAutomatically = False

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._expiry: IDelayedCall | None = None

    def getConnection(self, key: Any, endpoint: IStreamClientEndpoint) -> "Deferred[Any]":
        connections = self.idle.get(key)
        while connections:
            connection = connections.pop()
            if connection.state == "QUIESCENT" and connection.relay_keeps:
                return succeed(connection)
        return self.connect(key, endpoint)

    def keep(self, key: Any, connection: PooledConnection) -> None:
        if not connection.relay_keeps:
            spent: Any = connection.transport
            spent.loseConnection()
            return
        connections = self.idle.setdefault(key, [])
        if len(connections) >= IDLE_CONNECTIONS:
            connections.pop(0).transport.loseConnection()
        connections.append(connection)
        connection.relay_idle_since = self.clock.seconds()
        if self._expiry is None:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        self._expiry = None
        longest = self.clock.seconds() - IDLE_SECONDS
        for key, connections in list(self.idle.items()):
            kept = [c for c in connections if c.relay_idle_since > longest and c.state == "QUIESCENT"]
            for connection in connections:
                if connection not in kept:
                    connection.transport.loseConnection()
            if kept:
                self.idle[key] = kept
            else:
                del self.idle[key]
        if self.idle:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_idle)

    def closeCachedConnections(self) -> "Deferred[None]":
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        closed: Deferred[None] = super().closeCachedConnections()
        return closed
