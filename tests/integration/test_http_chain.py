"""Relays in a row over HTTP, and over HTTP and SMPP in turn: every notification arrives, whichever relay is killed."""

import base64
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import ITCPTransport
from twisted.protocols import portforward
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from relay.accounts.signing import secret_key, signature
from relay.smpp.message_codec import message_body
from relay.values import smpp_constants as c
from relay.values.messages import destination_of
from relay.values.pdus import MessagePdu
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within
from tests.ports import free_port

SECRET = "whsec_" + base64.b64encode(b"the two relays' shared secret..!").decode()


def http_carrier(port: int, **more: Any) -> dict[str, Any]:
    """A carrier that is a relay's HTTP API on a port of loopback, where our account is `down`."""
    return {
        "kind": "http",
        "connect": f"http://127.0.0.1:{port}",
        "system_id": "down",
        "password": "key",
        "signing_secret": SECRET,
        "window": 500,
        "reconnect_min_seconds": 0.1,
        "reconnect_max_seconds": 0.3,
        "throttle_seconds": 0.1,
    } | more


class _AnswersBack(portforward.ProxyClient):
    """What comes back from the server."""

    def dataReceived(self, data: bytes) -> None:
        assert self.peer is not None
        way = self.peer.factory
        assert isinstance(way, LossyWay)
        if way.random.random() < way.lost_share:
            way.lost += 1
            ITCPTransport(self.transport).abortConnection()
            ITCPTransport(self.peer.transport).abortConnection()
        else:
            super().dataReceived(data)


class _AnswersBackFactory(portforward.ProxyClientFactory):
    protocol = _AnswersBack
    noisy = False


class _RequestsOn(portforward.ProxyServer):
    clientProtocolFactory = _AnswersBackFactory


class LossyWay(portforward.ProxyFactory):
    """A way to a server on which every request arrives and some answers don't: the connection ends instead.

    :ivar lost: how many.
    """

    protocol = _RequestsOn
    noisy = False

    def __init__(self, port: int, lost_share: float, seed: int) -> None:
        super().__init__("127.0.0.1", port)
        self.lost_share = lost_share
        self.random = random.Random(seed)
        self.lost = 0


class SilentApi(Resource):
    """An upstream that knows our account, and takes POSTs without a word until it is told to `speak`.

    :ivar posted: the items of each POST.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[list[dict[str, Any]]] = []
        self.speak = False

    def render_GET(self, request: Any) -> bytes:
        return b"{}"

    def render_POST(self, request: Any) -> Any:
        items = json.loads(request.content.read())
        self.posted.append(items)
        if not self.speak:
            return NOT_DONE_YET
        request.setResponseCode(202)
        return json.dumps([{"id": f"id-{item['idempotency_key']}"} for item in items]).encode()


class InDoubt(IntegrationTestCase):
    """The relay dies while the other one has its POST and has not answered."""

    async def killed_in_between(self, in_doubt: str) -> str:
        """Has one message posted and unanswered when the relay is killed, and starts it again; gives its id."""
        self.upstream = SilentApi()
        port = free_port()
        site = Site(self.upstream)
        site.noisy = False
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(site)
        self.addCleanup(listening.stopListening)
        relay = self.relay_process = self.prepare_relay(
            accounts={"acme": smpp_account()},
            carriers={"up": http_carrier(port, in_doubt=in_doubt)},
            routes=[{"carriers": ["up"]}],
        )
        await relay.start()
        esme = await self.esme(relay.smpp_port)
        [(status, message_id)] = await within(10, esme.submit([submit_body("447700900123")]))
        self.assertEqual(status, c.ESME_ROK)
        await until("it has been posted", lambda: self.upstream.posted)
        relay.kill()
        self.upstream.speak = True
        await relay.start()
        return str(message_id)

    async def test_with_resend_it_is_posted_again_under_the_same_key(self) -> None:
        await self.killed_in_between("resend")
        await until("it has been posted again", lambda: len(self.upstream.posted) == 2)
        [[first], [again]] = self.upstream.posted
        self.assertEqual(first["idempotency_key"], again["idempotency_key"])

    async def test_with_end_it_ends_unknown_and_is_never_posted_again(self) -> None:
        message_id = await self.killed_in_between("end")
        esme = await self.esme(self.relay_process.smpp_port)
        await until("the verdict is home", lambda: esme.receipts)
        self.assertEqual([(r.message_id, r.stat) for r in esme.receipts], [(message_id, "UNKNOWN")])
        # What is submitted now goes up alone: had the other one been in the queue, it would have gone before.
        await within(10, esme.submit([submit_body("447700900124")]))
        await until("the next one has been posted", lambda: len(self.upstream.posted) == 2)
        self.assertEqual([item["to"] for item in self.upstream.posted[1]], ["+447700900124"])


OTHER_SECRET = "whsec_" + base64.b64encode(b"what the other carrier signs with").decode()


class Notifications(IntegrationTestCase):
    """What may be posted to a relay as its carrier's news, and by whom."""

    async def world(self) -> None:
        self.upstream = SilentApi()
        self.upstream.speak = True
        port = free_port()
        site = Site(self.upstream)
        site.noisy = False
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(site)
        self.addCleanup(listening.stopListening)
        self.daemon = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"up": http_carrier(port), "other": http_carrier(port, signing_secret=OTHER_SECRET)},
            routes=[{"prefix": "1", "carriers": ["up"]}, {"prefix": "2", "carriers": ["other"]}],
        )
        self.customer = await self.esme(self.daemon.smpp_port)

    async def submitted(self, to: str) -> tuple[str, str]:
        """The id of a message and the carrier's id of it."""
        count = len(self.upstream.posted)
        [(status, message_id)] = await within(10, self.customer.submit([submit_body(to)]))
        self.assertEqual(status, c.ESME_ROK)
        await until("it has been posted", lambda: len(self.upstream.posted) > count)
        return message_id, f"id-{self.upstream.posted[-1][0]['idempotency_key']}"

    async def post(
        self, content: object, *, secret: str = SECRET, carrier: str = "up", off_seconds: float = 0.0
    ) -> int:
        """Posts a signed notification; gives the answer's status."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        timestamp = b"%d" % (time.time() + off_seconds)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": timestamp.decode(),
            "webhook-signature": signature([secret_key(secret)], b"msg_1", timestamp, body).decode(),
        }
        path = f"/carriers/{carrier}/notifications"
        status, _ = await self.http("POST", self.daemon, path, raw=body, headers=headers.items())
        return int(status)

    async def test_a_recorded_notification_tells_nothing_new_and_an_old_one_is_refused(self) -> None:
        await self.world()
        message_id, carrier_id = await self.submitted("1005550123")
        news = {"url": "x", "id": carrier_id, "send_status": "failed", "status": "UNDELIV", "error": "005"}
        statuses = [await self.post(news, off_seconds=off) for off in (-3600, 3600, 0, 0, -100)]
        self.assertEqual(statuses, [401, 401, 204, 204, 204])
        self.assertEqual(await self.post(news | {"status": "DELIVRD"}), 204)
        await until("the receipt is home", lambda: self.customer.receipts)
        self.assertIn("s behind this relay's clock", self.daemon.log())
        # Another one's news, behind which a second receipt of the first would have come.
        second_id, second = await self.submitted("1005550124")
        self.assertEqual(await self.post(news | {"id": second}), 204)
        await until("the second receipt is home", lambda: len(self.customer.receipts) > 1)
        self.assertEqual(
            [(receipt.message_id, receipt.stat) for receipt in self.customer.receipts],
            [(message_id, "UNDELIV"), (second_id, "UNDELIV")],
        )

    async def test_a_carrier_can_say_nothing_of_another_carriers_messages(self) -> None:
        await self.world()
        message_id, carrier_id = await self.submitted("1005550123")
        news = {"url": "x", "id": carrier_id, "send_status": "delivered", "status": "DELIVRD", "error": "000"}
        self.assertEqual(await self.post(news, secret=OTHER_SECRET), 401)
        # With its own signature and under its own name it may say it, but it is about no message of its.
        self.assertEqual(await self.post(news, secret=OTHER_SECRET, carrier="other"), 204)
        self.assertEqual(await self.metric(self.daemon, "relay_store_orphans"), 1)
        self.assertEqual(self.customer.receipts, [])
        self.assertEqual(await self.post(news | {"status": "EXPIRED"}), 204)
        await until("the carrier's own word is home", lambda: self.customer.receipts)
        self.assertEqual([(r.message_id, r.stat) for r in self.customer.receipts], [(message_id, "EXPIRED")])

    async def test_signed_nonsense_costs_nothing_but_its_own_answer(self) -> None:
        await self.world()
        message_id, carrier_id = await self.submitted("1005550123")
        for content, expected in (
            (b"", 400),
            (b"\xff", 400),
            (b"[" * 100_000, 400),
            (7, 400),
            ([{}, 7], 400),
            ([{}] * 1001, 400),
            ([], 204),
            ({}, 204),
            ({"id": carrier_id}, 204),
            ({"id": [carrier_id], "status": "DELIVRD"}, 204),
            ({"id": carrier_id, "status": {"DELIVRD": 1}}, 204),
            ({"id": carrier_id, "status": "NOSUCHWORD"}, 204),
            ({"id": "x" * 100_000, "status": "DELIVRD"}, 204),
            ({"id": "\0\r\n", "status": "DELIVRD", "error": "\0" * 10_000}, 204),
        ):
            self.assertEqual(await self.post(content), expected, repr(content)[:60])
        self.assertEqual(self.customer.receipts, [])
        self.assertEqual(await self.post([{"id": carrier_id, "status": "DELIVRD", "error": None}]), 204)
        await until("the receipt is home", lambda: self.customer.receipts)
        self.assertEqual([(r.message_id, r.stat) for r in self.customer.receipts], [(message_id, "DELIVRD")])
        self.assertNotIn("Traceback", self.daemon.log())


class HttpChain(IntegrationTestCase):
    """customer -> A -> B -> C -> simulated carrier; between relays HTTP, to the carrier SMPP."""

    def last(self, name: str, **account: Any) -> Relay:
        return self.prepare_relay(
            name,
            accounts={"down": smpp_account(max_binds=10, **account)},
            carriers={"up": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["up"]}],
        )

    def over_http(self, name: str, upstream: Relay, carrier: dict[str, object] | None = None, **account: Any) -> Relay:
        """A relay whose carrier is `upstream`'s API; its notifications come to this relay.

        :param carrier: more of the carrier's settings.
        """
        relay = self.prepare_relay(
            name,
            accounts={"down": smpp_account(max_binds=10, **account)},
            carriers={"up": http_carrier(upstream.http_port, **(carrier or {}))},
            routes=[{"carriers": ["up"]}],
        )
        upstream.configuration["accounts"]["down"] |= {
            "notification_url": f"http://127.0.0.1:{relay.http_port}/carriers/up/notifications",
            "notification_secret": SECRET,
            "notification_batch": 50,
        }
        return relay

    async def over_lossy_http(self, name: str, upstream: Relay, lost_share: float) -> tuple[Relay, LossyWay]:
        """As `over_http`, where this share of the answers gets lost. Of few parts at a time, so that there are many."""
        way = LossyWay(upstream.http_port, lost_share, seed=5)
        port = free_port()
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(way)
        self.addCleanup(listening.stopListening)
        return self.over_http(name, upstream, {"connect": f"http://127.0.0.1:{port}", "window": 40}), way

    async def begin(self, *relays: Relay) -> None:
        for relay in relays:
            relay.launch()
        for relay in relays:
            await relay.ready()

    async def test_messages_of_http_and_smpp_customers_come_home_through_two_relays(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        receiver = await self.webhooks()
        b = self.last("b")
        a = self.over_http("a", b)
        a.configuration["accounts"]["web"] = smpp_account("web", api_key="webkey", notification_url=receiver.url)
        await self.begin(b, a)
        long_text = "All of this is one message. " * 12
        texts = ["Hello", "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439", long_text]
        ids = []
        for text in texts:
            status, answer = await self.http(
                "POST",
                a,
                "/messages",
                {"to": "+447700900123", "from": "RELAY", "text": text},
                account="web",
                key="webkey",
            )
            self.assertEqual(status, 202)
            ids.append(answer["id"])
        esme = await self.esme(a.smpp_port)
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(500)]))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("all receipts are home", lambda: len(esme.receipts) >= 500, 60)
        await until("all webhooks are home", lambda: len(receiver.posts) >= 3)
        self.assertEqual(
            sorted((receipt.message_id, receipt.stat) for receipt in esme.receipts),
            sorted((message_id, "DELIVRD") for _, message_id in answers),
        )
        self.assertEqual(sorted(post.json["id"] for post in receiver.posts), sorted(ids))
        self.assertEqual({post.json["status"] for post in receiver.posts}, {"DELIVRD"})
        # One part each, three for the long one: the second relay passed the first one's parts on as they were.
        self.assertEqual(self.carrier.counters.taken, 505)

    async def test_a_binary_part_arrives_octet_for_octet(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        b = self.last("b")
        a = self.over_http("a", b)
        await self.begin(b, a)
        addresses = b"\x01\x01447700900001\0\x01\x01447700900123\0"
        octets = b"\x06\x05\x04\x0b\x84\x23\xf0" + bytes(range(100))
        seen: list[bytes] = []
        taken = self.carrier.carrier.submitted

        def spy(protocol: Any, pdus: Sequence[MessagePdu]) -> None:
            seen.extend(pdu.short_message for pdu in pdus)
            taken(protocol, pdus)

        self.patch(self.carrier.carrier, "submitted", spy)
        esme = await self.esme(a.smpp_port)
        body = message_body(addresses=addresses, short_message=octets, esm_class=0x40, data_coding=4)
        answers = await within(30, esme.submit([body]))
        await until("the receipt is home", lambda: len(esme.receipts) == 1)
        self.assertEqual(answers[0][0], c.ESME_ROK)
        self.assertEqual(seen, [octets])

    def count_at_the_carrier(self) -> Counter[bytes]:
        """Counts, from now on, how often the simulated carrier is handed a message to each number."""
        seen: Counter[bytes] = Counter()
        taken = self.carrier.carrier.submitted

        def count(protocol: Any, pdus: Sequence[MessagePdu]) -> None:
            seen.update(destination_of(pdu.addresses) for pdu in pdus)
            taken(protocol, pdus)

        self.patch(self.carrier.carrier, "submitted", count)
        return seen

    async def killed_under_load(
        self, seed: int, first: Relay, killed: Sequence[Relay], seen: Counter[bytes]
    ) -> tuple[set[bytes], Counter[str]]:
        """Submits to `first`, round by round, and kills each of `killed` in turn once the carrier has seen so many of
        the round's messages. Gives the numbers of what was accepted, and how often each state came home."""
        rng = random.Random(seed)
        accepted: set[bytes] = set()
        wanted: set[str] = set()
        home: dict[str, str] = {}

        def all_home(esme: FastEsme) -> bool:
            home.update({receipt.message_id: receipt.stat for receipt in esme.receipts})
            return home.keys() >= wanted

        for number, relay in enumerate(killed):
            esme = await self.esme(first.smpp_port)
            numbers = [f"4477{number:02}{n:06}" for n in range(400)]
            answers = esme.submit([submit_body(to) for to in numbers])
            goal = sum(seen.values()) + rng.randrange(1, 300)
            await until("enough is with the carrier", lambda goal=goal: sum(seen.values()) >= goal, 30)
            relay.kill()
            for to, (status, message_id) in zip(numbers, await within(60, answers), strict=True):
                if status == c.ESME_ROK:
                    accepted.add(to.encode())
                    wanted.add(message_id)
            all_home(esme)
            await esme.leave()
            await relay.start()
            # Before the next kill: a notification that fails a second time is not tried for five minutes.
            back = await self.esme(first.smpp_port)
            await until("every accepted message has its notification", lambda back=back: all_home(back), 60)
            await back.leave()
        return accepted, Counter(home[message_id] for message_id in wanted)

    async def test_parts_under_way_when_the_sending_relay_was_killed_are_sent_once(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        seen = self.count_at_the_carrier()
        b = self.last("b")
        a = self.over_http("a", b)
        await self.begin(b, a)
        accepted, states = await self.killed_under_load(11, a, [a] * 4, seen)
        self.assertGreater(len(accepted), 600)
        self.assertLessEqual(accepted, seen.keys())
        self.assertEqual([to for to, times in seen.items() if times > 1], [])
        self.assertEqual(states.keys(), {"DELIVRD"})

    async def test_a_part_is_taken_once_although_answers_get_lost_and_both_relays_are_killed(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        seen = self.count_at_the_carrier()
        b = self.last("b")
        # So that what goes to the carrier twice was taken twice from the first relay.
        b.configuration["carriers"]["up"]["in_doubt"] = "end"
        a, way = await self.over_lossy_http("a", b, 0.2)
        await self.begin(b, a)
        accepted, states = await self.killed_under_load(12, a, [b, a, b, b], seen)
        self.assertGreater(len(accepted), 600)
        self.assertGreater(way.lost, 0)
        self.assertEqual([to for to, times in seen.items() if times > 1], [])
        self.assertLessEqual(states.keys(), {"DELIVRD", "UNKNOWN"})

    async def test_three_relays_all_killed_in_turn_with_answers_lost_between_them_send_nothing_twice(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        seen = self.count_at_the_carrier()
        c_relay = self.last("c")
        c_relay.configuration["carriers"]["up"]["in_doubt"] = "end"
        b, _ = await self.over_lossy_http("b", c_relay, 0.1)
        a, _ = await self.over_lossy_http("a", b, 0.1)
        await self.begin(c_relay, b, a)
        accepted, states = await self.killed_under_load(13, a, [b, c_relay, a, c_relay], seen)
        self.assertGreater(len(accepted), 600)
        self.assertEqual([to for to, times in seen.items() if times > 1], [])
        self.assertLessEqual(states.keys(), {"DELIVRD", "UNKNOWN"})

    async def test_with_a_wrong_secret_nothing_is_believed_and_nothing_lost_until_it_is_put_right(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        b = self.last("b")
        a = self.over_http("a", b, {"signing_secret": OTHER_SECRET})
        await self.begin(b, a)
        esme = await self.esme(a.smpp_port)
        answers = await within(30, esme.submit([submit_body(f"4477{n:08}") for n in range(100)]))
        await until("the log says why", lambda: "carrier_notification_refused" in a.log())
        self.assertIn("webhook-signature was not made with", a.log())
        self.assertEqual(await self.metric(a, "relay_store_orphans"), 0)
        a.configuration["carriers"]["up"]["signing_secret"] = SECRET
        a.write_file()
        assert a.process is not None
        a.process.send_signal(signal.SIGHUP)
        await until("all are home", lambda: len(esme.receipts) >= 100, 60)
        self.assertEqual(
            sorted(receipt.message_id for receipt in esme.receipts), sorted(message_id for _, message_id in answers)
        )

    async def test_a_carrier_that_was_removed_is_believed_until_its_notifications_are_home(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=3.0)
        b = self.last("b")
        a = self.over_http("a", b)
        await self.begin(b, a)
        esme = await self.esme(a.smpp_port)
        answers = await within(30, esme.submit([submit_body(f"4477{n:08}") for n in range(50)]))
        await until("they are with the last carrier", lambda: self.carrier.counters.taken == 50)
        a.configuration |= {"carriers": {}, "routes": []}
        a.write_file()
        assert a.process is not None
        a.process.send_signal(signal.SIGHUP)
        await until("it drains", lambda: "carrier_draining: up" in a.log())
        await until("all are home", lambda: len(esme.receipts) >= 50, 60)
        self.assertEqual(
            sorted((receipt.message_id, receipt.stat) for receipt in esme.receipts),
            sorted((message_id, "DELIVRD") for _, message_id in answers),
        )
        await until("it is over", lambda: "carrier_removed: up" in a.log())
        self.assertIn("outstanding receipts that are lost: 0", a.log())

    async def test_a_notification_that_came_before_the_answer_is_matched_after_a_restart(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        seen = self.count_at_the_carrier()
        b = self.last("b")
        a, way = await self.over_lossy_http("a", b, 0.0)
        await self.begin(b, a)
        await until("the first relay is bound", lambda: "carrier_bound" in a.log())
        way.lost_share = 1.0
        esme = await self.esme(a.smpp_port)
        answers = await within(30, esme.submit([submit_body(f"4477{n:08}") for n in range(30)]))
        await until("the receipts are back at the first relay", lambda: self.carrier.all_home() and len(seen) == 30)

        async def orphans() -> float:
            return await self.metric(a, "relay_store_orphans")

        await until("they wait there in the journal", lambda: len(a.journal("Receipt")) >= 30)
        self.assertEqual(await orphans(), 30)
        self.assertEqual(esme.receipts, [])
        a.kill()
        await a.start()
        self.assertEqual(await orphans(), 30)
        way.lost_share = 0.0
        back = await self.esme(a.smpp_port)
        await until("all are home", lambda: len(back.receipts) >= 30)
        self.assertEqual(
            sorted((receipt.message_id, receipt.stat) for receipt in back.receipts),
            sorted((message_id, "DELIVRD") for _, message_id in answers),
        )
        self.assertEqual(set(seen.values()), {1})

    async def test_nothing_accepted_is_lost_when_the_middle_one_is_killed(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.2)
        c_relay = self.last("c")
        b = self.over_http("b", c_relay)
        a = self.over_http("a", b)
        await self.begin(c_relay, b, a)
        esme = await self.esme(a.smpp_port)
        submitted = esme.submit([submit_body(f"4477{n:08}") for n in range(3000)])
        await until("traffic flows both ways", lambda: len(esme.receipts) > 100, 60)
        b.kill()
        answers = await within(60, submitted)
        accepted = {message_id for status, message_id in answers if status == c.ESME_ROK}
        self.assertEqual(len(accepted), 3000)
        await b.start()
        await until(
            "every accepted message has its notification",
            lambda: {receipt.message_id for receipt in esme.receipts} >= accepted,
            90,
        )
        self.assertEqual({receipt.stat for receipt in esme.receipts}, {"DELIVRD"})

    async def test_http_and_smpp_carriers_take_turns(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        c_relay = self.last("c")
        b = self.over_http("b", c_relay)
        a = self.prepare_relay(
            "a",
            accounts={"down": smpp_account(max_binds=10)},
            carriers={"up": smpp_carrier(b.smpp_port, system_id="acme", password="secret08")},
            routes=[{"carriers": ["up"]}],
        )
        await self.begin(c_relay, b, a)
        esme = await self.esme(a.smpp_port)
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(500)]))
        b.kill()
        await b.start()
        await until(
            "every accepted message has its notification",
            lambda: {receipt.message_id for receipt in esme.receipts} >= {message_id for _, message_id in answers},
            60,
        )
        self.assertEqual({receipt.stat for receipt in esme.receipts}, {"DELIVRD"})

    async def test_a_notification_that_is_not_the_carriers_is_refused(self) -> None:
        self.carrier = await self.simulator()
        b = self.last("b")
        a = self.over_http("a", b)
        await self.begin(b, a)
        forged = json.dumps({"id": "72b83667-a8f1-4c09-861f-e1ee6dd4561b", "status": "DELIVRD", "error": "000"})
        status, _ = await self.http("POST", a, "/carriers/up/notifications", raw=forged.encode())
        self.assertEqual(status, 401)
        status, _ = await self.http("POST", a, "/carriers/down/notifications", raw=forged.encode())
        self.assertEqual(status, 404)
