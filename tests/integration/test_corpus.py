"""Receipts that real carriers sent, through a real socket: each reaches the customer that sent its message."""

import json
import struct
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu
from tests.fakes import ScriptedCarrier, ScriptedSession, submit_body
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until, within
from tests.ports import free_port

CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus.jsonl"
TAGS = {
    "receipted_message_id": 0x001E,
    "message_state": 0x0427,
    "network_error_code": 0x0423,
    "source_network_type": 0x000E,
    "dest_network_type": 0x0006,
    "message_payload": 0x0424,
}
#: What the customer reads for the state that the corpus names.
CUSTOMER_STAT = {"SKIPPED": "UNKNOWN"}


def tlv(name: str, value: Any) -> bytes:
    tag = TAGS[name] if name in TAGS else int(name, 16)
    if isinstance(value, int):
        octets = bytes([value])
    elif value.startswith("hex:"):
        octets = bytes.fromhex(value[4:])
    else:
        octets = value.encode("latin-1")
    return struct.pack(">HH", tag, len(octets)) + octets


def body_of(line: dict[str, Any]) -> bytes:
    """The PDU's body: the very octets where the corpus has them, otherwise the same content in a plain PDU."""
    if "raw_pdu_hex" in line:
        return bytes.fromhex(line["raw_pdu_hex"])[16:]
    text = (line["text"] or "").encode("latin-1", "replace")
    tlvs = dict(line["tlvs"])
    payload = tlvs.pop("message_payload_too", None) == "same" or line["text_in"] == "message_payload"
    short = text if line["text_in"] == "short_message" and len(text) < 255 else b""
    options = b"".join(tlv(name, value) for name, value in tlvs.items())
    if text and (payload or not short):
        options += struct.pack(">HH", TAGS["message_payload"], len(text)) + text
    addresses = b"\0\x01\x01447700900001\0\x01\x01447700900000\0"
    if line["pdu"] == "data_sm":
        return addresses + bytes([line["esm_class"], 0, 0]) + options
    return addresses + bytes([line["esm_class"]]) + bytes(8) + bytes([len(short)]) + short + options


class Corpus(IntegrationTestCase):
    async def test_every_receipt_comes_home_and_none_is_answered_with_an_error(self) -> None:
        lines = [json.loads(line) for line in CORPUS.read_text().splitlines()]
        lines = [line for line in lines if "needs" not in line and line["expect"]["is_receipt"]]
        self.assertGreater(len(lines), 100)
        carrier = ScriptedCarrier(reactor)
        port = free_port()
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(carrier)
        self.addCleanup(until, "the carrier's sessions are closed", lambda: not carrier.open)
        self.addCleanup(listening.stopListening)
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"scripted": smpp_carrier(port)},
            routes=[{"carriers": ["scripted"]}],
        )
        await until("the relay has bound", lambda: carrier.bound)
        session = carrier.bound[0]
        customer = await self.esme(relay.smpp_port)
        wrong: list[str] = []
        for line in lines:
            expect = line["expect"]
            carrier_id = (expect["id"] or f"none-{line['n']}").encode("latin-1", "replace")

            def take(session: ScriptedSession, pdu: MessagePdu, carrier_id: bytes = carrier_id) -> None:
                session.queue_answer(pdu, carrier_id)

            carrier.on_submit = take
            submits, answers, homes = len(carrier.submits), len(carrier.answers), len(customer.receipts)
            [(_, message_id)] = await within(10, customer.submit([submit_body("447700900001")]))
            await until("the carrier has the message", lambda submits=submits: len(carrier.submits) > submits)
            command_id = c.DATA_SM if line["pdu"] == "data_sm" else c.DELIVER_SM
            session.session.request(command_id, [(body_of(line), b"")], reactor.seconds())
            session.flush()
            await until(f"line {line['n']} is acknowledged", lambda answers=answers: len(carrier.answers) > answers, 10)
            if carrier.answers[-1][1] != c.ESME_ROK:
                wrong.append(f"line {line['n']}: answered {c.status_name(carrier.answers[-1][1])}")
            if not expect["final"] or expect["id"] is None:
                continue
            try:
                await until("it is home", lambda homes=homes: len(customer.receipts) > homes, 5)
            except AssertionError:
                wrong.append(f"line {line['n']}: {expect['state']} did not come home")
                continue
            seen = customer.receipts[-1]
            stat = CUSTOMER_STAT.get(expect["state"], expect["state"])
            if (seen.message_id, seen.stat) != (message_id, stat):
                wrong.append(f"line {line['n']}: expected {stat}, the customer read {seen.stat}")
        self.assertEqual(wrong, [])
        self.assertFalse(session.lost)
