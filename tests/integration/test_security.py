"""The relay under attack: guessed passwords, silent peers, ambiguous requests, internal URLs, forged log lines."""

import contextlib
import re
import socket
import struct

from twisted.internet import reactor, task
from twisted.internet.error import ConnectError

from relay.values import smpp_constants as c
from tests.fakes import BindFailed, bind_body, pdu, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within
from tests.ports import free_port

MESSAGE = {"to": "+447700900001", "from": "447700900000", "text": "hello"}


class Security(IntegrationTestCase):
    async def world(self, account: dict[str, object] | None = None, **configuration: dict[str, object]) -> Relay:
        """A relay with a simulated carrier, and a bystander's session. Listeners' settings are merged in."""
        self.carrier = await self.simulator()
        relay = self.prepare_relay(
            accounts={
                "acme": account or smpp_account(max_binds=1000),
                "other": smpp_account("other", api_key="other-key"),
            },
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["sim"]}],
        )
        for key, value in configuration.items():
            relay.configuration[key] = relay.configuration.get(key, {}) | value
        await relay.start()
        await relay.carrier_bound(self.carrier)
        self.bystander = await self.esme(relay.smpp_port, "other")
        return relay

    async def undisturbed(self) -> None:
        before = len(self.bystander.receipts)
        answers = await within(20, self.bystander.submit([submit_body("447700900001")] * 5))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("the bystander's receipts are home", lambda: len(self.bystander.receipts) >= before + 5)


class Guessing(Security):
    async def test_an_address_that_guesses_passwords_is_not_heard_any_more_and_bound_sessions_stay(self) -> None:
        relay = await self.world(smpp={"failed_binds_a_minute": 5})
        for _ in range(5):
            with self.assertRaises(BindFailed) as caught:
                await self.esme(relay.smpp_port, "acme", "wrong")
            self.assertEqual(caught.exception.command_status, c.ESME_RBINDFAIL)
        for password in ("wrong", "secret08"):
            with self.assertRaises(BindFailed) as caught:
                await self.esme(relay.smpp_port, "acme", password)
            self.assertEqual(caught.exception.command_status, c.ESME_RBINDFAIL, password)
        await self.undisturbed()

    async def test_too_many_sessions_are_no_guesses(self) -> None:
        relay = await self.world(smpp_account(max_binds=1), smpp={"failed_binds_a_minute": 3})
        bound = await self.esme(relay.smpp_port)
        for _ in range(5):
            with self.assertRaises(BindFailed) as caught:
                await self.esme(relay.smpp_port)
            self.assertEqual(caught.exception.command_status, c.ESME_RALYBND)
        await bound.leave()
        await self.esme(relay.smpp_port)

    async def test_from_another_network_the_right_password_gets_the_same_answer_as_a_wrong_one(self) -> None:
        account = smpp_account()
        account["smpp"]["allow_from"] = ["192.0.2.0/24"]
        relay = await self.world(account)
        for password in ("wrong", "secret08"):
            with self.assertRaises(BindFailed) as caught:
                await self.esme(relay.smpp_port, "acme", password)
            self.assertEqual(caught.exception.command_status, c.ESME_RBINDFAIL, password)

    async def test_an_address_that_guesses_keys_gets_429_whatever_it_sends(self) -> None:
        relay = await self.world(http={"failed_logins_a_minute": 5, "kannel": True})
        wrong = "/cgi-bin/sendsms?username=acme&password=wrong&to=447700900001&from=447700&text=hi"
        for attempt in range(5):
            if attempt % 2:
                status, _ = await self.http("GET", relay, wrong, headers=[("Authorization", "")])
                self.assertEqual(status, 403)
            else:
                status, _ = await self.http("GET", relay, "/account", key="wrong")
                self.assertEqual(status, 401)
        for path, key in (("/account", "wrong"), ("/account", "key"), (wrong.replace("=wrong", "=key"), "key")):
            status, _ = await self.http("GET", relay, path, key=key)
            self.assertEqual(status, 429, path)
        status, _ = await self.http("GET", relay, "/openapi.json")
        self.assertEqual(status, 200)


class SlowAndSilent(Security):
    async def test_connections_that_never_bind_are_closed_when_their_time_is_up(self) -> None:
        relay = await self.world(smpp={"bind_timeout_seconds": 1})
        half_a_bind = pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08"))[:-3]
        peers = [await self.raw(relay.smpp_port, half_a_bind[:n]) for n in range(30)]
        for peer in peers:
            await within(20, peer.gone)
        await self.undisturbed()

    async def test_an_address_can_not_hold_more_than_its_share_of_connections(self) -> None:
        relay = await self.world(limits={"connections_per_address": 20})
        for port in (relay.smpp_port, relay.http_port):
            peers = []
            for _ in range(40):
                # One that is too many may be reset before it has seen that it was made.
                with contextlib.suppress(ConnectError):
                    peers.append(await self.raw(port))
            await until("20 at the most are left", lambda peers=peers: sum(not peer.closed for peer in peers) <= 20)
            self.assertGreaterEqual(sum(not peer.closed for peer in peers), 18)
        await self.undisturbed()

    async def test_a_client_that_never_reads_is_not_read_any_more_and_costs_a_bounded_amount(self) -> None:
        relay = await self.world()
        resident_before = relay.resident_bytes()
        asking = pdu(c.ENQUIRE_LINK, sequence_number=7) * 4000
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", relay.smpp_port))
        deaf.setblocking(False)
        deaf.send(pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")))
        sent = 0
        idle = 0
        # Until the kernel takes nothing for a while: then the relay has stopped reading.
        while idle < 50:
            self.assertLess(sent, 200_000_000, "the relay reads on although its answers aren't read")
            try:
                sent += deaf.send(asking)
                idle = 0
                await task.deferLater(reactor, 0)
            except BlockingIOError:
                idle += 1
                await task.deferLater(reactor, 0.01)
        self.assertLess(relay.resident_bytes() - resident_before, 20_000_000)
        await self.undisturbed()


class AmbiguousRequests(Security):
    async def test_a_request_whose_length_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(self) -> None:
        relay = await self.world()
        second = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        for head in (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
            b"Content-Length: 5\r\nContent-Length: 50",
            b"Content-Length: -1",
            b"Content-Length: +5",
            b"Content-Length: 5, 5",
            b"Content-Length: 0x5",
            b"Content-Length: 5_0",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding: chunked, identity",
            b"no colon",
        ):
            peer = await self.raw(
                relay.http_port, b"POST /messages HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + second
            )
            await within(10, peer.gone)
            self.assertEqual(len(re.findall(rb"HTTP/1\.1 \d", peer.received)), 1, (head, bytes(peer.received)))
            self.assertRegex(bytes(peer.received), rb"^HTTP/1\.1 (400|413|501) ", str(head))

    async def test_a_chunk_of_impossible_length_ends_the_connection(self) -> None:
        relay = await self.world()
        for chunk in (
            b"-1\r\nx",
            b"FFFFFFFFFFFFFFFFFF\r\n" + b"x" * 2_000_000,
            b"0x1\r\nx\r\n0\r\n\r\n",
            b"1" * 5000,
            b"g\r\n",
        ):
            head = b"POST /messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            peer = await self.raw(relay.http_port, head + chunk)
            await within(10, peer.gone)
            self.assertLessEqual(len(re.findall(rb"HTTP/1\.1 \d", peer.received)), 1, chunk)
            self.assertNotIn(b"HTTP/1.1 2", peer.received)
        await self.undisturbed()

    async def test_a_flood_of_requests_on_one_connection_is_read_no_faster_than_its_answers(self) -> None:
        relay = await self.world()
        resident_before = relay.resident_bytes()
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", relay.http_port))
        deaf.setblocking(False)
        flood = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500
        sent = idle = 0
        while idle < 50:
            self.assertLess(sent, 50_000_000, "the relay reads on although its answers aren't read")
            try:
                sent += deaf.send(flood)
                idle = 0
                await task.deferLater(reactor, 0)
            except BlockingIOError:
                idle += 1
                await task.deferLater(reactor, 0.01)
        self.assertLess(relay.resident_bytes() - resident_before, 30_000_000)
        await self.undisturbed()

    async def test_json_that_is_deep_huge_or_no_text_is_a_problem_and_no_error(self) -> None:
        relay = await self.world()
        good = b'{"to":"+447700900001","from":"447700","text":%b}'
        for body in (
            b"[" * 200_000,
            b'{"to":' * 100_000,
            b"[" + good % b"1e999" + b"]",
            good % (b"9" * 100_000),
            good % b'"\\ud800"',
            good % b'"\\udc00\\ud800"',
            good % b'"\xed\xa0\x80"',
            good % b'"\xff"',
            b"\xef\xbb\xbf{}",
            b"\0" * 100_000,
        ):
            status, answer = await self.http("POST", relay, "/messages", raw=body)
            # An array is answered item by item; of one whose items are all refused nothing is taken.
            self.assertIn(status, (202, 400, 422), body[:40])
            if status == 202:
                self.assertNotIn("id", str(answer).replace("invalid", ""), body[:40])
        await self.undisturbed()


class UrlsThatLeadInside(Security):
    async def test_no_spelling_of_a_loopback_address_reaches_the_relays_own_machine(self) -> None:
        receiver = await self.webhooks()
        relay = await self.world(smpp_account(allow_private_urls=False))
        hosts = (
            "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "0.0.0.0", "localhost", "localhost.",
            "LOCALHOST", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]", "\uff11\uff12\uff17.0.0.1", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
            "127.0.0.1.", "user@127.0.0.1", "example.com@127.0.0.1",
        )  # fmt: skip
        for host in hosts:
            url = f"http://{host}:{receiver.port}/hooks"
            status, _ = await self.http("PUT", relay, "/account/notification-url", {"url": url})
            if status == 200:
                # Its form is fine; then it is the address that has to give it away.
                status, answer = await within(30, self.http("POST", relay, "/account/test-notification"))
                self.assertNotIn("200", str(answer.get("answer", "")), host)
        self.assertEqual([post.path for post in receiver.posts], [])

    async def test_a_url_can_not_add_a_header_or_a_request(self) -> None:
        relay = await self.world()
        for url in (
            "http://127.0.0.1/\r\nX: y",
            "http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\nGET /",
            "http://127.0.0.1\r\n/",
            "http://a:b\r\nX: y@127.0.0.1/",
            "http://127.0.0.1/\t",
            "file:///etc/passwd",
            "gopher://127.0.0.1/_x",
            "http+unix://%2Fvar%2Frun/x",
        ):
            status, _ = await self.http("POST", relay, "/messages", MESSAGE | {"notification_url": url})
            self.assertEqual(status, 422, url)

    async def test_a_redirect_is_not_followed(self) -> None:
        inside = await self.webhooks()
        answer = f"HTTP/1.1 307 Go\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode()
        port, asked = free_port(), []

        async def serve() -> None:
            from twisted.internet.endpoints import TCP4ServerEndpoint
            from twisted.internet.protocol import Factory, Protocol

            class Redirecting(Protocol):
                def dataReceived(self, data: bytes) -> None:
                    asked.append(data)
                    self.transport.write(answer)  # type: ignore[union-attr]

            listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(
                Factory.forProtocol(Redirecting)
            )
            self.addCleanup(listening.stopListening)

        await serve()
        relay = await self.world(smpp_account(notification_url=f"http://127.0.0.1:{port}/"))
        status, message = await self.http("POST", relay, "/messages", MESSAGE)
        self.assertEqual(status, 202)

        async def ended() -> bool:
            return bool((await self.http("GET", relay, f"/messages/{message['id']}"))[1]["attempts"])

        await until("the attempt has ended", ended)
        self.assertTrue(asked)
        self.assertEqual(inside.posts, [])


class Logs(Security):
    async def test_no_secret_and_no_text_is_ever_logged(self) -> None:
        receiver = await self.webhooks()
        account = smpp_account(
            "acme", "pw-sesam", api_key="key-sesam-key", notification_url=receiver.url.replace("//", "//u:url-sesam@"),
            notification_secret="whsec_c2VzYW1zZXNhbXNlc2Ftc2VzYW1zZXNhbXNlc2Ft",
        )  # fmt: skip
        relay = await self.world(account, logs={"format": "json"})
        esme = await self.esme(relay.smpp_port, "acme", "pw-sesam")
        for status in (200, 500):
            receiver.status = status
            await within(30, esme.submit([submit_body("447700900042", b"text-sesam")] * 500))
            for _ in range(20):
                message = MESSAGE | {"text": "http-sesam", "to": "+447700900042"}
                await self.http("POST", relay, "/messages", message, key="key-sesam-key")
        for password in ("pw-sesam", "no-sesam"):
            with self.assertRaises(BindFailed):
                await self.esme(relay.smpp_port, "nobody", password)
        await self.http("GET", relay, "/account", key="wrong-sesam")
        await self.http("GET", relay, "/nowhere?key=query-sesam", key="key-sesam-key")
        await self.raw(
            relay.smpp_port, pdu(c.SUBMIT_SM, submit_body("447700900042", b"early-sesam")) + b"\0\0\0\x01sesam"
        )
        await within(30, esme.submit([submit_body("4" * 300, b"bad-sesam")] * 5))
        await until("the receipts are home", lambda: len(esme.receipts) >= 1000)
        await relay.stop()
        log = relay.log_file.read_text(errors="replace")
        self.assertIn("customer_bound", log)
        self.assertNotIn("sesam", log)
        self.assertNotIn("c2VzYW1", log)
        self.assertNotIn("447700900042", log)

    async def test_text_from_a_peer_can_not_begin_a_log_line(self) -> None:
        relay = await self.world()
        for system_id in ("x\r\nforged_a: b", "x\nforged_a: b", "x\u0085forged_a:", "x\x1b[2Jforged_a:"):
            body = system_id.encode("latin-1") + b"\0wrong\0\0\x34\0\0\0"
            peer = await self.raw(relay.smpp_port, pdu(c.BIND_TRANSCEIVER, body))
            await within(10, peer.gone)
        await self.raw(relay.http_port, b"GET /\x1b[2J\x0bforged_a: HTTP/1.1\r\nX: y\r\n\r\n")
        await self.undisturbed()
        log = relay.log_file.read_bytes().decode("latin-1")
        self.assertIn("customer_bind_refused", log)
        for line in re.split("[\r\n\x85\x0b\x0c]", log):
            self.assertFalse(line.startswith("forged_a"), line)
        self.assertNotIn("\x1b", log)


class Resets(Security):
    async def test_connections_that_are_reset_at_any_moment_leave_nothing_behind(self) -> None:
        relay = await self.world()
        octets = (
            pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")) + pdu(c.SUBMIT_SM, submit_body("447700900001")) * 20
        )
        linger = struct.pack("ii", 1, 0)
        for number in range(100):
            one = socket.create_connection(("127.0.0.1", relay.smpp_port))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            one.sendall(octets[: number * 17])
            if number % 3:
                await task.deferLater(reactor, 0.002)
            one.close()
        await self.undisturbed()
        await until("the relay has one connection left", self._connections_gone(relay))
        self.assertNotIn("Traceback", relay.log(100_000))

    def _connections_gone(self, relay: Relay):  # type: ignore[no-untyped-def]
        """Whether only the bystander's connection is open, by the kernel's account."""
        wanted = f":{relay.smpp_port:04X}"

        def gone() -> bool:
            with open("/proc/net/tcp") as table:
                rows = [line.split() for line in table]
            return sum(row[1].endswith(wanted) and row[3] == "01" for row in rows[1:]) == 1

        return gone
