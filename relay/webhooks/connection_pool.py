"""Keeps connections to customers' receivers, and reads answers from them.

An answer counts as soon as its status has come. The relay closes a connection and never uses it again in two cases: the
answer's head breaks a rule (`relay.webhooks.answer_head`), or more octets come than the head announced. The relay could
take these octets for the answer to another request.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, ISSLTransport, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import SWITCHING as SWITCHING_PROTOCOLS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from relay.runtime.direct_write import write_at_once
from relay.runtime.private_parts import ClientConnection, ClientFactory, ClientPool, ClientRequest
from relay.webhooks.answer import Answer
from relay.webhooks.answer_head import END_OF_HEAD, read_head, status_of_head
from relay.webhooks.whole_answer import read_whole

#: The relay reads no more octets of one answer than this: head and body together.
ANSWER_BYTES: Final = 262_144

#: How many idle connections to one host the relay keeps, and for how long. Most servers keep theirs longer.
IDLE_CONNECTIONS: Final = 32
IDLE_SECONDS: Final = 45
SWEEP_SECONDS: Final = 5


@implementer(IHandshakeListener)
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
    #: Waits for the first octets of the answer to `ask`.
    _relay_asked: "Deferred[Answer | IResponse | None] | None" = None
    #: The response that Twisted reads, to a request that was sent by `ask`.
    _relay_response: "Deferred[IResponse] | None" = None
    _relay_pool: "ConnectionPool"
    _relay_key: Any
    _relay_method = b""
    #: Waits for the end of the TLS handshake.
    _relay_handshake: "Deferred[None] | None" = None

    def connectionMade(self) -> None:
        super().connectionMade()
        transport: Any = self.transport
        if ISSLTransport.providedBy(transport):
            # TLS waits for the receiver's close_notify. A receiver that never sends it would keep the connection open.
            transport.loseConnection = transport.abortConnection  # type: ignore[method-assign]

    def handshakeCompleted(self) -> None:
        waiting, self._relay_handshake = self._relay_handshake, None
        if waiting is not None:
            waiting.callback(None)

    def handshake_done(self) -> "Deferred[None]":
        """Waits until the TLS handshake of this new connection is done. It fails if the connection is lost before.

        A request that is written before that waits in TLS's buffer.
        """
        transport: Any = self.transport
        self._relay_handshake = Deferred(lambda _: transport.abortConnection())
        return self._relay_handshake

    def request(self, request: Any) -> "Deferred[IResponse]":
        self.relay_requests += 1
        self.relay_read = 0
        self._relay_head = b""
        return super().request(request)

    def ask(
        self, octets: bytes, method: bytes, pool: "ConnectionPool", key: Any
    ) -> "Deferred[Answer | IResponse | None]":
        """Sends a request over this connection, which was idle, and reads the answer without Twisted if it is plain.

        If the answer isn't plain, or doesn't come in one piece, the connection goes on as if the request had been made
        with `request`.

        :param octets: the whole request; `method` is its method.
        :param pool: keeps the connection after the answer, under `key`.
        :return: fires with the answer, if it is plain; with a response, if it isn't; and with None if the server has
            closed the connection without any answer. It may have done so just before the request came.
        """
        self.relay_requests += 1
        self.relay_read = 0
        self._relay_pool, self._relay_key, self._relay_method = pool, key, method
        asked: Deferred[Answer | IResponse | None] = Deferred(self._relay_cancel)
        self._relay_asked = asked
        write_at_once(self.transport, octets)
        return asked

    def _relay_cancel(self, asked: "Deferred[Answer | IResponse | None]") -> None:
        if self._relay_asked is asked:
            self._relay_asked = None
            self.relay_keeps = False
            transport: Any = self.transport
            transport.abortConnection()
        elif self._relay_response is not None:
            self._relay_response.cancel()

    def _relay_answered(self, asked: "Deferred[Answer | IResponse | None]", data: bytes) -> None:
        """Takes the first octets of the answer to `ask`."""
        self._relay_asked = None
        answer = read_whole(data)
        if answer is not None:
            self._relay_pool.keep(self._relay_key, self)
            asked.callback(answer)
            return
        self.relay_requests -= 1
        self._relay_response = response = self.request(_SentRequest(self._relay_method))
        response.addCallbacks(asked.callback, asked.errback)
        self.dataReceived(data)

    def dataReceived(self, data: bytes) -> None:
        if self._relay_asked is not None:
            self._relay_answered(self._relay_asked, data)
            return
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
        handshake, self._relay_handshake = self._relay_handshake, None
        if handshake is not None:
            handshake.errback(reason)
        asked, self._relay_asked = self._relay_asked, None
        if asked is not None:
            if reason.check(ConnectionClosed):
                asked.callback(None)
            else:
                asked.errback(reason)
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


class _SentRequest(ClientRequest):
    """A request that has been written already. Twisted reads only the response to it."""

    def __init__(self, method: bytes) -> None:
        super().__init__(method, b"/", Headers({b"Host": [b""]}), None, persistent=True)

    def writeTo(self, transport: Any) -> "Deferred[None]":
        return succeed(None)


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
        connection = self.take_idle(key)
        return self.connect(key, endpoint) if connection is None else succeed(connection)

    def take_idle(self, key: Any) -> PooledConnection | None:
        """Takes the connection that became idle last. None: no connection is idle."""
        connections = self.idle.get(key)
        while connections:
            connection: PooledConnection = connections.pop()
            if connection.state == "QUIESCENT" and connection.relay_keeps:
                return connection
        return None

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
