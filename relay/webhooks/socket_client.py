"""Makes a treq client for a unix socket that the operator's configuration names."""

from typing import Any

from treq.client import HTTPClient
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from relay.webhooks.checked_endpoints import CONNECT_SECONDS
from relay.webhooks.connection_pool import ConnectionPool
from relay.webhooks.connections import PlainTreq, RememberingAgent


@implementer(IAgentEndpointFactory)
class _SocketEndpoints:
    """Makes endpoints that connect to a unix socket, whatever the URL says."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._path = path

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return UNIXClientEndpoint(self._reactor, self._path, timeout=CONNECT_SECONDS)


def socket_client(reactor: Any, path: str) -> HTTPClient:
    """Makes the client that sends all requests to a unix socket, over connections that it keeps.

    :param path: the socket's whole path. Only the configuration may name it.
    """
    return PlainTreq(RememberingAgent(reactor, _SocketEndpoints(reactor, path), ConnectionPool(reactor)))
