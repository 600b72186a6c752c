"""Carriers get messages from HTTP in the form that their settings ask for, on real sockets."""

from typing import Any
from urllib.parse import urlencode

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.smpp.message_codec import message_octets, tlv_values
from relay.values.pdus import MessagePdu
from tests.fakes import ScriptedCarrier, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until
from tests.ports import free_port

TO = "447700900123"
FLASH: dict[str, Any] = {"class": "flash"}


class SentTests(IntegrationTestCase):
    async def world(self, **carrier: Any) -> None:
        self.carrier = ScriptedCarrier(reactor)
        port = free_port()
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(self.carrier)
        self.addCleanup(until, "the carrier's sessions are closed", lambda: not self.carrier.open)
        self.addCleanup(listening.stopListening)
        self.daemon: Relay = self.prepare_relay(
            accounts={"acme": smpp_account()},
            carriers={"scripted": smpp_carrier(port, **carrier)},
            routes=[{"carriers": ["scripted"]}],
        )
        self.daemon.configuration["http"] |= {"kannel": True, "jasmin": True}
        await self.daemon.start()
        await until("the relay has bound", lambda: self.carrier.bound)

    async def send(self, count: int = 1, **message: Any) -> list[MessagePdu]:
        """What the carrier gets of a message, which is of so many parts."""
        before = len(self.carrier.submits)
        status, answer = await self.http("POST", self.daemon, "/messages", {"to": TO, "from": "ACME", **message})
        self.assertEqual(status, 202, answer)
        await until("the carrier has it", lambda: len(self.carrier.submits) >= before + count)
        return self.carrier.submits[before:]

    async def refused(self, **message: Any) -> tuple[str, str]:
        status, answer = await self.http("POST", self.daemon, "/messages", {"to": TO, "from": "ACME", **message})
        self.assertEqual(status, 422, answer)
        return answer.get("field", ""), answer["detail"]

    async def test_texts_are_in_its_alphabet_and_have_its_parameters(self) -> None:
        await self.world(
            default_alphabet="latin1",
            service_type="CMT",
            source_ton=0,
            destination_form="plus",
            long_messages="sar",
            tlvs={"0x1400": "31303031"},
        )
        [pdu] = await self.send(text="é@ñ")
        self.assertEqual((pdu.data_coding, pdu.short_message, pdu.service_type), (0, "é@ñ".encode("latin-1"), b"CMT"))
        self.assertEqual(pdu.addresses, b"\0\0ACME\0\1\1+447700900123\0")
        self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at), {0x1400: b"1001"})
        parts = await self.send(2, text="x" * 200, tlvs={"0x1401": "ff"})
        for number, pdu in enumerate(sorted(parts, key=lambda pdu: -len(pdu.short_message)), 1):
            found = tlv_values(pdu.body, pdu.tlvs_at)
            self.assertEqual((pdu.esm_class, found[0x020E], found[0x020F]), (0, b"\2", bytes((number,))))
            self.assertEqual((found[0x1400], found[0x1401]), (b"1001", b"\xff"))
        [pdu] = await self.send(text="hello", **FLASH)
        self.assertEqual((pdu.data_coding, pdu.short_message), (0x10, b"hello"))
        [pdu] = await self.send(data_coding=4, payload="80ff", tlvs={"0x1402": ""})
        self.assertEqual((pdu.data_coding, pdu.short_message, pdu.service_type), (4, b"\x80\xff", b"CMT"))
        self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at), {0x1400: b"1001", 0x1402: b""})
        # An SMPP customer's message is passed on as it is.
        customer = await self.esme(self.daemon.smpp_port)
        body = submit_body("447700900001")
        before = len(self.carrier.submits)
        submitted = customer.submit([body])
        self.addCleanup(submitted.cancel)
        await until("the carrier has it", lambda: len(self.carrier.submits) > before)
        self.assertEqual(self.carrier.submits[-1].body, body)

    async def test_a_long_text_is_one_message_with_the_payload_also_after_a_restart(self) -> None:
        await self.world(long_messages="payload", default_alphabet="ucs2")
        [pdu] = await self.send(text="hello " * 100)
        # The carrier doesn't answer: it is sent again.
        self.daemon.kill()
        await until("the carrier has noticed", lambda: not self.carrier.bound)
        await self.daemon.start()
        await until("the carrier has it again", lambda: len(self.carrier.submits) == 2)
        self.assertEqual(self.carrier.submits[1].body, pdu.body)
        found = tlv_values(pdu.body, pdu.tlvs_at)
        self.assertEqual((found, pdu.short_message), ({0x0424: ("hello " * 100).encode("utf-16-be")}, b""))

    async def test_so_are_texts_that_came_as_to_kannel_or_jasmin(self) -> None:
        await self.world(default_alphabet="latin1", destination_form="plus", long_messages="payload")
        kannel = {"username": "acme", "password": "key", "from": "ACME", "to": TO}
        jasmin = {"username": "acme", "password": "key", "from": "ACME", "to": TO}
        long = "é" * 200
        for path, fields, data_coding, octets in (
            ("/cgi-bin/sendsms", {**kannel, "text": "é@ñ"}, 0, "é@ñ".encode("latin-1")),
            ("/cgi-bin/sendsms", {**kannel, "text": "ж"}, 8, "ж".encode("utf-16-be")),
            ("/cgi-bin/sendsms", {**kannel, "text": "é", "mclass": "1"}, 0xF1, b"\x05"),
            ("/cgi-bin/sendsms", {**kannel, "text": "%E9", "udh": "%03%01%02%03"}, 4, b"\3\1\2\3\xe9"),
            ("/cgi-bin/sendsms", {**kannel, "text": long}, 0, long.encode("latin-1")),
            ("/send", {**jasmin, "content": "é@ñ"}, 0, "é@ñ".encode("latin-1")),
            ("/send", {**jasmin, "content": long}, 0, long.encode("latin-1")),
            ("/send", {**jasmin, "hex-content": "05ff", "coding": "4"}, 4, b"\x05\xff"),
        ):
            before = len(self.carrier.submits)
            query = urlencode(fields).replace("%25", "%")
            status, answer = await self.http("GET", self.daemon, f"{path}?{query}")
            self.assertIn(status, (200, 202), answer)
            await until("the carrier has it", lambda before=before: len(self.carrier.submits) > before)
            [pdu] = self.carrier.submits[before:]
            self.assertEqual((pdu.data_coding, message_octets(pdu)), (data_coding, octets), fields)
            self.assertEqual(pdu.destination, b"+447700900123")

    async def test_without_settings_messages_are_as_ever_and_what_can_not_be_sent_is_refused(self) -> None:
        await self.world()
        [pdu] = await self.send(text="é", tlvs={"0x1400": "aa"}, **FLASH)
        self.assertEqual((pdu.data_coding, pdu.short_message, pdu.addresses[:2]), (0x10, b"\x05", b"\5\0"))
        self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at), {0x1400: b"\xaa"})
        parts = await self.send(2, text="x" * 200)
        self.assertEqual(
            {(pdu.esm_class, pdu.short_message[:5]) for pdu in parts}, {(0x40, parts[0].short_message[:5])}
        )
        self.assertEqual(await self.refused(), ("text", "The field 'text' is missing."))
        for message, field in (
            ({"text": "x", "tlvs": {"0x0424": "00"}}, "tlvs"),
            ({"text": "x", "tlvs": {"0x1400": "0"}}, "tlvs"),
            ({"text": "x", "tlvs": {f"0x14{n:02x}": "" for n in range(17)}}, "tlvs"),
            ({"text": "x", "class": "1"}, "class"),
            ({"data_coding": 0, "payload": "00", "class": "flash"}, "class"),
            ({"text": "x", "data_coding": 0, "payload": "00"}, "text"),
        ):
            self.assertEqual((await self.refused(**message))[0], field, message)


class SimulatedTests(IntegrationTestCase):
    async def test_a_simulated_carrier_takes_only_what_it_wants(self) -> None:
        cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            ({"default_alphabet": "latin1"}, {"default_alphabet": "latin1"}, "ñé"),
            ({"default_alphabet": "ascii"}, {"default_alphabet": "ascii"}, "[@]"),
            ({"default_alphabet": "ucs2"}, {"default_alphabet": "ucs2"}, "hello"),
            ({"long_messages": "sar"}, {"long_messages": "sar"}, "x" * 200),
            ({"long_messages": "payload"}, {"long_messages": "payload"}, "x" * 200),
            (
                {"service_type": "CMT", "source_ton": 2, "source_npi": 8, "tlvs": ["0x1400"], "source_begins": "0"},
                {
                    "service_type": "CMT", "source_npi": 8, "tlvs": {"0x1400": "00"}, "source_form": "national",
                    "country_code": "44", "trunk_prefix": "0",
                },
                "hello",
            ),
            (
                {"destination_ton": 0, "destination_npi": 0, "destination_begins": "+"},
                {"destination_ton": 0, "destination_npi": 0, "destination_form": "plus"},
                "hello",
            ),
        ]  # fmt: skip
        carriers: dict[str, Any] = {}
        routes = []
        for number, (wanted, settings, _) in enumerate(cases):
            simulated = await self.simulator(receipt_delay_seconds=0.0, **wanted)
            # Another login: the receipts of one go to any of its binds.
            carriers[f"plain{number}"] = smpp_carrier(simulated.port, system_id="plain")
            carriers[f"right{number}"] = smpp_carrier(simulated.port, **settings)
            routes += [{"prefix": f"44{n}{number}", "carriers": [f"{name}{number}"]} for n, name in _BOTH]
        relay = await self.relay(accounts={"acme": smpp_account()}, carriers=carriers, routes=routes)
        for number, (wanted, _, text) in enumerate(cases):
            outcomes = [await self.outcome(relay, f"44{n}{number}00900123", text) for n, _ in _BOTH]
            # Latin-1's octets are there for every text, and what ASCII has not, it doesn't get.
            taken = ["DELIVRD"] * 2 if "default_alphabet" in wanted and number < 2 else ["REJECTD", "DELIVRD"]
            self.assertEqual(outcomes, taken, wanted)

    async def outcome(self, relay: Relay, to: str, text: str) -> str:
        """The status with which a message ends."""
        _, answer = await self.http("POST", relay, "/messages", {"to": to, "from": "+447700900999", "text": text})
        while True:
            _, report = await self.http("GET", relay, f"/messages/{answer['id']}")
            if report["done_at"]:
                return str(report["status"])


_BOTH = (("1", "plain"), ("2", "right"))
