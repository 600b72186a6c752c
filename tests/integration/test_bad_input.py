"""Bad input on real sockets: it gets the answer that its protocol demands, and other clients notice nothing."""

from typing import Any

from relay.values import smpp_constants as c
from tests.fakes import BindFailed, bind_body, parse_header, pdu, submit_body
from tests.integration.harness import IntegrationTestCase, RawPeer, smpp_account, smpp_carrier, until, within


class BadInput(IntegrationTestCase):
    """Each test ends with a bystander's message going out and its receipt coming home, on a session from before."""

    async def world(self) -> None:
        self.carrier = await self.simulator()
        self.daemon = await self.relay(
            accounts={"acme": smpp_account(max_binds=2), "other": smpp_account("other", api_key="other-key")},
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"prefix": "44", "carriers": ["sim"]}],
        )
        await self.daemon.carrier_bound(self.carrier)
        self.bystander = await self.esme(self.daemon.smpp_port, "other")

    async def undisturbed(self) -> None:
        answers = await within(10, self.bystander.submit([submit_body("447700900001")] * 5))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("the bystander's receipts are home", lambda: len(self.bystander.receipts) == 5)
        self.assertFalse(self.bystander.lost)

    async def answer(self, peer: RawPeer) -> tuple[int, int, int, int]:
        """The header of the one PDU that the relay answers with."""
        await until("the relay has answered", lambda: len(peer.received) >= 16)
        return parse_header(bytes(peer.received))


class OverSmpp(BadInput):
    async def test_a_wrong_password_or_name_is_refused_and_the_connection_closed(self) -> None:
        await self.world()
        for system_id, password in [("acme", "wrong"), ("nobody", "secret08"), ("", "")]:
            with self.assertRaises(BindFailed) as caught:
                await self.esme(self.daemon.smpp_port, system_id, password)
            self.assertEqual(caught.exception.command_status, c.ESME_RBINDFAIL)
        await self.undisturbed()

    async def test_a_bind_over_max_binds_is_refused_and_the_others_stay(self) -> None:
        await self.world()
        first = await self.esme(self.daemon.smpp_port)
        second = await self.esme(self.daemon.smpp_port)
        with self.assertRaises(BindFailed):
            await self.esme(self.daemon.smpp_port)
        self.assertFalse(first.lost or second.lost)
        await first.leave()
        await self.esme(self.daemon.smpp_port)
        await self.undisturbed()

    async def test_a_command_length_of_15_gets_a_generic_nack_and_ends_the_session(self) -> None:
        await self.world()
        peer = await self.raw(self.daemon.smpp_port, b"\0\0\0\x0f" + b"\0\0\0\x09" + bytes(8))
        self.assertEqual((await self.answer(peer))[1:3], (c.GENERIC_NACK, c.ESME_RINVCMDLEN))
        await within(10, peer.gone)
        await self.undisturbed()

    async def test_a_pdu_of_ten_megabytes_gets_a_generic_nack_and_ends_the_session(self) -> None:
        await self.world()
        resident = self.daemon.resident_bytes()
        header = (10_000_000).to_bytes(4) + c.SUBMIT_SM.to_bytes(4) + bytes(4) + b"\0\0\0\x01"
        peer = await self.raw(self.daemon.smpp_port, header + bytes(100_000))
        self.assertEqual((await self.answer(peer))[1:3], (c.GENERIC_NACK, c.ESME_RINVCMDLEN))
        await within(10, peer.gone)
        self.assertLess(self.daemon.resident_bytes() - resident, 5_000_000)
        await self.undisturbed()

    async def test_an_address_of_300_octets_is_refused_and_the_session_goes_on(self) -> None:
        await self.world()
        esme = await self.esme(self.daemon.smpp_port)
        bodies = [submit_body("4" * 300), submit_body("447700900001"), submit_body("447700900001", source="4" * 300)]
        answers = await within(10, esme.submit(bodies))
        self.assertEqual([status for status, _ in answers], [c.ESME_RINVDSTADR, c.ESME_ROK, c.ESME_RINVSRCADR])
        await until("the good one's receipt is home", lambda: len(esme.receipts) == 1)
        await self.undisturbed()

    async def test_a_number_without_a_route_is_refused(self) -> None:
        await self.world()
        esme = await self.esme(self.daemon.smpp_port)
        answers = await within(10, esme.submit([submit_body("33123456789"), submit_body("447700900001")]))
        self.assertEqual([status for status, _ in answers], [c.ESME_RINVDSTADR, c.ESME_ROK])
        await self.undisturbed()

    async def test_a_submit_before_a_bind_or_on_a_receiver_is_refused(self) -> None:
        await self.world()
        peer = await self.raw(self.daemon.smpp_port, pdu(c.SUBMIT_SM, submit_body("447700900001")))
        self.assertEqual((await self.answer(peer))[1:3], (c.SUBMIT_SM_RESP, c.ESME_RINVBNDSTS))
        receiver = await self.raw(self.daemon.smpp_port, pdu(c.BIND_RECEIVER, bind_body("acme", "secret08")))
        self.assertEqual((await self.answer(receiver))[1:3], (c.BIND_RECEIVER_RESP, c.ESME_ROK))
        receiver.received.clear()
        receiver.write(pdu(c.SUBMIT_SM, submit_body("447700900001"), sequence_number=2))
        self.assertEqual((await self.answer(receiver))[1:3], (c.SUBMIT_SM_RESP, c.ESME_RINVBNDSTS))
        await self.undisturbed()

    async def test_an_unknown_command_gets_a_generic_nack_and_the_session_goes_on(self) -> None:
        await self.world()
        peer = await self.raw(self.daemon.smpp_port, pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")))
        await self.answer(peer)
        peer.received.clear()
        peer.write(pdu(0x00000777, b"abc", sequence_number=2))
        self.assertEqual((await self.answer(peer))[1:], (c.GENERIC_NACK, c.ESME_RINVCMDID, 2))
        peer.received.clear()
        peer.write(pdu(c.ENQUIRE_LINK, sequence_number=3))
        self.assertEqual((await self.answer(peer))[1:], (c.ENQUIRE_LINK_RESP, c.ESME_ROK, 3))
        await self.undisturbed()


class OverHttp(BadInput):
    async def test_requests_that_make_no_sense_get_a_problem_that_names_the_field(self) -> None:
        await self.world()
        good = {"to": "+447700900001", "from": "447700900000", "text": "hello"}
        cases: list[tuple[str, dict[str, Any], int, str | None]] = [
            ("JSON that isn't", {"raw": b'{"to": '}, 400, None),
            ("a missing field", {"body": {"to": "+447700900001", "from": "447700900000"}}, 422, "text"),
            ("a number that is none", {"body": good | {"to": "hello"}}, 422, "to"),
            ("an unknown prefix", {"body": good | {"to": "+33123456789"}}, 422, "to"),
            ("a field of the wrong type", {"body": good | {"text": 5}}, 422, "text"),
            ("an unknown field", {"body": good | {"txet": "hello"}}, 422, "txet"),
        ]
        for name, request, expected, field in cases:
            status, answer = await self.http("POST", self.daemon, "/messages", **request)
            self.assertEqual((status, answer.get("field")), (expected, field), name)
            self.assertEqual(answer["status"], expected, name)
        status, _ = await self.http("POST", self.daemon, "/messages", good, key="wrong")
        self.assertEqual(status, 401)
        status, _ = await self.http("POST", self.daemon, "/messages", good)
        self.assertEqual(status, 202)
        await self.undisturbed()

    async def test_a_body_over_the_limit_is_refused_unread(self) -> None:
        await self.world()
        status, _ = await self.http("POST", self.daemon, "/messages", raw=b" " * 2_000_000)
        self.assertEqual(status, 413)
        await self.undisturbed()

    async def test_octets_that_are_no_http_disturb_nobody(self) -> None:
        await self.world()
        peer = await self.raw(self.daemon.http_port, b"\x16\x03\x01 hello\r\n\r\n")
        await within(10, peer.gone)
        await self.undisturbed()
