"""Reads runs: consecutive PDUs of one command and one length, which are taken apart together.

Theory of operation. Requests that are sent together are often alike: receipts of one carrier, or one text to many
numbers. The first PDU of a run is read by `message_codec`. If all others have their fields at the same offsets, one
struct reads each field of the whole run, and no PDU costs a turn of a loop. Otherwise each is read alone. A property
test checks that both ways give the same PDUs.

Measured with submit_sm of 100 octets of text (CPython 3.11): 0.41 µs each in a run of 100, 0.81 µs in one of 10, 2.5 µs
in one of two; alone 0.72 to 0.83 µs. So only runs of `SHORTEST_RUN` are read together.
"""

from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Final, NamedTuple

from relay.smpp.message_codec import decode_message
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError, MessagePdu

#: Shorter runs are read faster PDU by PDU.
SHORTEST_RUN: Final = 16

_HEADER_OCTETS: Final = 16


class _Layout(NamedTuple):
    """Where the fields of a run are.

    :ivar constant: offsets of the octets that must be the same in all PDUs: the NULs, and sm_length.
    :ivar fields: reads the addresses, the flags and short_message.
    :ivar strings: reads the characters of both addresses.
    :ivar whole: reads sequence_number and the body.
    """

    constant: tuple[int, ...]
    fields: Struct
    strings: Struct
    whole: Struct


# To make a layout takes 1.3 µs, so a peer whose runs are all different gains nothing by that.
@lru_cache(maxsize=512)
def _layout(length: int, source: int, destination: int, short_message: int) -> _Layout:
    """The layout of PDUs of this length, with fields of these lengths."""
    addresses = source + destination + 6
    flags = _HEADER_OCTETS + 1 + addresses
    rest = length - flags - 10 - short_message
    constant = (
        _HEADER_OCTETS,
        _HEADER_OCTETS + 3 + source,
        flags - 1,
        flags + 3,
        flags + 4,
        flags + 9,
    )
    return _Layout(
        constant,
        Struct(f">{_HEADER_OCTETS + 1}x{addresses}sBBB2xBBB2x{short_message}s{rest}x"),
        Struct(f">{_HEADER_OCTETS + 3}x{source}s3x{destination}s{length - flags + 1}x"),
        Struct(f">12xI{length - _HEADER_OCTETS}s"),
    )


def end_of_run(data: bytes, at: int, length: int) -> int:
    """Where the run ends that begins at `at`: behind the last whole PDU with the same length and command.

    :param length: that of its first PDU, which is whole.
    """
    head = data[at : at + 8]
    end = at + length
    while data.startswith(head, end):
        end += length
    return end if end <= len(data) else end - length


def decode_run(command_id: int, data: bytes, at: int, end: int, length: int) -> list[MessagePdu] | None:
    """Reads a run of submit_sm or deliver_sm, as `decode_message` reads each.

    :return: None: read each alone, because they are not alike, or not usual.
    """
    try:
        first = decode_message(command_id, 0, data[at + _HEADER_OCTETS : at + length])
    except CodecError:
        return None
    if first.service_type or first.schedule_delivery_time or first.validity_period or command_id == c.DATA_SM:
        return None
    destination = len(first.destination)
    source = len(first.addresses) - destination - 6
    layout = _layout(length, source, destination, len(first.short_message))
    count = (end - at) // length
    for offset in layout.constant:
        if data[at + offset : end : length] != data[at + offset : at + offset + 1] * count:
            return None
    rows = memoryview(data)[at:end]
    sources, destinations = zip(*layout.strings.iter_unpack(rows), strict=True)
    if 0 in b"".join(sources) or 0 in b"".join(destinations):
        return None
    addresses, esm_class, protocol_id, priority, registered, replace, data_coding, texts = zip(
        *layout.fields.iter_unpack(rows), strict=True
    )
    numbers, bodies = zip(*layout.whole.iter_unpack(rows), strict=True)
    flags_at = first.registered_delivery_at
    return list(
        map(
            MessagePdu,
            repeat(command_id),
            numbers,
            bodies,
            addresses,
            destinations,
            esm_class,
            registered,
            repeat(flags_at),
            data_coding,
            texts,
            repeat(first.tlvs_at),
            protocol_id,
            priority,
            repeat(b""),
            repeat(b""),
            replace,
        )
    )
