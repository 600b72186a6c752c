"""The rows of the table, one for each message, and the customers' accounts.

On a busy day a million messages wait, so a row must be small. Everything that several rows have in common is a shared
object (see `relay.store.table.entry_values`). An `Origin` says who submitted a message, and what was asked for.

The garbage collector tracks none of these. So none may be part of a lasting cycle. A row refers to its origin, whose
queues have rows only while a notification is owed.
"""

from typing import Final

import msgspec

from relay.store.table.account_lists import AccountLists
from relay.store.table.entry_values import (
    FINAL,
    NOTHING_LEARNT,
    OWED_SMPP,
    Acceptance,
    CarrierHandoff,
    LatestState,
    Part,
    RareFields,
    Round,
)
from relay.store.table.notification_queues import NotificationQueue, NotificationQueues
from relay.values.charge import Charge
from relay.values.inbound import INBOUND
from relay.values.notifications import Channel, QueueKey
from relay.values.smpp_constants import REGISTERED_DELIVERY_FINAL, REGISTERED_DELIVERY_INTERMEDIATE
from relay.values.states import DELIVERED

#: States are 0 to 9.
STATES = 10
#: How many origins of an account are kept: 256 values of registered_delivery, two interfaces, four priorities, three of
#: `adapt`; and these for each price that a message of the account has had.
_OVER_SMPP: Final = 256
_A_PRIORITY: Final = 512
_ADAPTED: Final = 2048
_FROM_HANDSETS: Final = -1


def smpp_owed_by_state(registered_delivery: int) -> tuple[int, ...]:
    """For each final state: OWED_SMPP if `registered_delivery` asks for a receipt (SMPP 3.4 section 5.2.17), else 0."""
    query_outcomes = registered_delivery & 3
    if query_outcomes == 0:
        return (0,) * STATES
    if query_outcomes == REGISTERED_DELIVERY_FINAL:
        return (OWED_SMPP,) * STATES
    on_success = query_outcomes == 3
    return tuple(OWED_SMPP if (state == DELIVERED) is on_success else 0 for state in range(STATES))


class Origin(msgspec.Struct, frozen=True, gc=False, eq=False):
    """The account that submitted a message, the interface, and what was asked for; and values computed from these.

    :ivar priority: as in `Message`; likewise `adapt` and `charge`.
    :ivar smpp_owed: for each final state, OWED_SMPP or 0.
    :ivar smpp_intermediate: OWED_SMPP if intermediate states were asked for (registered_delivery 0x10), else 0.
    """

    account: "TableAccount"
    interface: str
    registered_delivery: int
    priority: int
    smpp_owed: tuple[int, ...]
    smpp_intermediate: int
    smpp_queue: "NotificationQueue[Row]"
    webhook_queue: "NotificationQueue[Row]"
    adapt: int
    charge: Charge | None


class Row(msgspec.Struct, gc=False, eq=False):
    """One message in the table.

    :ivar handoff: the only part's. For a long message it is `parts.latest_handoff` when all parts are taken.
    :ivar carrier_message_id: the carrier's id of the only part.
    :ivar cursor: the place in the account's feed; 0 until the message has ended.
    """

    id: bytes
    origin: Origin
    addresses: bytes
    acceptance: Acceptance
    latest: LatestState = NOTHING_LEARNT
    flags: int = 0
    handoff: CarrierHandoff | None = None
    carrier_message_id: bytes = b""
    cursor: int = 0
    rare_fields: RareFields | None = None


class PartOfRow(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One part of a message. A carrier message id leads to it if the message has several parts, or was sent again.

    :ivar round: the round in which the carrier took the part, counted from 0. It is the present one if the message has
        so many earlier rounds.
    """

    row: Row
    part: int
    round: int = 0


class TableAccount(AccountLists["Row"]):
    """One customer's account in the table: its lists of messages, and the origins of its messages."""

    __slots__ = ("_origins", "_origins_of_logins", "_queues")

    def __init__(self, name: str, queues: "NotificationQueues[Row]") -> None:
        super().__init__(name)
        self._queues = queues
        self._origins: dict[int | tuple[int, Charge], Origin] = {}
        #: The same for messages of an account's other SMPP logins, by the name of the login.
        self._origins_of_logins: dict[str, dict[int | tuple[int, Charge], Origin]] = {}

    def origin(
        self,
        interface: str,
        registered_delivery: int,
        priority: int,
        adapt: int,
        charge: Charge | None = None,
        login: str = "",
    ) -> Origin:
        """The origin that all messages with these values share."""
        origins = self._origins_of_logins.setdefault(login, {}) if login else self._origins
        key = registered_delivery + _OVER_SMPP if interface == "smpp" else registered_delivery
        if interface == INBOUND:
            key = _FROM_HANDSETS
        if priority:
            key += priority * _A_PRIORITY
        if adapt:
            key += adapt * _ADAPTED
        whole_key = key if charge is None else (key, charge)
        origin = origins.get(whole_key)
        if origin is None:
            intermediate = bool(registered_delivery & REGISTERED_DELIVERY_INTERMEDIATE)
            origin = origins[whole_key] = Origin(
                self,
                interface,
                registered_delivery,
                priority,
                smpp_owed_by_state(registered_delivery),
                OWED_SMPP if intermediate else 0,
                self._queues.queue(QueueKey(self.name, Channel.SMPP, login)),
                self._queues.queue(QueueKey(self.name, Channel.WEBHOOK)),
                adapt,
                charge,
            )
        return origin


def parts_of(row: Row) -> list[Part] | None:
    """The parts of a long message; None for a message of one part."""
    rare_fields = row.rare_fields
    return None if rare_fields is None else rare_fields.parts


def rounds_of(row: Row) -> list[Round]:
    """The earlier rounds of a message that went to another carrier; empty for others."""
    rare_fields = row.rare_fields
    return [] if rare_fields is None or rare_fields.failover is None else rare_fields.failover.rounds


def part_of(entry: PartOfRow) -> Part | None:
    """The part that an id leads to; None: it is the present part of a message of one part, so the row has it."""
    rounds = rounds_of(entry.row)
    if entry.round < len(rounds):
        return rounds[entry.round].parts[entry.part]
    parts = parts_of(entry.row)
    return None if parts is None else parts[entry.part]


def is_unsubmitted(row: Row) -> bool:
    """Whether some part of the message waits for a carrier."""
    return row.handoff is None and not row.flags & FINAL
