"""Receipts that carriers, gateways and other projects' tests really sent: tests/data/corpus.jsonl as PDUs.

Each line of the file has the content of one receipt, and what must be read from it. `needs` names the dialect option
without which the relay need not read it so. See `Line`.
"""

import json
from pathlib import Path
from typing import Any

from relay.config.carrier_config import Dialect
from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu
from tests.smpp.bodies import data_body

_TAGS = {
    "source_network_type": 0x000E,
    "dest_network_type": 0x0006,
    "receipted_message_id": c.TAG_RECEIPTED_MESSAGE_ID,
    "message_state": c.TAG_MESSAGE_STATE,
    "network_error_code": c.TAG_NETWORK_ERROR_CODE,
}
_ADDRESSES = encode_address(1, 1, b"447700900001") + encode_address(5, 0, b"ACME")

#: What sets each `needs`. Those without a setting are read anyhow.
DIALECTS = {
    "bare status word": Dialect(),
    "text: first": Dialect(fields_after_text=True),
    "per-carrier status map (stat:0)": Dialect(states={"0": "DELIVRD"}),
    "look past an empty text: for keys not yet seen": Dialect(fields_after_text=True),
    "carrier option: receipts not marked in esm_class": Dialect(unmarked_receipts=True),
    "per-carrier parser (CSV)": Dialect(preset="vodafone-uk-csv"),
    "data_coding 8 decoded first": Dialect(),
    "octet-safe ids": Dialect(),
}


class Line:
    """One receipt of the corpus.

    :ivar number: the line's `n`.
    :ivar pdu: as it comes off the wire.
    :ivar expect: what is to be read, see the file.
    :ivar dialect: the carrier's, where the line needs one.
    :ivar response_id: what the submit_sm_resp said, where that is known.
    """

    def __init__(self, row: dict[str, Any]) -> None:
        self.number: int = row["n"]
        self.expect: dict[str, Any] = row["expect"]
        self.needs: str = row.get("needs", "")
        self.dialect = DIALECTS[self.needs] if self.needs else Dialect()
        self.response_id: str | None = row.get("resp_id")
        self.pdu = _captured(row["raw_pdu_hex"]) if "raw_pdu_hex" in row else _built(row)

    def __repr__(self) -> str:
        return f"corpus line n={self.number}"


def _captured(hexadecimal: str) -> MessagePdu:
    octets = bytes.fromhex(hexadecimal)
    return decode_message(int.from_bytes(octets[4:8]), int.from_bytes(octets[12:16]), octets[16:])


def _built(row: dict[str, Any]) -> MessagePdu:
    text = (row["text"] or "").encode("latin-1")
    tlvs = b""
    for name, value in row["tlvs"].items():
        if name == "message_payload_too":
            tlvs += tlv(c.TAG_MESSAGE_PAYLOAD, text)
            continue
        tag = _TAGS[name] if name in _TAGS else int(name, 16)
        if isinstance(value, int):
            octets = bytes((value,))
        elif value.startswith("hex:"):
            octets = bytes.fromhex(value[4:])
        else:
            octets = value.encode("latin-1")
        tlvs += tlv(tag, octets)
    in_payload = row["text_in"] == "message_payload"
    if in_payload:
        tlvs = tlv(c.TAG_MESSAGE_PAYLOAD, text) + tlvs
        text = b""
    data_coding = 8 if row.get("needs") == "data_coding 8 decoded first" else 0
    if row["pdu"] == "data_sm":
        body = data_body(addresses=_ADDRESSES, esm_class=row["esm_class"], data_coding=data_coding, tlvs=tlvs)
        return decode_message(c.DATA_SM, 1, body)
    body = message_body(
        addresses=_ADDRESSES, short_message=text, esm_class=row["esm_class"], data_coding=data_coding, tlvs=tlvs
    )
    return decode_message(c.DELIVER_SM, 1, body)


def read_corpus() -> list[Line]:
    """Every line."""
    path = Path(__file__).parent.parent / "data" / "corpus.jsonl"
    return [Line(json.loads(line)) for line in path.read_text().splitlines()]
