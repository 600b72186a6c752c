"""Makes endpoints for URLs that customers chose: they check the addresses, and set TLS up.

An endpoint resolves the name, checks each address, and connects to an address that passed the check. It doesn't resolve
the name a second time, so a name that changes its address a moment later (DNS rebinding) can't mislead it.
"""

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from relay.config.tls_config import NotificationTls
from relay.config.urls import address_problem
from relay.runtime.client_tls import ClientTlsEndpoint, TlsProblem
from relay.runtime.private_parts import AsciiHostEndpoint
from relay.values.work_gate import ALWAYS_OPEN, WorkGate

CONNECT_SECONDS: Final = 5.0


class AddressRefused(ConnectError):
    """A name resolved to addresses that this account may not reach."""

    def __init__(self, problem: str) -> None:
        super().__init__(string=problem)
        self.problem = problem


class GateShut(ConnectError):
    """The relay may not send any more. It was allowed when the connection was begun."""


class CertificateUnusable(ConnectError):
    """The relay can't use an account's certificate or key; the log says which one, and why."""


@implementer(IAgentEndpointFactory)
class CheckedEndpoints:
    """Makes endpoints that check the addresses before they connect.

    :param allow_private: True: the endpoints check no address.
    :param policy: the policy for TLS; if it is None, the relay trusts the system's authorities.
    :param files: the account's files for TLS; they replace `policy`.
    :param gate: whether requests may be sent. It is asked when the connection is there, and with TLS again after the
        handshake. Only connections of `relay.webhooks.connection_pool` can wait for that.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        allow_private: bool,
        policy: IPolicyForHTTPS | None = None,
        files: NotificationTls | None = None,
        gate: WorkGate = ALWAYS_OPEN,
    ) -> None:
        self._gate = gate
        self._reactor = reactor
        self._allow_private = allow_private
        self._policy = policy or BrowserLikePolicyForHTTPS()
        self._files = files

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint = _CheckedEndpoint(self._reactor, uri.host.decode("ascii"), uri.port, self._allow_private, self._gate)
        if uri.scheme != b"https":
            return endpoint
        over_tls = self._over_tls(uri, endpoint)
        return over_tls if self._gate is ALWAYS_OPEN else _AfterHandshake(over_tls, self._gate)

    def _over_tls(self, uri: URI, endpoint: "_CheckedEndpoint") -> IStreamClientEndpoint:
        # Certificates and the TLS handshake name hosts without the dot at the end (RFC 6066 section 3).
        host = uri.host.removesuffix(b".")
        files = self._files
        if files is None:
            return wrapClientTLS(self._policy.creatorForNetloc(host, uri.port), endpoint)
        return _CertifiedEndpoint(endpoint, host.decode("ascii"), files.ca_file, files.certificate_file, files.key_file)


def _if_open(gate: WorkGate, protocol: Any) -> IProtocol:
    """Refuses a new connection if the process was paused meanwhile, and another relay may send the request now."""
    if not gate.open:
        protocol.transport.abortConnection()
        raise GateShut()
    connected: IProtocol = protocol
    return connected


@implementer(IStreamClientEndpoint)
class _AfterHandshake:
    """Connects with TLS, and asks the gate once more when the handshake is done.

    Otherwise the request would wait in TLS's buffer. If the process were paused then, it would leave afterwards.
    """

    def __init__(self, below: IStreamClientEndpoint, gate: WorkGate) -> None:
        self._below = below
        self._gate = gate

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        connecting: Deferred[Any] = self._below.connect(protocolFactory)
        return connecting.addCallback(self._shake_hands)

    def _shake_hands(self, protocol: Any) -> "Deferred[IProtocol]":
        done: Deferred[None] = protocol.handshake_done()
        return done.addCallback(lambda _: _if_open(self._gate, protocol))


class _CertifiedEndpoint(ClientTlsEndpoint):
    """Connects with an account's TLS files, and logs if the relay can't use them.

    The log is for the operator: the customer doesn't see these files.
    """

    log = Logger()

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        return super().connect(protocolFactory).addErrback(self._report)

    def _report(self, failure: Failure) -> Failure:
        if failure.check(TlsProblem) or (failure.check(OSError) and getattr(failure.value, "filename", None)):
            self.log.warn(
                "webhook_tls_files: a notification can't be sent: {problem}; see notification_tls of the account",
                problem=failure.value,
            )
            return Failure(CertificateUnusable())
        return failure


@implementer(IStreamClientEndpoint)
class _CheckedEndpoint:
    """Connects to a host, but only to addresses that the account may reach."""

    def __init__(self, reactor: Any, host: str, port: int, allow_private: bool, gate: WorkGate) -> None:
        self._gate = gate
        self._reactor = reactor
        self._host = host.strip("[]")
        self._port = port
        self._allow_private = allow_private

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        connecting = self._connect(protocolFactory)
        return connecting if self._gate is ALWAYS_OPEN else connecting.addCallback(self._if_open)

    def _if_open(self, protocol: Any) -> IProtocol:
        return _if_open(self._gate, protocol)

    def _connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        if self._allow_private:
            return AsciiHostEndpoint(self._reactor, self._host, self._port, CONNECT_SECONDS).connect(protocolFactory)
        checking = _CheckingReactor(self._reactor)
        connecting = AsciiHostEndpoint(checking, self._host, self._port, CONNECT_SECONDS).connect(protocolFactory)

        def name_the_problem(failure: Failure) -> Failure:
            problem = checking.nameResolver.problem
            return Failure(AddressRefused(problem)) if problem and failure.check(DNSLookupError) else failure

        return connecting.addErrback(name_the_problem)


@implementer(IReactorPluggableNameResolver)
class _CheckingReactor:
    """Stands in for the reactor during one connection: names resolve only to addresses that are allowed."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.nameResolver = _CheckingResolver(reactor.nameResolver)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError("only for one connection")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver)
class _CheckingResolver:
    """Resolves names, leaves out addresses that are not allowed, and remembers why.

    :ivar problem: why the last address was left out; "" if none was.
    """

    def __init__(self, resolver: IHostnameResolver) -> None:
        self._resolver = resolver
        self.problem = ""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        receiver = _CheckingReceiver(self, resolutionReceiver)
        return self._resolver.resolveHostName(
            receiver,
            hostName,
            portNumber,
            addressTypes,
            transportSemantics,
        )


@implementer(IResolutionReceiver)
class _CheckingReceiver:
    """Passes the allowed addresses of a name on to the real receiver."""

    def __init__(self, resolver: _CheckingResolver, receiver: IResolutionReceiver) -> None:
        self._resolver = resolver
        self._receiver = receiver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        problem = address_problem(address.host)
        if problem is None:
            self._receiver.addressResolved(address)
        else:
            self._resolver.problem = problem

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()
