"""The sessions of one carrier: which of those that are wanted are bound, and what is said of the others.

Theory of operation: a session sends, or receives, or both, as its bind says. What keeps a bind from being made is tried
again and again (`relay.carriers.binds`) and said once: until it is made, or the reason is another one.
"""

from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger

from relay.smpp.client import SmppClientProtocol
from relay.values import smpp_constants as c
from relay.values.counters import CarrierCounters


class CarrierSessions:
    """See the module's text. Belongs to one `CarrierLink`, which alone calls.

    :param binds: what keeps the sessions alive, one each, with the `request` that their protocols carry.

    :ivar senders: bound sessions that take submit_sm; the same list for ever, for whoever looks at each batch.
    :ivar receivers: bound sessions over which receipts come.
    """

    log = Logger()

    def __init__(self, name: str, binds: Sequence[Any], counters: CarrierCounters) -> None:
        self._name = name
        self._binds = binds
        self._bind_of = {bind.request: bind for bind in binds}
        self._counters = counters
        self.senders: list[SmppClientProtocol] = []
        self.receivers: list[SmppClientProtocol] = []
        self._refused: set[SmppClientProtocol] = set()
        self._unreachable_for = ""
        self._closing = False

    @property
    def bound(self) -> Sequence[SmppClientProtocol]:
        """Those that are bound now."""
        return list(dict.fromkeys([*self.senders, *self.receivers]))

    @property
    def wanted_count(self) -> int:
        """How many the configuration asks for."""
        return len(self._binds)

    def add(self, protocol: SmppClientProtocol) -> None:
        """The carrier accepted a bind."""
        bind = self._bind_of[protocol.request]
        bind.failures = 0
        self._counters.binds += 1
        self._unreachable_for = ""
        if bind.request.command_id != c.BIND_TRANSMITTER:
            self.receivers.append(protocol)
        if bind.request.command_id != c.BIND_RECEIVER:
            self.senders.append(protocol)
        self.log.info("carrier_bound: {carrier} is bound ({bound} of {wanted})", carrier=self._name,
                      bound=len(self.bound), wanted=self.wanted_count)  # fmt: skip

    def refused(self, protocol: SmppClientProtocol, command_status: int) -> None:
        """The carrier refused a bind; its connection is being closed."""
        self._bind_of[protocol.request].failures += 1
        self._counters.bind_failures += 1
        self._refused.add(protocol)
        self._counters.last_error = f"bind refused: {c.status_name(command_status)}"
        self.log.warn("carrier_bind_refused: {carrier} refused the bind with {status}", carrier=self._name,
                      status=c.status_name(command_status))  # fmt: skip

    def unreachable(self, reason: str) -> None:
        """No connection could be made."""
        if reason != self._unreachable_for and not self._closing:
            self._unreachable_for = self._counters.last_error = reason
            self.log.warn("carrier_unreachable: no connection to {carrier}: {reason}; tried again until there is one",
                          carrier=self._name, reason=reason)  # fmt: skip

    def remove(self, protocol: SmppClientProtocol, reason: str) -> bool:
        """A connection ended; true where it was bound."""
        was_bound = protocol in self.senders or protocol in self.receivers
        if protocol in self.senders:
            self.senders.remove(protocol)
        if protocol in self.receivers:
            self.receivers.remove(protocol)
        if was_bound:
            self._counters.lost += 1
            self._counters.last_error = reason
            self.log.warn("carrier_lost: a connection to {carrier} ended: {reason}", carrier=self._name, reason=reason)
        elif protocol in self._refused:
            self._refused.discard(protocol)
        else:
            self.unreachable(reason)
        return was_bound

    def close(self) -> None:
        """They are being ended: that they can't be made is no news any more."""
        self._closing = True
