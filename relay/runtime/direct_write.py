"""Writes to a socket at once, instead of in the reactor's next turn.

Twisted's `transport.write` keeps the data, makes the reactor watch the socket for room, and sends in the next turn.
That takes two more system calls and one more dispatch (25 µs). With TLS, Twisted also waits for the next turn before it
encrypts. If no earlier data waits, the data can be sent at once. Twisted sends the rest if the socket takes only a
part.
"""

from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.tcp import Connection
from twisted.protocols.tls import BufferingTLSTransport

from relay.runtime.private_parts import tls_waits, waits_to_be_sent

#: The most octets in one TLS record, and the most that its encryption adds (RFC 8446 section 5.2).
_RECORD_BYTES: Final = 16_384
_OVERHEAD_BYTES: Final = 256


def write_at_once(transport: Any, data: bytes) -> None:
    """Does what `transport.write(data)` does, and keeps the order of all writes."""
    if isinstance(transport, Connection):
        if (
            not transport.TLS
            and transport.connected
            and not transport.disconnecting
            and not waits_to_be_sent(transport)
        ):
            sent = transport.writeSomeData(data)
            # Otherwise it is an error. The write below gets the same error, and Twisted handles it.
            if isinstance(sent, int):
                if sent == len(data):
                    return
                data = data[sent:]
    elif isinstance(transport, BufferingTLSTransport) and _encrypted(transport, data):
        return
    transport.write(data)


def _encrypted(transport: BufferingTLSTransport, data: bytes) -> bool:
    """Encrypts the data as one TLS record, and writes it. False: nothing was written, and Twisted must do it."""
    if not 0 < len(data) <= _RECORD_BYTES or transport.disconnecting or tls_waits(transport):
        return False
    session = transport.getHandle()
    try:
        sent = session.send(data)
    except SSL.Error:
        # Twisted's write gets the same error, and handles it.
        return False
    write_at_once(transport.transport, session.bio_read(_RECORD_BYTES + _OVERHEAD_BYTES))
    if sent < len(data):
        transport.write(data[sent:])
    return True
