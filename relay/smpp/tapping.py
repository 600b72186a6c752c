"""Gives an operator's trace a copy of what goes over an SMPP connection.

Theory of operation: while a connection is traced, three of its methods are replaced by ones that copy the octets and
then call the method. So a connection that nobody traces pays nothing: no test, no call.
"""

from collections.abc import Sequence
from typing import Final

from relay.smpp.connection import SessionProtocol
from relay.values.wire_tap import WireTap

_REPLACED: Final = ("dataReceived", "session_lost")


def begin_tap(protocol: SessionProtocol, tap: WireTap, what: str) -> None:
    """Gives `tap` what goes over a connection from now on. A second call replaces the first one's tap.

    :param what: what kind of connection it is, in a few words.
    """
    end_tap(protocol)
    name = tap.opened(what)
    session = protocol.session
    data_received, take_output, session_lost = protocol.dataReceived, session.take_output, protocol.session_lost
    if session.unfinished:
        # The rest of this PDU will come in the next read.
        tap.octets(name, session.unfinished, sent=False)

    def received(data: bytes) -> None:
        tap.octets(name, data, sent=False)
        data_received(data)

    def output() -> bytes:
        data = take_output()
        if data:
            tap.octets(name, data, sent=True)
        return data

    def lost(unanswered: Sequence[object], reason: str) -> None:
        tap.note(name, f"the connection ended: {reason}")
        session_lost(unanswered, reason)

    vars(protocol).update(dataReceived=received, session_lost=lost)
    vars(session).update(take_output=output)


def end_tap(protocol: SessionProtocol) -> None:
    """Ends what `begin_tap` has begun. Otherwise it does nothing."""
    for name in _REPLACED:
        vars(protocol).pop(name, None)
    vars(protocol.session).pop("take_output", None)
