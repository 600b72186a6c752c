"""Invented receipts of every known kind, so that the relay reads kinds and not single receipts.

The corpus (`test_receipts_corpus`) has receipts of real carriers. This table has similar ones: what is special about
each, the PDU, and what must be read: the first key, the state, whether it ends the message, and err.
"""

from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Dialect
from relay.receipts.reader import ReceiptReader
from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.values import smpp_constants as c
from relay.values import states as s
from relay.values.pdus import MessagePdu
from tests.smpp.bodies import data_body

ADDRESSES = encode_address(1, 1, b"447700900001") + encode_address(5, 0, b"ACME")
ID, STATE, CODE, PAYLOAD = (
    c.TAG_RECEIPTED_MESSAGE_ID,
    c.TAG_MESSAGE_STATE,
    c.TAG_NETWORK_ERROR_CODE,
    c.TAG_MESSAGE_PAYLOAD,
)
#: What nearly all have in the middle.
MIDDLE = b" sub:001 dlvrd:001 submit date:2609211413 done date:2609211414 "


def deliver_sm(text: bytes = b"", tlvs: bytes = b"", esm_class: int = 4, data_coding: int = 0) -> MessagePdu:
    body = message_body(
        addresses=ADDRESSES, short_message=text, esm_class=esm_class, data_coding=data_coding, tlvs=tlvs
    )
    return decode_message(c.DELIVER_SM, 1, body)


def data_sm(tlvs: bytes) -> MessagePdu:
    return decode_message(c.DATA_SM, 1, data_body(addresses=ADDRESSES, esm_class=4, tlvs=tlvs))


class Read(NamedTuple):
    """What must be read. No id: no key at all; no state: unreadable."""

    id: bytes
    state: int | None
    final: bool
    error: bytes


def delivered(error: bytes = b"000", id: bytes = b"a1") -> Read:
    return Read(id, s.DELIVERED, True, error)


def failed(state: int = s.UNDELIVERABLE, error: bytes = b"", id: bytes = b"a1") -> Read:
    return Read(id, state, True, error)


def on_its_way(state: int = s.ENROUTE, error: bytes = b"000", id: bytes = b"a1") -> Read:
    return Read(id, state, False, error)


#: Acknowledged, kept and shown, and nothing else.
UNREADABLE = Read(b"", None, False, b"")


def big(text: str) -> bytes:
    return text.encode("utf-16-be")


def little(text: str) -> bytes:
    return text.encode("utf-16-le")


CASES: list[tuple[Any, ...]] = [
    (
        "state first",
        deliver_sm(b"stat:DELIVRD err:000 id:a1 done date:2609211414 submit date:2609211413 dlvrd:001 sub:001"),
        delivered(b"000"),
    ),
    (
        "all capitals",
        deliver_sm(
            b"ID:A1 SUB:001 DLVRD:001 SUBMIT DATE:2609211413 DONE DATE:2609211414 STAT:UNDELIV ERR:011 TEXT:ID:9"
        ),
        failed(s.UNDELIVERABLE, b"011"),
    ),
    (
        "camel case",
        deliver_sm(b"Id:a1 Sub:001 Dlvrd:001 Submit Date:2609211413 Done Date:2609211414 Stat:Delivrd Err:000 Text:x"),
        delivered(b"000"),
    ),
    ("mixed junk case", deliver_sm(b"iD:a1 sTaT:exPIRed eRR:01"), failed(s.EXPIRED, b"01")),
    ("nuls between", deliver_sm((b"id:a1" + MIDDLE + b"stat:DELIVRD err:000").replace(b" ", b"\0")), delivered(b"000")),
    (
        "nuls between, dates kept",
        deliver_sm(
            b"id:a1\0sub:001\0dlvrd:001\0submit date:2609211413\0done date:2609211414\0stat:DELIVRD\0err:000\0text:"
        ),
        delivered(b"000"),
    ),
    (
        "commas",
        deliver_sm(b"id:a1,sub:001,dlvrd:001,submit date:2609211413,done date:2609211414,stat:DELIVRD,err:000,text:"),
        delivered(b"000"),
    ),
    ("comma blank", deliver_sm(b"id:a1, sub:001, stat:DELIVRD, err:000, text:hello, stat:UNDELIV"), delivered(b"000")),
    ("semicolons", deliver_sm(b"id:a1;stat:REJECTD;err:008;"), failed(s.REJECTED, b"008")),
    (
        "crlf",
        deliver_sm(b"id:a1\r\nsub:001\r\ndlvrd:001\r\ndone date:2609211414\r\nstat:DELIVRD\r\nerr:000\r\n"),
        delivered(b"000"),
    ),
    (
        "pipes",
        deliver_sm(b"id:a1|sub:001|dlvrd:001|submit date:2609211413|done date:2609211414|stat:DELIVRD|err:000|text:"),
        delivered(b"000"),
    ),
    ("pipes blanks", deliver_sm(b"id:a1 | stat:DELIVRD | err:000"), delivered(b"000")),
    ("ampersands", deliver_sm(b"id:a1&stat:DELIVRD&err:000"), delivered(b"000")),
    ("slashes", deliver_sm(b"id:a1/sub:001/stat:DELIVRD/err:000"), delivered(b"000")),
    ("nbsp", deliver_sm(b"id:a1\xa0stat:DELIVRD\xa0err:000"), delivered(b"000")),
    (
        "blank before colon",
        deliver_sm(b"id : a1 sub : 001 dlvrd : 001 done date : 2609211414 stat : DELIVRD err : 000 text : id : 9"),
        delivered(b"000"),
    ),
    (
        "underscored dates",
        deliver_sm(b"id:a1 sub:001 dlvrd:001 submit_date:2609211413 done_date:2609211414 stat:DELIVRD err:000"),
        delivered(b"000"),
    ),
    ("tabs", deliver_sm(b"id:\ta1\tstat:\tDELIVRD\terr:\t000"), delivered(b"000")),
    ("newline after key", deliver_sm(b"id:\na1\nstat:\nDELIVRD\nerr:\n000"), delivered(b"000")),
    ("no err", deliver_sm(b"id:a1" + MIDDLE + b"stat:DELIVRD text:"), delivered(b"")),
    ("empty err", deliver_sm(b"id:a1" + MIDDLE + b"stat:DELIVRD err: text:hi"), delivered(b"")),
    ("empty sub", deliver_sm(b"id:a1 sub: dlvrd: submit date: done date: stat:EXPIRED err:"), failed(s.EXPIRED, b"")),
    ("only id stat", deliver_sm(b"id:a1 stat:DELETED"), failed(s.DELETED, b"")),
    ("repeated id", deliver_sm(b"id:a1 id:a2 stat:DELIVRD stat:UNDELIV err:000 err:1"), delivered(b"000")),
    ("first empty", deliver_sm(b"id: id:a1 stat: stat:DELIVRD err: err:000"), delivered(b"000")),
    (
        "vendor extras",
        deliver_sm(b"id:a1 mcc:234 mnc:15 sub:001 price:0.01 stat:DELIVRD cause:5 err:000 network:O2 text:"),
        delivered(b"000"),
    ),
    (
        "vendor id-like",
        deliver_sm(b"id:a1 msgid:z9 smsid:z8 ext_id:z7 stat:DELIVRD substat:BAD err:000 suberr:9"),
        delivered(b"000"),
    ),
    (
        "vendor id-like first",
        deliver_sm(b"msgid:z9 smsid:z8 ext_id:z7 id:a1 substat:BAD stat:DELIVRD err:000"),
        delivered(b"000"),
    ),
    ("glued junk", deliver_sm(b"447700900123#id:a1 sub:001 stat:DELIVRD err:000"), delivered(b"000")),
    ("glued letters", deliver_sm(b"SMSAlert^id:a1 stat:DELIVRD err:000"), delivered(b"000")),
    ("leading nul", deliver_sm(b"\0id:a1 stat:DELIVRD err:000"), delivered(b"000")),
    ("leading bom8", deliver_sm(b"\xef\xbb\xbfid:a1 stat:DELIVRD err:000"), delivered(b"000")),
    ("full DELIVERED", deliver_sm(b"id:a1" + MIDDLE + b"stat:DELIVERED err:000"), delivered(b"000")),
    ("full UNDELIVERABLE", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIVERABLE err:1"), failed(s.UNDELIVERABLE, b"1")),
    ("full UNDELIVERED", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIVERED err:1"), failed(s.UNDELIVERABLE, b"1")),
    ("full ACCEPTED", deliver_sm(b"id:a1" + MIDDLE + b"stat:ACCEPTED err:0"), on_its_way(s.ACCEPTED, b"0")),
    ("full REJECTED", deliver_sm(b"id:a1" + MIDDLE + b"stat:REJECTED err:0"), failed(s.REJECTED, b"0")),
    ("full ENROUTE", deliver_sm(b"id:a1" + MIDDLE + b"stat:ENROUTE err:0"), on_its_way(s.ENROUTE, b"0")),
    ("EN_ROUTE", deliver_sm(b"id:a1" + MIDDLE + b"stat:EN_ROUTE err:0"), on_its_way(s.ENROUTE, b"0")),
    ("BUFFERED", deliver_sm(b"id:a1" + MIDDLE + b"stat:BUFFERED err:0"), on_its_way(s.ENROUTE, b"0")),
    ("SCHEDULED", deliver_sm(b"id:a1" + MIDDLE + b"stat:SCHEDULED err:0"), on_its_way(s.SCHEDULED, b"0")),
    ("SKIPPED", deliver_sm(b"id:a1" + MIDDLE + b"stat:SKIPPED err:0"), failed(s.SKIPPED, b"0")),
    ("FAILED", deliver_sm(b"id:a1" + MIDDLE + b"stat:FAILED err:0"), failed(s.UNDELIVERABLE, b"0")),
    (
        "FAILED:reason",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:FAILED:Mob. Abst.|nt ext|out ser err:27"),
        failed(s.UNDELIVERABLE, b"27"),
    ),
    (
        "stat with reason in brackets",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV(absent) err:27"),
        failed(s.UNDELIVERABLE, b"27"),
    ),
    ("stat trailing dot", deliver_sm(b"id:a1" + MIDDLE + b"stat:DELIVRD. err:000"), delivered(b"000")),
    ("vendor LOST", deliver_sm(b"id:a1" + MIDDLE + b"stat:LOST err:000"), on_its_way(s.UNKNOWN, b"000")),
    ("numeric stat none", deliver_sm(b"id:a1" + MIDDLE + b"stat:2 err:000"), on_its_way(s.UNKNOWN, b"000")),
    (
        "numeric stat dialect",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:2 err:000"),
        delivered(b"000"),
        Dialect(states={"2": "DELIVRD"}),
    ),
    (
        "numeric stat dialect padded",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:02 err:000"),
        delivered(b"000"),
        Dialect(states={"02": "DELIVRD"}),
    ),
    ("err hex", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:4A6 text:"), failed(s.UNDELIVERABLE, b"4A6")),
    ("err 0x", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:0x0b text:"), failed(s.UNDELIVERABLE, b"0x0b")),
    ("err negative", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:-1 text:"), failed(s.UNDELIVERABLE, b"-1")),
    (
        "err word",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:ABSENT_SUBSCRIBER text:"),
        failed(s.UNDELIVERABLE, b"ABSENT_SUBSCRIBER"),
    ),
    (
        "err long",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:0000000000000123 text:"),
        failed(s.UNDELIVERABLE, b"0000000000000123"),
    ),
    ("err colon", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:3:27 text:"), failed(s.UNDELIVERABLE, b"3:27")),
    ("err slash", deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:003/27 text:"), failed(s.UNDELIVERABLE, b"003/27")),
    (
        "err binary",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:\x03\x00\x1b text:"),
        failed(s.UNDELIVERABLE, b"\x03\x00\x1b"),
    ),
    ("err null", deliver_sm(b"id:a1" + MIDDLE + b"stat:DELIVRD err:null"), delivered(b"null")),
    ("err comma", deliver_sm(b"id:a1,stat:UNDELIV,err:27,text:"), failed(s.UNDELIVERABLE, b"27")),
    (
        "ucs2 be",
        deliver_sm(big("id:a1 sub:001 dlvrd:001 stat:DELIVRD err:000 text:h\u00e9llo"), data_coding=8),
        delivered(b"000"),
    ),
    ("ucs2 be dc0", deliver_sm(big("id:a1 sub:001 stat:DELIVRD err:000")), delivered(b"000")),
    ("ucs2 le", deliver_sm(little("id:a1 sub:001 stat:DELIVRD err:000 text:x"), data_coding=8), delivered(b"000")),
    ("ucs2 be bom", deliver_sm(b"\xfe\xff" + big("id:a1 stat:DELIVRD err:000"), data_coding=8), delivered(b"000")),
    ("ucs2 le bom", deliver_sm(b"\xff\xfe" + little("id:a1 stat:DELIVRD err:000"), data_coding=8), delivered(b"000")),
    ("dc8 ascii", deliver_sm(b"id:a1 stat:DELIVRD err:000", data_coding=8), delivered(b"000")),
    ("dc3 latin1", deliver_sm(b"id:a1 stat:DELIVRD err:000 text:caf\xe9", data_coding=3), delivered(b"000")),
    ("dc4 binary", deliver_sm(b"id:a1 stat:DELIVRD err:000", data_coding=4), delivered(b"000")),
    ("dcF5", deliver_sm(b"id:a1 stat:DELIVRD err:000 \xff\xfe\xfd", data_coding=0xF5), delivered(b"000")),
    ("latin1 in vendor field", deliver_sm(b"id:a1 op:MIDDLE\xe9l\xe9com stat:DELIVRD err:000"), delivered(b"000")),
    (
        "ucs2 payload",
        deliver_sm(b"", tlv(PAYLOAD, big("id:a1 stat:UNDELIV err:9")), data_coding=8),
        failed(s.UNDELIVERABLE, b"9"),
    ),
    ("payload", deliver_sm(b"", tlv(PAYLOAD, b"id:a1 stat:UNDELIV err:9\0")), failed(s.UNDELIVERABLE, b"9")),
    (
        "payload beside blank sm",
        deliver_sm(b" ", tlv(PAYLOAD, b"id:a1 stat:UNDELIV err:9")),
        failed(s.UNDELIVERABLE, b"9"),
    ),
    ("data_sm payload", data_sm(tlv(PAYLOAD, b"id:a1" + MIDDLE + b"stat:DELIVRD err:0")), delivered(b"0")),
    ("data_sm tlvs", data_sm(tlv(ID, b"a1\0") + tlv(STATE, b"\x05")), failed(s.UNDELIVERABLE, b"")),
    ("tlv only", deliver_sm(tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"\2")), delivered(b"")),
    ("tlv only no nul", deliver_sm(tlvs=tlv(STATE, b"\2") + tlv(ID, b"A1")), delivered(b"")),
    ("tlv nuls", deliver_sm(tlvs=tlv(ID, b"A1\0\0\0") + tlv(STATE, b"\2")), delivered(b"")),
    ("tlv padded", deliver_sm(tlvs=tlv(ID, b"  A1  \0") + tlv(STATE, b"\2")), delivered(b"")),
    ("tlv garbage after nul", deliver_sm(tlvs=tlv(ID, b"A1\0xyz") + tlv(STATE, b"\2")), delivered(b"")),
    ("tlv state ascii", deliver_sm(tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"2")), delivered(b"")),
    ("tlv state 2 octets", deliver_sm(tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"\0\5")), failed(s.UNDELIVERABLE, b"")),
    ("tlv state 4 octets", deliver_sm(tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"\0\0\0\5")), failed(s.UNDELIVERABLE, b"")),
    ("tlv state with nul", deliver_sm(tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"\5\0")), failed(s.UNDELIVERABLE, b"")),
    ("tlv state word", deliver_sm(tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"DELIVRD\0")), delivered(b"")),
    ("tlv state empty, text", deliver_sm(b"stat:DELIVRD", tlvs=tlv(ID, b"A1\0") + tlv(STATE, b"")), delivered(b"")),
    ("tlv beats text", deliver_sm(b"id:b2 stat:UNDELIV err:1", tlv(ID, b"A1\0") + tlv(STATE, b"\2")), delivered(b"1")),
    (
        "tlv id empty",
        deliver_sm(b"id:b2 stat:UNDELIV err:1", tlv(ID, b"\0") + tlv(STATE, b"\5")),
        failed(s.UNDELIVERABLE, b"1", id=b"b2"),
    ),
    (
        "tlv twice",
        deliver_sm(b"", tlv(ID, b"A1\0") + tlv(ID, b"B2\0") + tlv(STATE, b"\2") + tlv(STATE, b"\5")),
        delivered(b""),
    ),
    ("tlv len short by nul", deliver_sm(b"", b"\0\x1e\0\2A1\0" + tlv(STATE, b"\2")), delivered(b"")),
    (
        "tlv len short by nul, 3 tlvs",
        deliver_sm(b"", b"\0\x1e\0\2A1\0" + tlv(STATE, b"\2") + tlv(CODE, b"\3\0\1")),
        delivered(b""),
    ),
    ("tlv len long by one", deliver_sm(b"", b"\0\x1e\0\3A1" + tlv(STATE, b"\2")), delivered(b"")),
    (
        "tlv len long by one, text too",
        deliver_sm(b"id:a1 stat:DELIVRD err:0", b"\0\x1e\0\3A1" + tlv(STATE, b"\2")),
        delivered(b"0"),
    ),
    ("tlv truncated at end", deliver_sm(b"", tlv(STATE, b"\2") + b"\0\x1e\0\x09A1"), delivered(b"", id=b"")),
    (
        "tlv padding",
        deliver_sm(b"", b"\0\0\0\0" + tlv(ID, b"A1\0") + b"\0\0" + tlv(STATE, b"\2") + b"\0"),
        delivered(b""),
    ),
    (
        "tlv vendor between",
        deliver_sm(
            b"", tlv(0x1400, b"x" * 9) + tlv(ID, b"A1\0") + tlv(0x1403, b"") + tlv(STATE, b"\2") + tlv(0x60D, b"zz")
        ),
        delivered(b""),
    ),
    ("tlv nec ascii", deliver_sm(b"id:a1 stat:UNDELIV err:9", tlv(CODE, b"003")), failed(s.UNDELIVERABLE, b"9")),
    ("esm 0x44 udh", deliver_sm(b"\x05\0\x03\1\2\1id:a1 stat:DELIVRD err:0", esm_class=0x44), delivered(b"0")),
    ("esm 0x44 no udh", deliver_sm(b"id:a1 stat:DELIVRD err:0", esm_class=0x44), delivered(b"0")),
    ("esm 0x20", deliver_sm(b"id:a1 stat:ENROUTE err:0", esm_class=0x20), on_its_way(s.ENROUTE, b"0")),
    (
        "bare word",
        deliver_sm(b"id:a1 sub:001 dlvrd:001 submit date:2609211413 done date:2609211414 DELIVRD err:000"),
        delivered(b"000"),
    ),
    (
        "id long decimal",
        deliver_sm(b"id:123456789012345678901234567890 stat:DELIVRD"),
        delivered(b"", id=b"123456789012345678901234567890"),
    ),
    (
        "id uuid braces",
        deliver_sm(b"id:{72B83667-A8F1-4C09-861F-E1EE6DD4561B} stat:DELIVRD"),
        delivered(b"", id=b"{72b83667-a8f1-4c09-861f-e1ee6dd4561b}"),
    ),
    (
        "id base64",
        deliver_sm(b"id:aGVsbG8+d29ybGQ/Zm8= stat:DELIVRD err:0"),
        delivered(b"0", id=b"agvsbg8+d29ybgq/zm8="),
    ),
    ("id colon", deliver_sm(b"id:1:2:3 stat:DELIVRD err:0"), delivered(b"0", id=b"1:2:3")),
    ("no id no tlv", deliver_sm(b"sub:001 stat:DELIVRD err:0"), delivered(b"0", id=b"")),
    ("nothing", deliver_sm(b"hello world"), UNREADABLE),
    ("empty", deliver_sm(b""), UNREADABLE),
    ("text first", deliver_sm(b"text:id:9 stat:DELIVRD"), UNREADABLE),
    (
        "text echo forging",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:1 text:id:b2 stat:DELIVRD err:000"),
        failed(s.UNDELIVERABLE, b"1"),
    ),
    (
        "no text key, echo",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:1 hello stat:DELIVRD id:b2"),
        failed(s.UNDELIVERABLE, b"1"),
    ),
    (
        "Text with blank colon",
        deliver_sm(b"id:a1" + MIDDLE + b"stat:UNDELIV err:1 text :stat:DELIVRD"),
        failed(s.UNDELIVERABLE, b"1"),
    ),
    (
        "csv w quotes",
        deliver_sm(b'"00","2609211414"', tlv(ID, b"A1\0")),
        delivered(b""),
        Dialect(columns=["stat", "done date"], states={"00": "DELIVRD"}),
    ),
]


class InventedReceipts(SynchronousTestCase):
    def test_every_receipt_of_the_corpus_is_read_as_a_carriers_engineer_would_read_it(self) -> None:
        for name, pdu, expected, *dialect in CASES:
            reader = ReceiptReader("carrier", dialect[0] if dialect else Dialect())
            for receipt in (reader.read(pdu, 1.0), reader.read_any(pdu, 1.0)):
                found = Read(receipt.keys[0] if receipt.keys else b"", receipt.state, receipt.final, receipt.error)
                self.assertEqual(found, expected, name)
                self.assertEqual(receipt.raw, pdu.body, name)

    def test_no_two_lines_are_the_same(self) -> None:
        self.assertEqual(len({name for name, *_ in CASES}), len(CASES))
        self.assertGreater(len(CASES), 100)
