"""Hypothesis strategies for tests of the codecs: arguments of `message_body`, streams and their cuts."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from relay.smpp.message_codec import encode_address, tlv
from relay.smpp.rules import header
from relay.values import smpp_constants as c

octet = st.integers(0, 255)
no_nul = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"x"))
digits = st.text("0123456789", min_size=0, max_size=20).map(str.encode)
addresses = st.builds(
    lambda source, destination: encode_address(*source) + encode_address(*destination),
    st.tuples(octet, octet, no_nul),
    st.tuples(octet, octet, no_nul),
)
times = st.sampled_from([b"", b"000001000000000R", b"250101120000000+", b"x"])
vendor_tlvs = st.lists(
    st.tuples(st.integers(1, 0xFFFF), st.binary(max_size=30)).map(lambda pair: tlv(*pair)), max_size=4
).map(b"".join)
#: Keyword arguments of `message_body`.
MessageFields = dict[str, Any]
message_fields: st.SearchStrategy[MessageFields] = st.fixed_dictionaries(
    {
        "addresses": addresses,
        "short_message": st.binary(max_size=254),
        "esm_class": octet,
        "protocol_id": octet,
        "priority_flag": octet,
        "schedule_delivery_time": times,
        "validity_period": times,
        "registered_delivery": octet,
        "replace_if_present_flag": octet,
        "data_coding": octet,
        "sm_default_msg_id": octet,
        "service_type": st.sampled_from([b"", b"CMT", b"WAP"]),
        "tlvs": vendor_tlvs,
    }
)
sequence_numbers = st.integers(1, 0x7FFFFFFF)
MESSAGE_COMMANDS = (c.SUBMIT_SM, c.DELIVER_SM, c.DATA_SM)


def frame(command_id: int, sequence_number: int, body: bytes = b"", command_status: int = 0) -> bytes:
    """One PDU as it stands on the wire."""
    return header.pack(16 + len(body), command_id, command_status, sequence_number) + body


def frames_in(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """A stream taken apart: (command_id, command_status, sequence_number, body) of each PDU, nothing left over."""
    found = []
    while data:
        length, command_id, command_status, sequence_number = header.unpack_from(data)
        assert 16 <= length <= len(data)
        found.append((command_id, command_status, sequence_number, data[16:length]))
        data = data[length:]
    return found


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these places (taken modulo its length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]
