"""Messages from handsets on their way from a carrier to customers' URLs."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import treq
from standardwebhooks import Webhook
from twisted.internet import reactor, task
from twisted.web.client import Agent

from relay.smpp.message_codec import decode_message, encode_address, message_body, message_octets, tlv
from relay.text.compose import compose, encode
from relay.text.from_handsets import read_part, without_place
from relay.text.raw_parts import segments
from relay.values import smpp_constants as c
from tests.integration.harness import WebhookReceiver, http_reactor, smpp_account, smpp_carrier, until
from tests.integration.test_traffic import TrafficTestCase

HANDSET = b"447700900001"
#: A user data header with the ports of an application (3GPP TS 23.040 section 9.2.3.24.4).
PORTS = b"\x06\x05\x04\x0b\x84\x23\xf0"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LONG = "Now this is the story all about how my life got flipped, turned upside down. " * 5


def delivery(text: str, to: bytes = b"12345", **fields: Any) -> bytes:
    """A deliver_sm with a short text."""
    octets, data_coding = encode(text)
    addresses = encode_address(1, 1, HANDSET) + encode_address(3, 0, to)
    return message_body(
        addresses=addresses, short_message=octets, data_coding=data_coding, registered_delivery=0, **fields
    )


def parts_of(text: str, reference: int = 7) -> Sequence[bytes]:
    """The deliver_sm of a long text, with user data headers."""
    return compose(HANDSET.decode(), "12345", text, reference=reference)[1]


class InboundTestCase(TrafficTestCase):
    async def start(self, inbound: Sequence[dict[str, Any]] = (), **more: Any) -> None:
        self.receiver = await self.webhooks()
        account = {"inbound_url": self.receiver.url, "notification_secret": SECRET} | more.pop("account", {})
        accounts = {
            "acme": smpp_account(**account),
            "esme": smpp_account("esme", api_key="esme"),
            "both": smpp_account("both", api_key="both", inbound_url=self.receiver.url + "/both"),
        }
        carrier = {"mobile_originated": "acme"} | more.pop("carrier", {})
        await self.world(
            "tier1",
            carriers={"tier1": carrier | ({"inbound": list(inbound)} if inbound else {})},
            accounts=accounts,
            routes=[{"carriers": ["tier1"]}],
            **more,
        )
        self.carrier = self.carriers["tier1"]

    def deliver(self, *bodies: bytes) -> None:
        self.carrier.bound[0].deliver(*bodies)

    async def answered(self, count: int) -> list[str]:
        """The statuses with which the relay has answered."""
        await until("the relay has answered", lambda: len(self.carrier.answers) >= count)
        return [c.status_name(status) for _, status in self.carrier.answers]

    async def told(self, count: int, receiver: WebhookReceiver | None = None) -> list[Any]:
        """What the receiver got, in the order of the messages."""
        receiver = receiver or self.receiver
        await until(f"{count} messages have come", lambda: len(receiver.posts) >= count)
        return [post.json for post in receiver.posts]


class DeliveryTests(InboundTestCase):
    async def test_a_message_comes_signed_with_all_that_is_known_of_it(self) -> None:
        await self.start()
        self.deliver(delivery("Grüße €"))
        self.assertEqual(await self.answered(1), ["ESME_ROK"])
        [message] = await self.told(1)
        [post] = self.receiver.posts
        Webhook(SECRET).verify(post.body, post.headers)
        self.assertEqual(post.headers["webhook-id"], message["id"] + "_inbound")
        self.assertTrue(message.pop("received_at").endswith("Z"))
        self.assertEqual(
            {key: value for key, value in message.items() if key != "id"},
            {"from": "447700900001", "to": "12345", "text": "Grüße €", "parts": 1, "missing_parts": [],
             "carrier": "tier1", "data_coding": 0, "udh": None, "payload": None},
        )  # fmt: skip

    async def test_it_is_durable_before_the_carrier_is_answered_and_tried_again_until_it_is_taken(self) -> None:
        await self.start()
        self.receiver.status = 503
        self.deliver(delivery("hello"))
        await self.answered(1)
        self.daemon.kill()
        self.assertEqual([record["octets"] for record in self.daemon.journal("InboundMessage")], ["hello"])
        self.receiver.status = 200
        await self.daemon.start()
        [message] = await self.told(1)
        self.assertEqual(message["text"], "hello")

        async def feed(after: str = "0") -> Any:
            return (await self.http("GET", self.daemon, f"/inbound?after={after}"))[1]

        first = await feed()
        self.assertEqual([entry["text"] for entry in first["messages"]], ["hello"])
        self.assertEqual((await feed(first["next"]))["messages"], [])
        path = f"/inbound/{message['id']}"

        async def settled() -> bool:
            _, found = await self.http("GET", self.daemon, path)
            return bool(found["attempts"]) and found["attempts"][-1]["answer"] == "200"

        await until("the attempt is settled", settled)
        self.assertEqual((await self.http("POST", self.daemon, f"{path}/notify"))[0], 202)
        self.assertEqual([again["id"] for again in await self.told(2)], [message["id"]] * 2)
        # To customers' own messages these are strangers, and to other customers, too.
        for other in (f"/messages/{message['id']}", "/notifications"):
            self.assertNotIn("hello", str(await self.http("GET", self.daemon, other)))
        self.assertEqual((await self.http("GET", self.daemon, path, account="esme", key="esme"))[0], 404)

    async def test_data_comes_as_octets(self) -> None:
        await self.start()
        addresses = encode_address(1, 1, HANDSET) + encode_address(3, 0, b"12345")
        self.deliver(message_body(addresses=addresses, short_message=PORTS + b"\x01\x02", data_coding=4,
                                  esm_class=c.ESM_CLASS_UDHI, registered_delivery=0))  # fmt: skip
        [message] = await self.told(1)
        self.assertEqual((message["text"], message["udh"], message["payload"]), (None, PORTS.hex(), "0102"))


class OperatorTests(InboundTestCase):
    async def listed(self, **asked: str) -> list[dict[str, Any]]:
        """What the admin listener lists."""
        client = treq.client.HTTPClient(Agent(http_reactor, pool=self.pool))
        response = await client.get(
            f"http://127.0.0.1:{self.daemon.admin_port}/inbound", params=asked, timeout=30, reactor=http_reactor
        )
        found: list[dict[str, Any]] = (await response.json())["messages"]
        return found

    async def test_the_operator_sees_who_has_a_message_and_who_has_not_yet_but_no_text(self) -> None:
        await self.start([{"to": "67890", "account": "both"}])
        self.deliver(delivery("first"))
        await self.told(1)
        self.receiver.status = 500
        self.deliver(delivery("second", b"67890"))
        await until("it was refused", lambda: self.receiver.refused > 0)

        async def states() -> list[tuple[str, str, str]]:
            return [(each["account"], each["to"], each["delivery"]) for each in await self.listed()]

        expected = [("both", "67890", "waiting"), ("acme", "12345", "delivered")]
        while await states() != expected:
            await task.deferLater(reactor, 0.05)
        [waiting] = await self.listed(delivery="waiting", number="67890", carrier="tier1")
        self.assertEqual((["webhook"], HANDSET.decode()), (waiting["owed"], waiting["from"]))
        self.assertNotIn("second", str(waiting))
        self.assertEqual([], await self.listed(account="esme"))


class LongMessageTests(InboundTestCase):
    async def test_parts_are_put_together_in_whatever_order_they_come_and_however_they_are_marked(self) -> None:
        await self.start()
        bodies = parts_of(LONG)
        self.deliver(bodies[2], bodies[0])
        self.deliver(bodies[1])
        addresses = encode_address(1, 1, HANDSET) + encode_address(3, 0, b"12345")

        def marked(number: int, text: bytes) -> bytes:
            tlvs = tlv(c.TAG_SAR_MSG_REF_NUM, b"\0\7") + tlv(c.TAG_SAR_TOTAL_SEGMENTS, b"\2")
            tlvs += tlv(c.TAG_SAR_SEGMENT_SEQNUM, bytes((number,)))
            return message_body(addresses=addresses, short_message=text, tlvs=tlvs)

        self.deliver(marked(2, b"world"), marked(1, b"hello "))
        self.deliver(message_body(addresses=addresses, tlvs=tlv(c.TAG_MESSAGE_PAYLOAD, LONG.encode())))
        self.assertEqual(await self.answered(6), ["ESME_ROK"] * 6)
        messages = await self.told(3)
        self.assertCountEqual(
            [(message["text"], message["parts"]) for message in messages], [(LONG, 3), ("hello world", 2), (LONG, 1)]
        )

    async def test_the_ports_of_data_in_parts_stay_over_a_kill_and_for_each_version_of_smpp(self) -> None:
        await self.start([{"to": "777", "account": "both", "over": "both"}])
        addresses = encode_address(1, 1, HANDSET) + encode_address(3, 0, b"777")
        data = bytes(range(256)) * 2
        bodies, again = (
            [
                message_body(addresses=addresses, short_message=piece, data_coding=4, esm_class=c.ESM_CLASS_UDHI)
                for piece in segments(data, septets=False, pairs=False, udh=PORTS, reference=reference)
            ]
            for reference in (9, 10)
        )
        self.deliver(*bodies[:2])
        await self.answered(2)
        self.daemon.kill()
        await until("the connection is gone", lambda: not self.carrier.bound)
        await self.daemon.start()
        await until("the relay has bound", lambda: self.carrier.bound)
        self.deliver(*bodies[2:])
        [message] = await self.told(1)
        self.assertEqual((message["udh"], message["payload"]), (PORTS.hex(), data.hex()))
        old = await self.esme(self.daemon.smpp_port, "both", interface_version=0x33)
        await until("its segments have come", lambda: len(old.others) == len(bodies))
        parts = [read_part(pdu) for pdu in old.others]
        self.assertEqual([False] * 4, [pdu.tlvs_at < len(pdu.body) for pdu in old.others])
        self.assertEqual([(4, number) for number in (1, 2, 3, 4)], [(part.count, part.number) for part in parts])
        self.assertEqual([PORTS] * 4, [without_place(part.header) for part in parts])
        self.assertEqual(data, b"".join([part.octets for part in parts]))
        await old.leave()
        new = await self.esme(self.daemon.smpp_port, "both")
        self.deliver(*again)
        await until("it has come", lambda: len(new.others) == 1)
        [whole] = map(read_part, new.others)
        self.assertEqual((1, PORTS, data), (whole.count, whole.header, whole.octets))

    async def test_a_carrier_s_message_payload_reaches_a_customer_of_smpp_3_3_in_segments(self) -> None:
        await self.start(carrier={"mobile_originated": "esme"})
        esme = await self.esme(self.daemon.smpp_port, "esme", interface_version=0x33)
        addresses = encode_address(1, 1, HANDSET) + encode_address(3, 0, b"12345")
        self.deliver(message_body(addresses=addresses, tlvs=tlv(c.TAG_MESSAGE_PAYLOAD, LONG.encode())))
        self.assertEqual(await self.answered(1), ["ESME_ROK"])
        parts = [read_part(pdu) for pdu in esme.others]
        self.assertEqual(LONG, b"".join([part.octets for part in parts]).decode())
        self.assertEqual([(3, 1), (3, 2), (3, 3)], [(part.count, part.number) for part in parts])
        esme.answer = lambda pdu: c.ESME_RX_T_APPN
        self.deliver(message_body(addresses=addresses, tlvs=tlv(c.TAG_MESSAGE_PAYLOAD, LONG.encode())))
        self.assertEqual(await self.answered(2), ["ESME_ROK", "ESME_RX_T_APPN"])

    async def test_parts_that_were_answered_survive_a_kill_and_a_repeated_part_makes_no_second_message(self) -> None:
        await self.start()
        bodies = parts_of(LONG)
        self.deliver(*bodies[:2])
        await self.answered(2)
        self.daemon.kill()
        await until("the connection is gone", lambda: not self.carrier.bound)
        await self.daemon.start()
        await until("the relay has bound", lambda: self.carrier.bound)
        self.deliver(bodies[2])
        [message] = await self.told(1)
        self.assertEqual((message["text"], message["missing_parts"]), (LONG, []))
        self.deliver(bodies[2], bodies[0])
        self.deliver(delivery("the next"))
        self.assertEqual((await self.answered(6))[3:], ["ESME_ROK"] * 3)
        self.assertEqual([each["text"] for each in await self.told(2)], [LONG, "the next"])

    async def test_when_parts_do_not_come_in_time_the_message_comes_without_them(self) -> None:
        await self.start(limits={"inbound_part_seconds": 0.5})
        bodies = parts_of(LONG)
        self.deliver(bodies[2], bodies[0])
        [message] = await self.told(1)
        self.assertEqual((message["parts"], message["missing_parts"]), (3, [2]))
        self.assertEqual(message["text"], LONG[:153] + LONG[306:])
        self.assertIn("inbound_incomplete", self.daemon.log())


class RuleTests(InboundTestCase):
    async def test_number_and_keyword_say_who_gets_a_message_and_by_which_way(self) -> None:
        await self.start(
            [
                {"to": "12345", "keyword": "STOP*", "account": "acme"},
                {"to": "12345", "account": "esme"},
                {"to": "777*", "account": "both", "over": "both"},
            ],
            carrier={"mobile_originated": "refuse"},
        )
        esme = await self.esme(self.daemon.smpp_port, "esme")
        both = await self.esme(self.daemon.smpp_port, "both")
        esme.answer = lambda pdu: c.ESME_RX_R_APPN
        self.deliver(delivery("stop it"), delivery("hello"), delivery("to both", b"7771"), delivery("nobody's", b"1"))
        self.assertCountEqual(
            [(decode_message(c.DELIVER_SM, 1, body).short_message, c.status_name(status))
             for body, status in await self.all_answers(4)],
            [(b"stop it", "ESME_ROK"), (b"hello", "ESME_RX_R_APPN"), (b"to both", "ESME_ROK"),
             (b"nobody's", "ESME_RX_P_APPN")],
        )  # fmt: skip
        self.assertCountEqual([message["text"] for message in await self.told(2)], ["stop it", "to both"])
        await until("both has it over SMPP, too", lambda: len(both.others) == 1)
        self.assertEqual([pdu.short_message for pdu in both.others], [b"to both"])

    async def test_a_long_message_follows_its_first_word_although_its_account_has_smpp_only(self) -> None:
        await self.start([{"keyword": "NOW", "account": "esme"}])
        bodies = parts_of(LONG)
        self.deliver(bodies[1], bodies[2])
        self.deliver(bodies[0])
        self.assertEqual(await self.answered(3), ["ESME_ROK"] * 3)
        # Nobody was bound: it has waited.
        esme = await self.esme(self.daemon.smpp_port, "esme")
        await until("it has come", lambda: len(esme.others) == 1)
        self.assertEqual(message_octets(esme.others[0]), LONG.encode())
        self.assertEqual(self.receiver.posts, [])

    async def all_answers(self, count: int) -> Sequence[tuple[bytes, int]]:
        await self.answered(count)
        return self.carrier.answers


class OtherGatewaysTests(InboundTestCase):
    async def test_kannel_s_url_is_filled_in(self) -> None:
        receiver = await self.webhooks()
        url = f"http://127.0.0.1:{receiver.port}/sms?from=%p&to=%P&text=%a&key=%k&rest=%r&smsc=%i&id=%I"
        await self.start(account={"inbound_url": url, "inbound_format": "kannel"})
        self.deliver(delivery("Stop € now"))
        await until("it has come", lambda: bool(receiver.posts))
        asked = {key: values[0] for key, values in parse_qs(urlsplit(receiver.posts[0].path).query).items()}
        self.assertEqual(len(asked.pop("id")), 36)
        self.assertEqual(
            asked,
            {"from": "447700900001", "to": "12345", "text": "Stop € now", "key": "Stop", "rest": "Stop € now",
             "smsc": "tier1"},
        )  # fmt: skip

    async def test_jasmin_s_form_is_posted(self) -> None:
        await self.start(account={"inbound_format": "jasmin"})
        self.deliver(delivery("Grüße"), delivery("嗨"))
        await until("they have come", lambda: len(self.receiver.posts) == 2)
        forms = [parse_qs(post.body.decode("ascii"), encoding="latin-1") for post in self.receiver.posts]
        by_coding = {form["coding"][0]: form for form in forms}
        self.assertEqual(by_coding["8"]["binary"], ["嗨".encode("utf-16-be").hex()])
        gsm = by_coding["0"]
        self.assertEqual((gsm["from"], gsm["to"], gsm["origin-connector"]), ([HANDSET.decode()], ["12345"], ["tier1"]))
        self.assertEqual(bytes.fromhex(gsm["binary"][0]), encode("Grüße")[0])
        self.assertEqual(gsm["content"][0].encode("latin-1"), encode("Grüße")[0])


class SimulatorTests(InboundTestCase):
    async def test_the_simulated_carrier_s_handsets_reply(self) -> None:
        simulator = await self.simulator(reply_share=1.0, reply_text=LONG)
        receiver = await self.webhooks()
        self.daemon = await self.relay(
            accounts={"acme": smpp_account(inbound_url=receiver.url)},
            carriers={"sim": smpp_carrier(simulator.port, mobile_originated="acme")},
            routes=[{"carriers": ["sim"]}],
        )
        await self.daemon.carrier_bound(simulator)
        self.assertEqual((await self.post("447700900001", "12345"))[0], 202)
        [message] = await self.told(1, receiver)
        self.assertEqual((message["from"], message["to"], message["text"]), ("447700900001", "12345", LONG))
        await until("all is acknowledged", simulator.all_home)
