"""The listeners: the ports on which the relay takes connections."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from relay.app.tls import ServerCertificate, TlsServerEndpoint, server_endpoint
from relay.http.forwarded import TrustedProxies


class StartFailure(Exception):
    """The daemon can't start. The text says why, and what to do."""


#: A configuration key, the endpoints that it names, and what is served there.
Served = tuple[str, Sequence[str], IProtocolFactory]


class Listeners:
    """Opens the ports that the configuration names, and closes them together."""

    log = Logger()

    def __init__(self, reactor: Any, proxies: TrustedProxies) -> None:
        #: The certificates of the TLS listeners, by configuration key.
        self.certificates: list[tuple[str, ServerCertificate]] = []
        self._ports: list[tuple[str, IListeningPort]] = []
        self._reactor = reactor
        self._proxies = proxies

    @property
    def addresses(self) -> list[str]:
        """The addresses on which the relay listens, each with its configuration key."""
        return [f"{key} {_address(port)}" for key, port in self._ports]

    def port_of(self, key: str) -> int:
        """The port of the first listener of a configuration key; 0: there is none, or not yet."""
        host: Any = next((port.getHost() for name, port in self._ports if name == key), None)
        return getattr(host, "port", 0)

    async def open(self, key: str, descriptions: Sequence[str], factory: IProtocolFactory) -> None:
        """Listens on each of these endpoints.

        :param key: the configuration key that names them.
        :raises StartFailure: one of them can't be used, or is in use.
        """
        for description in descriptions:
            port = await self.open_one(key, description, factory)
            self._ports.append((key, port))
            self.log.info("relay_listening: {key} on {address}", key=key, address=_address(port))

    async def open_one(self, key: str, description: str, factory: IProtocolFactory) -> IListeningPort:
        """Listens on one endpoint. Whoever calls this closes the port (`close_port`).

        :raises StartFailure: it can't be used, or is in use.
        """
        try:
            endpoint = server_endpoint(self._reactor, description, self._proxies.trusts)
        except (ValueError, TypeError, OSError) as problem:
            raise StartFailure(f"{key}: {description!r} can't be used: {problem}") from None
        if isinstance(endpoint, TlsServerEndpoint):
            self.certificates.append((key, endpoint.certificate))
        try:
            port: IListeningPort = await endpoint.listen(factory)
        except Exception as problem:
            raise StartFailure(f"{key}: can't listen on {description!r}: {problem}") from problem
        return port

    async def close(self) -> None:
        """Closes all ports that `open` has opened. Connections stay open."""
        await DeferredList([close_port(port) for _, port in self._ports], consumeErrors=True)


def _address(port: IListeningPort) -> str:
    host: Any = port.getHost()
    return f"{host.host}:{host.port}" if hasattr(host, "port") else str(host)


def close_port(port: IListeningPort) -> "Deferred[None]":
    """Ends listening on a port. Fires when nothing listens there any more."""
    stopped = port.stopListening()
    if isinstance(stopped, Deferred):
        return stopped
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done
