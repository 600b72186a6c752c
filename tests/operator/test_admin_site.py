"""The admin listener: who may use it, and which page answers."""

import base64
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relay.config.listener_config import AdminListener, AdminUser, Role
from relay.config.password_hash import hash_password
from relay.http.login_limits import LoginLimits
from relay.operator.admin_site import (
    MOST_CONNECTIONS,
    AdminRequest,
    AdminRoot,
    Page,
    Reply,
    admin_factory,
    json_reply,
    text_reply,
)
from relay.operator.operator_logins import OperatorLogins
from relay.values.secret import Secret


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def in_thread(function: Callable[[], bool]) -> "Deferred[bool]":
    """Runs the check of a password at once."""
    return succeed(function())


class AdminSiteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen: list[AdminRequest] = []
        self.waiting: Deferred[Reply] = Deferred()
        self.clock = Clock()
        self.limits = LoginLimits(3, self.clock.seconds)
        self.users: dict[str, AdminUser] = {}
        self.logins: OperatorLogins | None = None

    def pages(self) -> dict[tuple[str, str], Page]:
        """The pages behind the listener."""

        def echo(request: AdminRequest) -> Reply:
            self.seen.append(request)
            return json_reply(request.path)

        def broken(request: AdminRequest) -> Reply:
            raise RuntimeError("out of order")

        async def slow(request: AdminRequest) -> Reply:
            return await self.waiting

        return {
            ("GET", ""): echo,
            ("GET", "metrics"): echo,
            ("POST", "carriers"): echo,
            ("POST", "configuration"): echo,
            ("GET", "broken"): broken,
            ("GET", "slow"): slow,
        }

    def ask(self, request: str, *headers: str, body: str = "", password: str | None = None) -> tuple[int, str, str]:
        """Status, header block and body of the answer; status 0 while there is none."""
        settings = AdminListener(password=None if password is None else Secret(password), users=self.users)
        logins = OperatorLogins(lambda: settings, self.limits, in_thread, b"key")
        root = AdminRoot(self.pages(), self.logins or logins)
        factory = admin_factory(root, self.clock)
        channel = factory.buildProtocol(None)
        assert channel is not None
        self.transport = StringTransport()
        self.channel: Any = channel
        channel.makeConnection(self.transport)
        block = "\r\n".join([f"{request} HTTP/1.1", "Host: localhost:9090", *headers, f"Content-Length: {len(body)}"])
        if any(header.startswith("Host:") for header in headers):
            block = block.replace("Host: localhost:9090\r\n", "", 1)
        channel.dataReceived(f"{block}\r\n\r\n{body}".encode())
        return self.answer()

    def answer(self) -> tuple[int, str, str]:
        self.clock.advance(0.0)
        text = self.transport.value().decode()
        if not text:
            return 0, "", ""
        head, _, body = text.partition("\r\n\r\n")
        return int(head.split()[1]), head, body


class AdminSiteTests(AdminSiteTestCase):
    def test_a_request_reaches_its_page_with_path_and_query(self) -> None:
        status, _, body = self.ask("GET /metrics/all/of%20it?name=x&name=y")
        self.assertEqual((200, '["metrics","all","of it"]\n'), (status, body))
        self.assertEqual({"name": "x"}, self.seen[0].query)

    def test_head_is_answered_without_a_body(self) -> None:
        status, head, body = self.ask("HEAD /metrics")
        self.assertEqual((200, ""), (status, body))
        self.assertIn("Content-Length: 12", head)

    def test_an_unknown_page_is_404_and_a_wrong_method_405(self) -> None:
        self.assertEqual(404, self.ask("GET /nothing")[0])
        self.assertEqual(405, self.ask("POST /metrics", "X-Relay-Action: yes")[0])

    def test_without_the_password_nothing_is_shown(self) -> None:
        for headers in ([], [basic("operator", "wrong")], [basic("root", "right")], ["Authorization: Basic !!"]):
            self.clock.advance(60)
            status, head, _ = self.ask("GET /metrics", *headers, password="right")
            self.assertEqual(401, status)
            self.assertIn("WWW-Authenticate: Basic", head)
        self.assertEqual([], self.seen)

    def test_an_address_that_guesses_passwords_is_refused_for_a_minute(self) -> None:
        for _ in range(3):
            self.assertEqual(401, self.ask("GET /metrics", password="right")[0], "no attempt")
            self.assertEqual(401, self.ask("GET /metrics", basic("operator", "wrong"), password="right")[0])
        status, head, _ = self.ask("GET /metrics", basic("operator", "right"), password="right")
        self.assertEqual(429, status)
        self.assertIn("Retry-After: 60", head)
        self.clock.advance(60)
        self.assertEqual(200, self.ask("GET /metrics", basic("operator", "right"), password="right")[0])

    def test_the_operator_comes_in_with_the_password_under_any_host_name(self) -> None:
        headers = (basic("operator", "right"), "Host: relay.example")
        self.assertEqual(200, self.ask("GET /metrics", *headers, password="right")[0])

    def test_without_a_password_only_local_names_are_answered(self) -> None:
        for host in ("localhost", "127.0.0.1:9090", "[::1]:9090", "[::1]", "10.1.2.3"):
            self.assertEqual(200, self.ask("GET /metrics", f"Host: {host}")[0], host)
        for host in ("evil.example", "evil.example:9090", "localhost.evil.example"):
            self.assertEqual(403, self.ask("GET /metrics", f"Host: {host}")[0], host)

    def test_a_change_needs_the_header_that_no_other_site_can_send(self) -> None:
        self.assertEqual(403, self.ask("POST /carriers/tier1/hold")[0])
        self.assertEqual([], self.seen)
        self.assertEqual(200, self.ask("POST /carriers/tier1/hold", "X-Relay-Action: yes", body="{}")[0])
        self.assertEqual((b"{}", ["carriers", "tier1", "hold"]), (self.seen[0].body, self.seen[0].path))

    def test_a_page_that_fails_is_logged_and_answered_500(self) -> None:
        status, _, body = self.ask("GET /broken")
        self.assertEqual(500, status)
        self.assertNotIn("out of order", body)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_a_page_may_answer_later(self) -> None:
        self.assertEqual(0, self.ask("GET /slow")[0])
        self.waiting.callback(text_reply("at last"))
        status, _, body = self.answer()
        self.assertEqual((200, "at last\n"), (status, body))

    def test_a_page_whose_reader_left_is_cancelled_quietly(self) -> None:
        self.ask("GET /slow")
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.waiting.called)
        self.assertEqual([], self.flushLoggedErrors())

    def test_a_long_body_is_refused(self) -> None:
        self.assertEqual(413, self.ask("POST /carriers", "X-Relay-Action: yes", body="x" * 300_000)[0])

    def test_nothing_is_kept_of_an_endless_body(self) -> None:
        self.ask("GET /metrics")
        self.transport.clear()
        self.channel.dataReceived(b"POST /carriers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n")
        for _ in range(80):
            self.channel.dataReceived(b"x" * 100_000)
        self.assertEqual(413, self.answer()[0])
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(b"", self.channel.requests[-1].content.getvalue())

    def test_answers_forbid_framing_caching_and_guessing_of_types(self) -> None:
        _, head, _ = self.ask("GET /metrics")
        for header in ("X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "Cache-Control: no-store"):
            self.assertIn(header.lower(), head.lower())


class UserTests(AdminSiteTestCase):
    """The users of `admin.users`."""

    #: The hash of "right", which is made once because it takes long.
    hashed = hash_password("right", b"0123456789abcdef")

    def setUp(self) -> None:
        super().setUp()
        self.checks: list[Deferred[bool]] = []

    def user(self, name: str, role: Role = "view") -> None:
        self.users[name] = AdminUser(password=Secret(self.hashed), role=role)

    def keep_logins(self, *, slow: bool = False) -> OperatorLogins:
        """Has all requests of a test checked by the same logins; if `slow`, checks wait until the test goes on."""

        def later(function: Callable[[], bool]) -> "Deferred[bool]":
            self.checks.append(Deferred())
            return self.checks[-1].addCallback(lambda _: function())

        settings = AdminListener(users=self.users)
        self.logins = OperatorLogins(lambda: settings, self.limits, later if slow else in_thread, b"key")
        return self.logins

    def test_a_user_comes_in_with_the_right_password_only_and_the_page_knows_the_name(self) -> None:
        self.user("alice")
        self.assertEqual(200, self.ask("GET /metrics", basic("alice", "right"))[0])
        self.assertEqual(("alice", "view"), self.seen[0].user)
        self.assertEqual("alice", self.seen[0].actor.user)
        for login in (["alice", "wrong"], ["bob", "right"], ["operator", ""], ["alice", self.hashed]):
            self.clock.advance(60)
            self.assertEqual(401, self.ask("GET /metrics", basic(*login))[0], login)
        self.assertEqual(401, self.ask("GET /metrics")[0])

    def test_a_role_may_do_what_the_roles_before_it_may(self) -> None:
        action = ["X-Relay-Action: yes"]
        for role, acts, configures in (("view", 403, 403), ("act", 200, 403), ("configure", 200, 200)):
            name = f"who-may-{role}"
            self.user(name, role)  # type: ignore[arg-type]
            login = basic(name, "right")
            self.assertEqual(200, self.ask("GET /metrics", login)[0])
            self.assertEqual(acts, self.ask("POST /carriers/tier1/hold", login, *action)[0], role)
            self.assertEqual(configures, self.ask("POST /configuration/reload", login, *action)[0], role)

    def test_a_right_password_is_checked_once_until_the_configuration_has_another(self) -> None:
        self.user("alice")
        self.keep_logins(slow=True)
        self.assertEqual(0, self.ask("GET /metrics", basic("alice", "right"))[0])
        self.checks[0].callback(True)
        self.assertEqual(200, self.answer()[0])
        self.assertEqual(200, self.ask("GET /metrics", basic("alice", "right"))[0])
        self.assertEqual(0, self.ask("GET /metrics", basic("alice", "wrong"))[0])
        self.users["alice"] = AdminUser(password=Secret(hash_password("other", b"0123456789abcdef")))
        self.assertEqual(0, self.ask("GET /metrics", basic("alice", "right"))[0])
        self.assertEqual(3, len(self.checks))

    def test_few_passwords_are_checked_at_once(self) -> None:
        self.user("alice")
        self.keep_logins(slow=True)
        for _ in range(8):
            self.assertEqual(0, self.ask("GET /metrics", basic("alice", "wrong"))[0])
        status, head, _ = self.ask("GET /metrics", basic("alice", "right"))
        self.assertEqual(429, status)
        self.assertIn("Retry-After: 1", head)
        self.checks[0].callback(True)
        self.assertEqual(0, self.ask("GET /metrics", basic("alice", "right"))[0])

    def test_guesses_at_a_user_are_refused_for_a_minute_but_not_the_user_who_was_there_before(self) -> None:
        self.user("alice")
        self.user("bob")
        self.keep_logins()
        self.assertEqual(200, self.ask("GET /metrics", basic("alice", "right"))[0])
        for _ in range(3):
            self.assertEqual(401, self.ask("GET /metrics", basic("bob", "wrong"))[0])
        self.assertEqual(429, self.ask("GET /metrics", basic("bob", "right"))[0])
        self.assertEqual(200, self.ask("GET /metrics", basic("alice", "right"))[0])
        self.clock.advance(60)
        self.assertEqual(200, self.ask("GET /metrics", basic("bob", "right"))[0])


class ConnectionsTests(SynchronousTestCase):
    def test_no_more_connections_are_served_than_the_bound_until_one_ends(self) -> None:
        limits = LoginLimits(3, Clock().seconds)
        root = AdminRoot({}, OperatorLogins(AdminListener, limits, in_thread, b"key"))
        factory = admin_factory(root, Clock())
        channels = [factory.buildProtocol(None) for _ in range(MOST_CONNECTIONS)]
        self.assertNotIn(None, channels)
        first = channels[0]
        assert first is not None
        first.makeConnection(StringTransport())
        self.assertIsNone(factory.buildProtocol(None))
        first.connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(factory.buildProtocol(None))
