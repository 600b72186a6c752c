"""One connection can't delay others by more than its share, and can't smuggle a request into another one."""

import base64

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relay.config.daemon_config import Limits
from relay.http.api_request import ApiRequest
from relay.http.http_connection import UNREAD_BYTES
from tests.http.http_driver import KEY, Connection, HttpDriver

LOGIN = b"Authorization: Basic " + base64.b64encode(f"acme:{KEY}".encode())
STRANGERS_REQUEST = b"HEAD /openapi.json HTTP/1.1\r\n\r\n"
CUSTOMERS_REQUEST = b"GET /account HTTP/1.1\r\n%b\r\n\r\n" % LOGIN


def replies(connection: Connection) -> int:
    """How many replies have come."""
    written: bytes = connection.transport.value()
    return written.count(b"HTTP/1.1 ")


class FloodTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.http = HttpDriver(limits=Limits(requests_before_login=0))

    def test_while_many_requests_wait_the_socket_is_not_read_whatever_is_answered(self) -> None:
        connection = self.http.connect()
        connection.write(b"HEAD /login HTTP/1.1\r\nHost: x\r\n\r\n" * 3_000)
        for _ in range(50):
            self.http.turn()
            if len(connection.channel._unread) > UNREAD_BYTES:
                self.assertEqual(connection.transport.producerState, "paused")
        self.assertGreater(len(connection.transport.value()), 0)

    def test_a_write_full_of_requests_is_answered_over_many_turns(self) -> None:
        flood = self.http.connect()
        flood.write(STRANGERS_REQUEST * 100)
        before = replies(flood)
        self.assertLessEqual(before, 3)
        while replies(flood) < 100:
            self.http.turn()
            self.assertLessEqual(replies(flood) - before, 3)
            before = replies(flood)

    def test_a_customer_is_answered_in_the_next_turn_beside_a_flood_before_login(self) -> None:
        floods = [self.http.connect(f"198.51.100.{n // 75}") for n in range(150)]
        for flood in floods:
            flood.write(STRANGERS_REQUEST * 200)
        self.http.turn()
        for _ in range(5):
            customer = self.http.connect()
            before = sum(map(replies, floods))
            customer.write(CUSTOMERS_REQUEST)
            self.http.turn()
            self.assertEqual(replies(customer), 1)
            self.assertLessEqual(sum(map(replies, floods)) - before, 3)

    def test_a_flood_with_a_login_leaves_the_other_customers_half_of_the_answers(self) -> None:
        flood, other = self.http.connect(), self.http.connect()
        flood.write(CUSTOMERS_REQUEST * 1_000)
        key = base64.b64encode(b"other:" + b"o" * 24)
        other.write(b"GET /account HTTP/1.1\r\nAuthorization: Basic %b\r\n\r\n" % key * 200)
        began = replies(flood)
        while replies(other) < 200:
            self.http.turn()
        self.assertLess(replies(flood) - began, 250)

    def test_replies_come_in_the_order_of_the_requests(self) -> None:
        connection = self.http.connect()
        paths = [b"/openapi.json", b"/nothing", b"/account", b"/docs"] * 10
        connection.write(b"".join(b"HEAD %b HTTP/1.1\r\n\r\n" % path for path in paths))
        self.http.serve()
        statuses = [line[9:12] for line in connection.transport.value().split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        self.assertEqual(statuses, [b"200", b"404", b"401", b"200"] * 10)

    def test_bodies_of_pipelined_requests_are_taken_for_no_requests(self) -> None:
        connection = self.http.connect()
        body = b'{"to":"447700900123","from":"RELAY","text":"GET / HTTP/1.1"}'
        head = b"POST /messages HTTP/1.1\r\nCookie: a=b\r\n%b\r\nContent-Length: %d\r\n\r\n" % (LOGIN, len(body))
        connection.write((head + body) * 30)
        self.http.serve()
        self.assertEqual(len(self.http.flow.accepted), 30)
        self.assertEqual(connection.transport.value().count(b"HTTP/1.1 202"), 30)

    def test_requests_that_come_faster_than_answers_wait_in_the_senders_socket(self) -> None:
        connection = self.http.connect()
        connection.write(STRANGERS_REQUEST * 1_000)
        self.assertEqual(connection.transport.producerState, "paused")
        self.http.serve()
        self.assertEqual(connection.transport.producerState, "producing")
        self.assertEqual(replies(connection), 1_000)

    def test_requests_behind_a_long_poll_are_not_read(self) -> None:
        connection = self.http.connect()
        connection.send("GET", "/notifications?wait=30")
        connection.write(STRANGERS_REQUEST * (UNREAD_BYTES // len(STRANGERS_REQUEST) + 1))
        self.assertEqual((connection.transport.producerState, replies(connection)), ("paused", 0))
        self.http.clock.pump([0.5] * 62)
        self.http.serve()
        self.assertEqual(connection.transport.producerState, "producing")
        self.assertGreater(replies(connection), 400)

    def test_many_headers_and_tiny_chunks_are_read_in_pieces(self) -> None:
        for octets in (
            b"GET /docs HTTP/1.1\r\n" + b"a: %b\r\n" % (b"b" * 25) * 450,
            b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5_000,
        ):
            connection = self.http.connect()
            connection.write(octets)
            self.assertEqual(self.http.api.site.turns.waiting, 1)
            self.http.turn()
            self.assertFalse(connection.answered)
            self.http.serve()
            connection.lose()

    def test_a_connection_that_is_lost_in_the_line_is_forgotten(self) -> None:
        flood = self.http.connect()
        flood.write(STRANGERS_REQUEST * 100)
        flood.channel.connectionLost(Failure(ConnectionDone()))
        self.http.serve()
        self.assertLessEqual(replies(flood), 3)
        self.assertEqual(self.http.api.site.connections, 0)


class BeforeLoginTests(SynchronousTestCase):
    def test_requests_of_one_network_without_a_login_are_limited(self) -> None:
        http = HttpDriver(limits=Limits(requests_before_login=2))
        statuses = [http.ask("GET", "/openapi.json", login=None).status for _ in range(6)]
        self.assertEqual(statuses, [200] * 4 + [429] * 2)
        self.assertEqual(http.ask("GET", "/openapi.json", login=None, address="192.0.2.9").status, 200)
        http.clock.advance(1.0)
        self.assertEqual(http.ask("GET", "/openapi.json", login=None).status, 200)

    def test_requests_with_a_login_do_not_count(self) -> None:
        http = HttpDriver(limits=Limits(requests_before_login=2))
        self.assertEqual({http.ask("GET", "/account").status for _ in range(50)}, {200})

    def test_of_a_networks_idle_connections_the_oldest_makes_room(self) -> None:
        http = HttpDriver(limits=Limits(connections_before_login=2))
        one, two = http.connect(), http.connect()
        two.send("GET", "/account")
        self.assertEqual(two.reply().status, 200)
        three, four = http.connect(), http.connect()
        closed = [connection.transport.disconnecting for connection in (one, two, three, four)]
        self.assertEqual(closed, [True, False, False, False], "who has logged in doesn't count")

    def test_bodies_of_one_network_without_a_login_are_limited(self) -> None:
        http = HttpDriver(limits=Limits(bytes_before_login=65_536))
        head = b"POST /carriers/a/notifications HTTP/1.1\r\nContent-Length: 50000\r\n"
        one, two = http.connect(), http.connect()
        one.write(head + b"\r\n" + b"x" * 40_000)
        two.write(head + b"\r\n" + b"x" * 40_000)
        http.serve()
        self.assertEqual((one.answered, two.reply().status), (False, 429))
        customer = http.connect()
        customer.write(head + LOGIN + b"\r\n\r\n" + b"x" * 49_999)
        http.serve()
        self.assertFalse(customer.answered)
        one.lose()
        three = http.connect()
        three.write(head + b"\r\n" + b"x" * 40_000)
        self.assertFalse(three.answered)


class LoginTests(SynchronousTestCase):
    def test_others_wrong_keys_from_the_same_address_do_not_lock_a_customer_out(self) -> None:
        http = HttpDriver(failed_logins_a_minute=3)
        self.assertEqual(http.ask("GET", "/account").status, 200)
        wrong = [http.ask("GET", "/account", login="other:guess").status for _ in range(5)]
        self.assertEqual(wrong, [401] * 3 + [429] * 2)
        self.assertEqual(http.ask("GET", "/account").status, 200)
        self.assertEqual(http.ask("GET", "/account", login="other:" + "o" * 24).status, 429, "not known from there")
        self.assertEqual(http.ask("GET", "/account", login="other:" + "o" * 24, address="192.0.2.9").status, 200)

    def test_a_refused_message_is_no_failed_login_in_kannels_way_of_asking(self) -> None:
        http = HttpDriver(kannel=True, failed_logins_a_minute=2)
        path = f"/cgi-bin/sendsms?user=acme&pass={KEY}&to=447700900123&text=x"
        self.assertEqual([http.ask("GET", path, login=None).status for _ in range(4)], [400] * 4)
        wrong = [http.ask("GET", path.replace(KEY, "guess"), login=None).status for _ in range(4)]
        self.assertEqual(wrong, [403, 403, 429, 429])


class ProxyTests(SynchronousTestCase):
    PROXY = "10.0.0.1"

    def addresses(self, *headers: str, peer: str = PROXY) -> set[str]:
        """The client's address as the handlers see it."""
        http = HttpDriver(proxies=["10.0.0.0/8", "2001:db8:ffff::/48"])
        seen: set[str] = set()
        handle = http.api.site.handle

        def noting(request: ApiRequest) -> None:
            seen.add(request.address)
            handle(request)

        http.api.site.handle = noting
        connection = http.connect(peer)
        connection.write("\r\n".join(["GET /docs HTTP/1.1", *headers, "\r\n"]).encode())
        http.serve()
        return seen

    def test_the_rightmost_address_that_is_no_proxys_is_the_clients(self) -> None:
        for headers, client in (
            (["X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
            (["X-Forwarded-For: 127.0.0.1, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
            (["X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
            (["X-Forwarded-For: 10.0.0.7"], "10.0.0.7"),
            (["X-Forwarded-For: 203.0.113.9:4711"], "203.0.113.9"),
            (["X-Forwarded-For: 203.0.113.9, unknown"], self.PROXY),
            (["X-Forwarded-For: 203.0.113.9, <script>"], self.PROXY),
            (["Forwarded: for=192.0.2.60;proto=http, for=203.0.113.9;by=10.0.0.1"], "203.0.113.9"),
            (['Forwarded: For="[2001:db8::17]:4711"'], "2001:db8::17"),
            (["Forwarded: for=192.0.2.60", "X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
            ([], self.PROXY),
        ):
            self.assertEqual(self.addresses(*headers), {client}, headers)

    def test_from_anybody_else_the_headers_are_not_believed(self) -> None:
        for header in ("X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"):
            self.assertEqual(self.addresses(header, peer="192.0.2.1"), {"192.0.2.1"})

    def test_wrong_keys_of_one_client_of_a_proxy_are_not_the_others(self) -> None:
        http = HttpDriver(failed_logins_a_minute=3, proxies=[self.PROXY])

        def ask(client: str, login: str) -> int:
            headers = {"X-Forwarded-For": client}
            return http.ask("GET", "/account", headers=headers, login=login, address=self.PROXY).status

        self.assertEqual([ask("203.0.113.9", "acme:guess") for _ in range(5)], [401] * 3 + [429] * 2)
        self.assertEqual(ask("198.51.100.1", f"acme:{KEY}"), 200)

    def test_a_proxy_may_hold_more_connections_than_a_client(self) -> None:
        limits = Limits(connections_per_address=2, connections_before_login=2)
        http = HttpDriver(limits=limits, proxies=[self.PROXY])
        connections = [http.connect(self.PROXY) for _ in range(10)]
        self.assertEqual([c.transport.disconnecting for c in connections if c.channel is not None], [False] * 10)


class SmugglingTests(SynchronousTestCase):
    """Requests of which a proxy before us may have read another length than we do."""

    def refused(self, *lines: bytes) -> bool:
        http = HttpDriver()
        connection = http.connect()
        connection.write(
            b"\r\n".join([b"POST /messages HTTP/1.1", LOGIN, *lines, b"", b"0", b"", b"GET /docs HTTP/1.1"])
        )
        http.serve()
        return connection.reply().status == 400 and bool(connection.transport.disconnecting)

    def test_a_request_of_two_lengths_is_refused_and_ends_the_connection(self) -> None:
        for lines in (
            [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
            [b"Content-Length: 5", b"Content-Length: 6"],
            [b"Content-Length: 5, 5"],
            [b"Content-Length: +5"],
            [b"Content-Length : 5"],
            [b"Transfer-Encoding: xchunked"],
            [b"Transfer-Encoding: chunked, identity"],
            [b"Transfer-Encoding : chunked"],
            [b"X: a\nContent-Length: 5"],
        ):
            self.assertTrue(self.refused(*lines), lines)

    def test_chunks_over_http_1_0_are_refused(self) -> None:
        http = HttpDriver()
        connection = http.connect()
        connection.write(b"POST /messages HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        self.assertEqual(connection.reply().status, 400)
