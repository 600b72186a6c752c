"""The session's state machine as tables: which request may come in which state, and how a refusal is written.

Theory of operation. A request of the peer is looked up in the table of our role. If it may come in the present state,
the session handles it. Otherwise `refusal_status` says why not. Another table says how the state changes; only binds
and unbinds change it. The sources are SMPP 3.4 section 2.2 and table 2-1, and for data_sm, where 3.4 is vague, table
2-2 of 5.0.
"""

import enum
from collections.abc import Mapping
from struct import Struct
from typing import Final

from relay.values import smpp_constants as c


class Role(enum.Enum):
    """Our end of the session: server or client."""

    SERVER = "server"
    CLIENT = "client"


class SessionState(enum.Enum):
    """The state of a session (SMPP 3.4 section 2.2)."""

    OPEN = "open"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBOUND = "unbound"
    CLOSED = "closed"


_TX: Final = frozenset({SessionState.BOUND_TX, SessionState.BOUND_TRX})
_RX: Final = frozenset({SessionState.BOUND_RX, SessionState.BOUND_TRX})
BOUND_STATES: Final = _TX | _RX
_OPEN: Final = frozenset({SessionState.OPEN})

#: The state of the session after each bind, at both ends.
STATE_AFTER_BIND: Final[Mapping[int, SessionState]] = {
    c.BIND_TRANSMITTER: SessionState.BOUND_TX,
    c.BIND_RECEIVER: SessionState.BOUND_RX,
    c.BIND_TRANSCEIVER: SessionState.BOUND_TRX,
}

#: The states in which our own requests may be sent.
SENDING_STATES: Final[Mapping[Role, frozenset[SessionState]]] = {Role.SERVER: _RX, Role.CLIENT: _TX}

#: The requests that we understand, and the states in which they may come. enquire_link may come before a bind, as in
#: 5.0, because load balancers send it.
EXPECTED: Final[Mapping[Role, Mapping[int, frozenset[SessionState]]]] = {
    Role.SERVER: {
        c.BIND_TRANSMITTER: _OPEN,
        c.BIND_RECEIVER: _OPEN,
        c.BIND_TRANSCEIVER: _OPEN,
        c.SUBMIT_SM: _TX,
        c.DATA_SM: _TX,
        c.SUBMIT_MULTI: _TX,
        c.QUERY_SM: _TX,
        c.CANCEL_SM: _TX,
        c.REPLACE_SM: _TX,
        c.UNBIND: BOUND_STATES,
        c.ENQUIRE_LINK: BOUND_STATES | _OPEN,
    },
    Role.CLIENT: {
        c.DELIVER_SM: _RX,
        c.DATA_SM: _RX,
        c.ALERT_NOTIFICATION: _RX,
        c.UNBIND: BOUND_STATES,
        c.ENQUIRE_LINK: BOUND_STATES | _OPEN,
    },
}

#: Nearly all requests that each role receives, and the response to those that it sends.
MESSAGE_REQUEST: Final[Mapping[Role, int]] = {Role.SERVER: c.SUBMIT_SM, Role.CLIENT: c.DELIVER_SM}
MESSAGE_RESPONSE: Final[Mapping[Role, int]] = {Role.SERVER: c.DELIVER_SM_RESP, Role.CLIENT: c.SUBMIT_SM_RESP}

_BROADCAST_SM: Final = 0x00000111
_QUERY_BROADCAST_SM: Final = 0x00000112
_CANCEL_BROADCAST_SM: Final = 0x00000113

#: The requests that have a response of their own in some version of SMPP. All others get a generic_nack.
_ANSWERABLE: Final = frozenset(
    {
        *c.BIND_COMMANDS,
        c.SUBMIT_SM,
        c.DELIVER_SM,
        c.DATA_SM,
        c.QUERY_SM,
        c.CANCEL_SM,
        c.REPLACE_SM,
        c.SUBMIT_MULTI,
        c.UNBIND,
        c.ENQUIRE_LINK,
        _BROADCAST_SM,
        _QUERY_BROADCAST_SM,
        _CANCEL_BROADCAST_SM,
    }
)

#: The requests whose responses have a message_id even with an error. (4.6.2 and 4.7.2 have no exception as in 4.4.2.)
_BODY_WITH_ERROR: Final = frozenset({c.DELIVER_SM, c.DATA_SM})

header: Final = Struct(">IIII")
HEADER_OCTETS: Final = 16


def refusal_status(role: Role, state: SessionState, command_id: int) -> int:
    """The command_status that says why a request may not come now."""
    states = EXPECTED[role].get(command_id)
    if states is None:
        if command_id in _ANSWERABLE and state is SessionState.OPEN:
            return c.ESME_RINVBNDSTS
        return c.ESME_RINVCMDID
    if command_id in c.BIND_COMMANDS and state in BOUND_STATES:
        return c.ESME_RALYBND
    return c.ESME_RINVBNDSTS


def refusal(command_id: int, command_status: int, sequence_number: int) -> bytes:
    """Writes the PDU that refuses a request: its own response, or a generic_nack if it has none."""
    if command_id not in _ANSWERABLE:
        return header.pack(HEADER_OCTETS, c.GENERIC_NACK, command_status, sequence_number)
    response_id = command_id | c.RESPONSE_BIT
    if command_id in _BODY_WITH_ERROR:
        return header.pack(HEADER_OCTETS + 1, response_id, command_status, sequence_number) + b"\0"
    return header.pack(HEADER_OCTETS, response_id, command_status, sequence_number)
