"""Knows which sessions of one carrier are bound, and logs why others are not.

Theory of operation: a session takes messages, or brings receipts, or both. If a session can't be bound, its keeper
tries again and again. The reason is logged once, and again only if it changes or the session was bound meanwhile.
"""

from collections.abc import Sequence
from typing import Final

from twisted.logger import Logger

from relay.carriers.session_api import CarrierSession
from relay.config.carrier_config import Carrier
from relay.values import smpp_constants as c
from relay.values.counters import CarrierCounters

#: What carriers answer to a bind_transceiver that they do not know or do not allow.
_TRANSCEIVER_REFUSED: Final = frozenset({c.ESME_RINVCMDID, c.ESME_RINVBNDSTS, c.ESME_RBINDFAIL})


class CarrierSessions:
    """Knows which sessions of a carrier are bound. It belongs to one `CarrierLink`, and only that calls it.

    :param wanted_count: how many sessions the configuration asks for.

    :ivar senders: the bound sessions that take messages. It is always the same list, so that others may keep it.
    :ivar receivers: the bound sessions over which receipts come.
    """

    log = Logger()

    def __init__(self, name: str, settings: Carrier, wanted_count: int, counters: CarrierCounters) -> None:
        self._name = name
        self._settings = settings
        self._wanted_count = wanted_count
        self._counters = counters
        self.senders: list[CarrierSession] = []
        self.receivers: list[CarrierSession] = []
        self._unreachable_for = ""
        self._closing = False

    @property
    def bound(self) -> Sequence[CarrierSession]:
        """The sessions that are bound now."""
        return [*self.senders, *(session for session in self.receivers if session not in self.senders)]

    def add(self, session: CarrierSession) -> None:
        """Adds a session whose bind the carrier has accepted."""
        self._counters.binds += 1
        self._unreachable_for = ""
        if session.brings_receipts:
            self.receivers.append(session)
        if session.takes_messages:
            self.senders.append(session)
        self.log.info("carrier_bound: {carrier} is bound ({bound} of {wanted})", carrier=self._name,
                      bound=len(self.bound), wanted=self._wanted_count)  # fmt: skip

    def refused(self, command_status: int) -> None:
        """Notes that the carrier refused a bind."""
        self._counters.bind_failures += 1
        transceiver = self._settings.kind not in ("http", "api") and self._settings.bind == "transceiver"
        advice = ""
        if transceiver and command_status in _TRANSCEIVER_REFUSED:
            advice = "; if the carrier takes no bind_transceiver, set bind: transmitter+receiver"
        self._counters.last_error = f"bind refused: {c.status_name(command_status)}{advice}"
        self.log.warn("carrier_bind_refused: {carrier} refused the bind with {status}{advice}", carrier=self._name,
                      status=c.status_name(command_status), advice=advice)  # fmt: skip

    def unreachable(self, reason: str) -> None:
        """Notes that no connection could be made, or that it ended before the bind."""
        if reason != self._unreachable_for and not self._closing:
            self._unreachable_for = self._counters.last_error = reason
            self.log.warn("carrier_unreachable: no connection to {carrier}: {reason}. The relay goes on trying",
                          carrier=self._name, reason=reason)  # fmt: skip

    def remove(self, session: CarrierSession, reason: str) -> None:
        """Removes a bound session that has ended."""
        for sessions in (self.senders, self.receivers):
            if session in sessions:
                sessions.remove(session)
        self._counters.lost += 1
        self._counters.last_error = reason
        self.log.warn("carrier_lost: a connection to {carrier} ended: {reason}", carrier=self._name, reason=reason)

    def close(self) -> None:
        """Tells that the link is being stopped. From now on, sessions that aren't bound are not logged."""
        self._closing = True
