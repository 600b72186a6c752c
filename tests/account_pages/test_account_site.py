"""The account page in a browser without JavaScript."""

import html
import json
import random
import re
import shlex
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.template import flattenString

from relay.account_pages.account_site import AccountPages
from relay.account_pages.answer_words import answer_words
from relay.account_pages.html import el, flatten
from relay.account_pages.login import login_page
from relay.account_pages.page_sessions import PageSessions
from relay.account_pages.page_stats import PageStats
from relay.accounts.account_settings import OFF_BY_OPERATOR, OLD_SECRET, UNSEEN_SECRET, URL_OFF
from relay.config.account_config import Account, Senders
from relay.customers.bound_logins import LoginView
from relay.store.store_values import FeedEntry
from relay.values.ids import id_text
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.messages import Refused, destination_of, source_of
from relay.values.secret import Secret
from relay.values.smpp_constants import ESME_RTHROTTLED
from relay.values.states import DELIVERED, ENROUTE
from relay.webhooks.answer import UrlState
from relay.webhooks.url_health import UrlHealth
from tests.http.http_driver import KEY, Connection, HttpDriver, Reply

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
URL = "https://yoursite.com/sms/notifications"


class Site:
    """A relay's pages, and a browser that keeps cookies."""

    def __init__(self, account: Account | None = None) -> None:
        self.driver = HttpDriver(
            {"acme": account or Account(api_key=Secret(KEY)), "other": Account(api_key=Secret("o"))}
        )
        store: Any = self.driver.store
        random_bytes = random.Random(3).randbytes
        self.sessions = PageSessions(self.driver.accounts, store, random_bytes, self.driver.clock.seconds)
        self.pages = AccountPages(
            self.driver.api,
            flow=self.driver.flow,
            accounts=self.driver.accounts,
            webhooks=self.driver.webhooks,
            sessions=self.sessions,
            page_stats=PageStats(store, self.driver.clock),
            smpp_logins=lambda account: self.logins,
            clock=self.driver.clock,
            random_bytes=random_bytes,
        )
        self.logins: list[LoginView] = []
        self.cookies: dict[str, str] = {}
        self.more_headers: dict[str, str] = {}
        self.host = "relay.example"

    @property
    def settings(self) -> dict[str, str | None]:
        """The settings of acme that the store keeps, without its logins."""
        kept = self.driver.store.kept.items()
        return {name: value for (_, name), value in kept if not name.startswith("page_session.")}

    def connect(self, method: str, path: str, form: dict[str, str] | None = None) -> Connection:
        connection = self.driver.connect()
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} | self.more_headers
        body = None if form is None else urlencode(form).encode()
        connection.send(method, path, body, headers | (FORM if body else {}), None, host=self.host)
        return connection

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Reply:
        reply = self.connect(method, path, form).reply()
        for name, value in re.findall(r"(relay_\w+)=([^;]*); Path", reply.headers.get("Set-Cookie", "")):
            self.cookies[name] = value
        return reply

    def get(self, path: str) -> str:
        reply = self.ask("GET", path)
        assert reply.status == 200, reply
        return html.unescape(reply.body.decode())

    def post(self, path: str, **form: str) -> Reply:
        """Sends a form with the token that the page gave."""
        return self.ask("POST", path, {"csrf": self.token()} | form)

    def token(self) -> str:
        page = self.ask("GET", "/my/send").body.decode()
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        return found[1] if found else ""

    def log_in(self, account: str = "acme", key: str = KEY, wanted: str = "/") -> Reply:
        page = self.ask("GET", "/login").body.decode()
        token = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        return self.ask("POST", "/login", {"csrf": token, "account": account, "key": key, "next": wanted})


class SiteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.site = Site()

    def message(self, number: int = 1, **fields: Any) -> MessageView:
        values: dict[str, Any] = {
            "id": bytes([number]) * 16,
            "account": "acme",
            "addresses": b"\x05\0RELAY\0\x01\x01447700900%03d\0" % number,
            "state": DELIVERED,
            "final": True,
            "carrier": "tier1",
            "carrier_error": "000",
            "interface": "http",
            "accepted_at": 1_699_999_000.0 + number,
            "expires_at": 1_700_100_000.0,
            "done_at": 1_699_999_002.0 + number,
            "parts": [PartView("tier1", "77", DELIVERED, "000", 1_700_000_000.5, 1_700_000_001.5)],
            "attempts": [AttemptView("webhook", 1, 1_700_000_002.0, "503", 0.031, "DELIVRD")],
            "owed": [],
        }
        view = MessageView(**values | fields)
        self.site.driver.store.views[view.id] = view
        return view


class LoginTests(SiteTestCase):
    def test_a_visitor_without_a_login_gets_the_login_form_and_then_the_requested_page(self) -> None:
        for path in ("/", "/my/messages", "/my/settings", "/my/send"):
            reply = self.site.ask("GET", path)
            self.assertEqual((reply.status, reply.headers["Location"].partition("?")[0]), (303, "/login"))
        self.assertEqual(reply.headers["Location"], "/login?next=%2Fmy%2Fsend")
        self.assertEqual(self.site.log_in(wanted="/my/send").headers["Location"], "/my/send")

    def test_a_login_leads_nowhere_but_to_the_pages(self) -> None:
        for wanted in ("//evil.example/", "https://evil.example/", "/messages", "/my/send\r\nX: y", "/\\evil.example"):
            self.site.cookies.clear()
            self.assertEqual(self.site.log_in(wanted=wanted).headers["Location"], "/", wanted)

    def test_the_cookie_is_kept_from_scripts_and_from_other_sites_and_ends(self) -> None:
        cookie = self.site.log_in().headers["Set-Cookie"].split(", ")[0]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
            self.assertIn(part, cookie)
        self.assertNotIn("Secure", cookie)
        self.site.more_headers = {"X-Forwarded-Proto": "https"}
        self.site.cookies.clear()
        self.assertIn("Secure", self.site.log_in().headers["Set-Cookie"])

    def test_a_wrong_key_and_an_unknown_account_get_the_same_answer(self) -> None:
        wrong, unknown = self.site.log_in(key="wrong"), self.site.log_in(account="nobody")
        said = [re.findall(r'role="alert">([^<]+)<', reply.body.decode()) for reply in (wrong, unknown)]
        self.assertEqual((wrong.status, unknown.status), (403, 403))
        self.assertEqual(said[0], said[1])
        self.assertEqual(len(self.site.sessions), 0)

    def test_after_too_many_failures_even_the_right_key_must_wait(self) -> None:
        for _ in range(10):
            self.site.log_in(key="wrong")
        reply = self.site.log_in()
        self.assertEqual((reply.status, reply.headers["Retry-After"]), (429, "60"))
        self.site.driver.clock.advance(60.0)
        self.assertEqual(self.site.log_in().status, 303)

    def test_a_login_form_that_is_not_ours_is_refused(self) -> None:
        self.site.ask("GET", "/login")
        reply = self.site.ask("POST", "/login", {"csrf": "x", "account": "acme", "key": KEY})
        self.assertEqual(reply.status, 403)
        self.site.cookies["relay_login"] = ""
        self.assertEqual(self.site.ask("POST", "/login", {"csrf": "", "account": "acme", "key": KEY}).status, 403)

    def test_after_logging_out_the_cookie_opens_nothing(self) -> None:
        self.site.log_in()
        cookie = self.site.cookies["relay_session"]
        self.assertEqual(self.site.post("/logout").headers["Location"], "/login")
        self.site.cookies["relay_session"] = cookie
        self.assertEqual(self.site.ask("GET", "/").status, 303)

    def test_somebody_whose_login_has_ended_is_told_so_once_and_comes_to_the_same_page(self) -> None:
        self.site.log_in()
        token = self.site.token()
        self.site.driver.clock.advance(12 * 3600.0)
        reply = self.site.ask("GET", "/my/send")
        self.assertEqual(reply.headers["Location"], "/login?next=%2Fmy%2Fsend&ended=page")
        self.assertIn("Your login has ended. Log in again.", self.site.get(reply.headers["Location"]))
        self.assertEqual(self.site.ask("GET", "/my/send").headers["Location"], "/login?next=%2Fmy%2Fsend")
        self.site.cookies["relay_session"] = "gone"
        location = self.site.ask("POST", "/my/send", {"csrf": token, "to": "447700900123"}).headers["Location"]
        self.assertIn("the form was not sent", self.site.get(location))


class ProtectionTests(SiteTestCase):
    def test_every_page_forbids_scripts_and_frames_of_others(self) -> None:
        self.site.log_in()
        for path in ("/", "/login", "/my/messages", "/my/messages/none", "/my/settings", "/my/send", "/my/page.js"):
            headers = self.site.ask("GET", path).headers
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual((headers["X-Frame-Options"], headers["X-Content-Type-Options"]), ("DENY", "nosniff"))

    def test_a_browser_gets_every_problem_as_a_page_and_a_program_as_json(self) -> None:
        browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
        for method, path, status in (("GET", "/nothing", 404), ("GET", "/my/secret", 405), ("GET", "/messages", 401)):
            for headers, kind in ((browser, "text/html; charset=utf-8"), ({}, "application/problem+json")):
                self.site.more_headers = headers
                reply = self.site.ask(method, path)
                self.assertEqual((reply.status, reply.headers["Content-Type"]), (status, kind), path)
        self.assertIn("WWW-Authenticate", reply.headers)

    def test_no_page_has_scripts_or_styles_within(self) -> None:
        self.message()
        self.site.log_in()
        for path in ("/", "/my/messages", f"/my/messages/{id_text(bytes([1]) * 16)}", "/my/settings", "/my/send"):
            page = self.site.get(path)
            self.assertNotRegex(page, r"<style|\sstyle=|\son[a-z]+=|<script>", path)

    def test_a_form_without_the_sessions_token_changes_nothing(self) -> None:
        self.site.log_in()
        paths = ("/", "/my/secret", "/my/settings", "/my/test", "/my/send", "/logout", "/my/messages/replay")
        for path in paths:
            for form in ({"url": URL, "to": "447700900123", "from": "a", "text": "b"}, {"csrf": "x", "url": URL}):
                self.assertEqual(self.site.ask("POST", path, form).status, 403, path)
        self.assertEqual((self.site.settings, self.site.driver.flow.accepted), ({}, []))
        self.assertEqual(self.site.ask("GET", "/").status, 200, "nobody was logged out")

    def test_text_of_others_is_shown_as_text(self) -> None:
        self.message(reference="<script>alert(1)</script>", carrier_error='"><img src=x>')
        self.site.log_in()
        page = self.site.ask("GET", f"/my/messages/{id_text(bytes([1]) * 16)}").body
        self.assertIn(b"&lt;script&gt;", page)
        self.assertNotIn(b"<script>", page)
        self.assertNotIn(b"<img src=x", page)

    def test_another_accounts_message_is_not_there(self) -> None:
        view = self.message(account="other")
        self.site.log_in()
        self.assertEqual(self.site.ask("GET", f"/my/messages/{id_text(view.id)}").status, 404)
        self.assertNotIn(id_text(view.id), self.site.get("/my/messages"))


class SettingsTests(SiteTestCase):
    def test_a_url_is_checked_and_the_page_says_what_is_wrong_and_keeps_what_was_written(self) -> None:
        self.site.log_in()
        for url in ("ftp://example.org/", "http://127.0.0.1/", "no url", ""):
            for back in ("/", "/my/settings"):
                reply = self.site.post(back, url=url, action="save")
                page = html.unescape(reply.body.decode())
                self.assertEqual(reply.status, 422)
                self.assertRegex(page, r'<input type="url" [^>]*id="url" name="url" [^>]*autofocus')
                self.assertRegex(page, r'id="url-problem" class="wrong" role="alert">[A-Z][^<]{10,}<')
                self.assertIn(f'value="{url}"', page)
        self.assertEqual(self.site.settings, {})

    def test_a_url_that_is_set_wins_until_it_is_reset_and_the_page_says_whose_it_is(self) -> None:
        self.site = Site(Account(api_key=Secret(KEY), notification_url="https://from.the.file/"))
        self.site.log_in()
        self.assertIn("From the relay's configuration", self.site.get("/"))
        self.assertEqual(self.site.post("/my/settings", url=URL, action="save").status, 303)
        self.assertEqual(self.site.driver.store.kept["acme", "notification_url"], URL)
        page = self.site.get("/")
        self.assertIn(f'value="{URL}"', page)
        self.assertIn("Set here", page)
        self.site.post("/my/settings", action="remove", sure="yes")
        self.assertIsNone(self.site.driver.accounts.notification_url("acme"))
        self.site.post("/my/settings", action="reset")
        self.assertEqual(self.site.driver.accounts.notification_url("acme"), "https://from.the.file/")
        self.assertIsNone(self.site.driver.store.kept["acme", "notification_url"])

    def test_what_the_operator_switched_off_stays_off_whatever_url_is_saved(self) -> None:
        self.site = Site(Account(api_key=Secret(KEY), notification_url="https://from.the.file/"))
        self.site.driver.accounts.apply_setting("acme", URL_OFF, f"1699999999 {OFF_BY_OPERATOR} https://from.the.file/")
        self.site.log_in()
        for url in ("https://from.the.file/", URL):
            self.assertEqual(self.site.post("/", url=url, action="save").status, 303)
            target = self.site.driver.accounts.target("acme")
            assert target is not None
            self.assertEqual((target.url, target.off), (url, OFF_BY_OPERATOR))
        self.site.driver.webhooks.state = UrlState(OFF_BY_OPERATOR, 0, False, None, 0)
        self.assertIn("the operator switched it off. You can change the URL", self.site.get("/my/settings"))

    def test_removing_the_url_and_ending_signatures_are_confirmed_first(self) -> None:
        self.site.log_in()
        self.site.post("/", url=URL, action="save")
        self.site.post("/my/secret", action="generate")
        before = dict(self.site.driver.store.kept)
        for path, button in (
            ("/", "Remove the URL"),
            ("/my/settings", "Remove the URL"),
            ("/my/secret", "Stop signing"),
        ):
            reply = self.site.post(path, url=URL, action="remove")
            page = reply.body.decode()
            self.assertEqual(reply.status, 200)
            self.assertEqual(self.site.driver.store.kept, before)
            self.assertIn(f">{button}</button>", page)
            again = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.partition('id="content"')[2]))
            self.assertEqual(self.site.ask("POST", path, again).status, 303, "the form of the page does it")
            self.site.driver.store.kept.update(before)
        self.assertIsNone(self.site.driver.accounts.notification_url("acme"))
        self.assertIsNone(self.site.driver.accounts.get("acme").notification_secret)

    def test_the_field_is_called_by_its_name(self) -> None:
        self.site.log_in()
        for path in ("/", "/my/settings"):
            self.assertIn('<label for="url">SMS Delivery Notification URL</label>', self.site.get(path))

    def test_a_secret_is_shown_once_and_signs_together_with_the_one_before(self) -> None:
        self.site.log_in()
        self.site.post("/my/secret", action="generate")
        first = re.findall(r'id="secret">([^<]+)<', self.site.get("/my/settings"))[0]
        self.assertNotIn(first, self.site.get("/my/settings"))
        self.site.post("/my/secret", action="generate")
        page = self.site.get("/my/settings")
        self.assertNotIn(first, page)
        self.assertIn("signs, too, until", page)
        target = self.site.driver.accounts.target("acme")
        assert target is not None
        self.assertEqual((len(target.keys), target.old_key_until), (1, 1_700_000_000.0 + 86_400.0))
        self.assertTrue((self.site.driver.store.kept["acme", OLD_SECRET] or "").endswith(first))
        self.site.post("/my/secret", action="remove", sure="yes")
        target = self.site.driver.accounts.target("acme")
        assert target is not None
        self.assertEqual((target.keys, target.old_key), ((), b""))

    def test_a_secret_that_the_relay_made_is_shown_until_it_is_copied(self) -> None:
        self.site.log_in()
        self.assertIn("The relay makes a secret with the first notification", self.site.get("/my/settings"))
        secret = "whsec_" + "A" * 32
        for name, value in ((UNSEEN_SECRET, "yes"), ("notification_secret", secret)):
            self.site.driver.store.kept["acme", name] = value
            self.site.driver.accounts.apply_setting("acme", name, value)
        for _ in range(2):
            self.assertIn(f'<code id="made-secret">{secret}</code>', self.site.get("/my/settings"))
        self.site.post("/my/secret", action="seen")
        self.assertNotIn(secret, self.site.get("/my/settings"))
        self.assertEqual(self.site.settings["notification_secret"], secret, "it signs on")
        self.assertIsNone(self.site.settings[UNSEEN_SECRET])

    def test_with_sign_false_no_secret_is_promised(self) -> None:
        self.site = Site(Account(api_key=Secret(KEY), sign=False))
        self.site.log_in()
        self.assertIn('class="state none">Not signed<', self.site.get("/my/settings"))

    def test_the_other_settings_are_saved_where_they_differ_and_reset_together(self) -> None:
        self.site.log_in()
        form = {"form": "delivery", "notification_format": "form", "notify": "final", "notification_batch": "100"}
        self.assertEqual(self.site.post("/my/settings", **form).status, 303)
        self.assertEqual(self.site.settings, {"notification_format": "form", "notification_batch": "100"})
        self.site.post("/my/settings", form="delivery", action="reset")
        self.assertEqual(self.site.driver.accounts.get("acme").notification_format, "json")

    def test_one_wrong_setting_keeps_all_from_being_saved(self) -> None:
        self.site.log_in()
        reply = self.site.post("/my/settings", form="delivery", notification_format="form", notification_batch="0")
        self.assertEqual(reply.status, 422)
        self.assertIn(b'id="notification_batch-problem"', reply.body)
        self.assertEqual(self.site.settings, {})

    def test_a_test_notification_shows_status_time_and_first_bytes_of_the_answer(self) -> None:
        self.site.log_in()
        self.assertEqual(self.site.post("/my/test").status, 409)
        self.site.post("/my/settings", url=URL, action="save")
        self.site.post("/my/test", back="/my/settings")
        page = self.site.get("/my/settings")
        for shown in ("<dd>200</dd>", "<dd>250 ms</dd>", ">thanks</pre>"):
            self.assertIn(shown, page)


class MessagesTests(SiteTestCase):
    def test_a_message_is_accepted_shown_and_then_dispatched(self) -> None:
        self.site.log_in()
        reply = self.site.post("/my/send", to="+447700900123", **{"from": "RELAY"}, text="Hello")
        (message,) = self.site.driver.flow.accepted
        self.assertEqual(reply.headers["Location"], f"/my/messages/{id_text(message.id)}")
        self.assertEqual(self.site.driver.flow.dispatched, [message])

    def test_a_problem_with_a_message_is_shown_at_its_field(self) -> None:
        self.site.log_in()
        good = {"to": "447700900123", "from": "RELAY", "text": "Hello"}
        for field, value in (("to", "abc"), ("to", ""), ("from", "much too long a sender"), ("text", "")):
            page = self.site.post("/my/send", **good | {field: value}).body.decode()
            self.assertIn(f'id="{field}-problem"', page, (field, value))
        self.assertEqual(self.site.driver.flow.accepted, [])

    def test_an_empty_form_names_every_field_that_is_needed(self) -> None:
        self.site.log_in()
        reply = self.site.post("/my/send")
        self.assertEqual(reply.status, 422)
        wrong = re.findall(r'id="(\w+)-problem"[^>]*>([^<]+)<', reply.body.decode())
        self.assertEqual(wrong, [(name, "This must not be empty.") for name in ("to", "from", "text")])
        self.site.cookies.clear()
        wrong = re.findall(r'id="(\w+)-problem"', self.site.log_in("", "").body.decode())
        self.assertEqual(wrong, ["account", "key"])

    def test_numbers_are_taken_as_people_write_them_with_a_reference_and_a_validity(self) -> None:
        self.site.log_in()
        self.site.post("/my/send", to="+44 (0)7700-900 123", **{"from": "+1 (500) 555\u20110001"}, text="Hello",
                       reference="order 7", validity_seconds="3600")  # fmt: skip
        (message,) = self.site.driver.flow.accepted
        self.assertEqual(destination_of(message.addresses), b"447700900123")
        self.assertEqual(source_of(message.addresses), b"15005550001")
        self.assertEqual((message.reference, message.expires_at - message.accepted_at), ("order 7", 3600.0))

    def test_a_name_as_the_sender_keeps_its_spaces_and_dashes(self) -> None:
        self.site.log_in()
        self.site.post("/my/send", to="447700900123", **{"from": "A-B 24/7"}, text="Hello")
        self.assertEqual(source_of(self.site.driver.flow.accepted[0].addresses), b"A-B 24/7")

    def test_the_text_is_counted_without_being_sent_even_before_the_numbers_are_there(self) -> None:
        self.site.log_in()
        for text, said in (
            ("Hello", "5 characters, GSM alphabet, 1 part; 155 left."),
            ("a" * 161, "161 characters, GSM alphabet, 2 parts; 145 left."),
            ("\u20ac", "1 character, GSM alphabet, 1 part; 158 left."),
            ("\u4f60\u597d", "2 characters, Unicode (UCS-2), 1 part; 68 left."),
        ):
            for to in ("447700900123", ""):
                reply = self.site.post("/my/send", action="count", to=to, **{"from": "RELAY"}, text=text)
                self.assertEqual(reply.status, 200)
                self.assertIn(f'id="size">{said}</output>', reply.body.decode())
        self.assertEqual(self.site.driver.flow.accepted, [])

    def test_the_form_names_the_accounts_test_numbers(self) -> None:
        account = Account(api_key=Secret(KEY), test_numbers={"15005550001": "DELIVRD", "15005550002": "UNDELIV"})
        self.site = Site(account)
        self.site.log_in()
        self.assertIn("15005550001 ends as DELIVRD, 15005550002 ends as UNDELIV.", self.site.get("/my/send"))

    def test_an_account_with_a_sender_of_its_own_may_leave_it_out(self) -> None:
        self.site = Site(Account(api_key=Secret(KEY), senders=Senders(default="SHOP")))
        self.site.log_in()
        self.assertEqual(self.site.post("/my/send", to="447700900123", text="Hello").status, 303)
        self.assertEqual(source_of(self.site.driver.flow.accepted[0].addresses), b"SHOP")

    def test_over_the_rate_the_page_says_so_and_keeps_the_text(self) -> None:
        self.site.log_in()
        self.site.driver.flow.refusal = Refused(ESME_RTHROTTLED, "", "More than the account's rate allows.", 2.1)
        reply = self.site.post("/my/send", to="447700900123", **{"from": "RELAY"}, text="Keep me")
        self.assertEqual(reply.status, 429)
        self.assertIn(b"More than the account's rate allows.", reply.body)
        self.assertIn(b">Keep me</textarea>", reply.body)

    def test_a_message_is_shown_with_every_attempt_and_the_request_without_secrets(self) -> None:
        view = self.message(
            attempts=[
                AttemptView(
                    "webhook",
                    1,
                    1_700_000_002.0,
                    "503",
                    0.031,
                    "ENROUTE",
                    1_700_000_007.0,
                    "http://old.example/",
                    "busy",
                ),
                AttemptView("webhook", 2, 1_700_000_008.0, "204", 0.031, "DELIVRD"),
            ],
            reference="order 7",
        )
        self.site.log_in()
        self.site.post("/my/secret", action="generate")
        path = f"/my/messages/{id_text(view.id)}"
        self.assertNotIn("Built again", self.site.get(path), "there is no URL any more")
        self.site.post("/", url=URL, action="save")
        page = self.site.get(path)
        for shown in (
            f'<code id="message-id">{id_text(view.id)}</code>',
            '<code id="message-to">447700900001</code>',
            '<code id="message-reference">order 7</code>',
            "The recipient's phone has it, says the carrier.",
            "Sent. tier1 answered that it has taken it.",
            "Receipt from tier1: DELIVRD, error 000.",
            "Notification ENROUTE over HTTP, attempt 1: Your server answered 503 Service Unavailable.",
            'To <span class="url">http://old.example/</span>',
            "<code>busy</code>",
            "The next attempt was due",
            "It took 31 ms.",
            f"POST {URL}\nContent-Type: application/json\nWebhook-Id: ",
            "X-Relay-Attempt: 2\n",
            "X-Relay-Reference: order%207\n",
            '"status":"DELIVRD"',
        ):
            self.assertIn(shown, page)
        self.assertNotIn("Webhook-Signature", page)

    def test_a_message_under_way_says_what_comes_next(self) -> None:
        ends_at = 1_700_000_500.0
        view = self.message(
            state=ENROUTE, final=False, done_at=None, attempts=[], expires_at=ends_at, waits_for_its_time=True,
            scheduled_at=ends_at - 100.0, parts=[PartView("", "", ENROUTE, "", None, None)] * 2,
        )  # fmt: skip
        self.site.log_in()
        page = self.site.get(f"/my/messages/{id_text(view.id)}")
        order = ("Accepted over HTTP, in 2 parts.", "It will be sent.", "validity ends.")
        places = [page.index(said) for said in order]
        self.assertEqual(places, sorted(places))

    def test_its_notification_can_be_had_again_where_there_is_a_url(self) -> None:
        view = self.message()
        self.site.log_in()
        path = f"/my/messages/{id_text(view.id)}"
        self.assertNotIn("/notify", self.site.get(path))
        self.assertEqual(self.site.post(f"{path}/notify").status, 409)
        self.site.post("/my/settings", url=URL, action="save")
        self.assertIn(f'action="{path}/notify"', self.site.get(path))
        self.assertEqual(self.site.post(f"{path}/notify").status, 303)
        self.assertEqual(self.site.driver.store.again, [view.id])
        self.assertEqual(len(self.site.driver.flow.woken), 1)

    def test_given_up_notifications_can_be_sent_again_at_once(self) -> None:
        self.site.driver.store.lost = [b"a" * 16, b"b" * 16]
        self.site.log_in()
        self.assertIn("2 notifications were given up", self.site.get("/my/messages"))
        self.site.post("/my/messages/replay")
        self.assertEqual(self.site.driver.store.again, [b"a" * 16, b"b" * 16])

    def test_paging_leaves_out_nobody_although_a_thousand_came_at_the_same_instant(self) -> None:
        for number in range(1, 121):
            self.message(number, accepted_at=1_699_999_000.0 + (number >= 100))
        self.site.log_in()
        seen: list[str] = []
        path = "/my/messages"
        for _ in range(3):
            page = self.site.get(path)
            seen += re.findall(r'data-id="([^"]+)"', page)
            older = re.search(r'href="([^"]+)" class="button" rel="next"', page)
            if older is None:
                break
            path = older[1]
        self.assertEqual((len(seen), len(set(seen))), (120, 120))

    def test_the_list_is_narrowed_by_state_and_by_number(self) -> None:
        self.message(1)
        self.message(2, state=ENROUTE, final=False, done_at=None)
        self.site.log_in()
        waiting = self.site.get("/my/messages?show=pending")
        self.assertIn("447700900002", waiting)
        self.assertNotIn("447700900001", waiting)
        self.assertEqual(len(re.findall("data-id", self.site.get("/my/messages?search=900001"))), 1)
        self.assertEqual(len(re.findall("data-id", self.site.get("/my/messages?show=nonsense&after=x&notified=y"))), 2)

    def test_the_list_is_narrowed_by_time_and_by_what_became_of_the_notification(self) -> None:
        self.message(1)
        self.message(2, accepted_at=1_699_999_300.0, attempts=[], owed=["webhook"])
        self.message(3, accepted_at=1_699_999_400.0, attempts=[AttemptView("webhook", 1, 0.0, "204", 0.1, "DELIVRD")])
        self.site.log_in()
        for asked, found in (
            ("since=2023-11-14T22:00", [3, 2]),
            ("until=2023-11-14T22:00", [1]),
            ("since=2023-11-14T22:00&until=2023-11-14T22:03", [2]),
            ("since=&until=", [3, 2, 1]),
            ("notified=owed", [2]),
            ("notified=delivered", [3]),
            ("notified=failed", [1]),
            ("notified=delivered&show=failed", []),
            ("search=900002&notified=owed", [2]),
        ):
            page = self.site.get(f"/my/messages?{asked}")
            self.assertEqual(re.findall(r'data-id="(\d\d)', page), [f"{number:02d}" for number in found], asked)

    def test_a_time_that_is_none_is_named_at_its_field(self) -> None:
        self.site.log_in()
        reply = self.site.ask("GET", "/my/messages?since=yesterday")
        self.assertEqual(reply.status, 422)
        self.assertIn(b'id="since-problem"', reply.body)
        self.assertEqual(self.site.ask("GET", "/my/messages/export?since=yesterday").status, 422)

    def test_tiles_and_charts_lead_to_the_messages_that_they_count(self) -> None:
        for number in range(1, 6):
            at = 1_699_981_000.0 + 3600.0 * number
            self.message(number, accepted_at=at)
            entry = FeedEntry(number, bytes([number]) * 16, DELIVERED, b"000", at + 2.0, at)
            self.site.driver.store.entries.append(entry)
        self.site.log_in()
        page = self.site.get("/")
        self.assertIn("100 % of those that ended", page)
        self.assertIn("Counted since", page)
        (table,) = re.findall(r"Messages over time as a table.*?</table>", page)
        cells = re.findall(r'<td class="number"><a href="([^"]+)">1<', table)
        self.assertEqual(len(cells), 5)
        for link in cells:
            self.assertEqual(len(re.findall("data-id", self.site.get(link))), 1, link)
        (tile,) = re.findall(r'href="([^"]+)" class="tile delivered"', page)
        self.assertEqual(len(re.findall("data-id", self.site.get(tile))), 5)

    def test_picked_messages_are_notified_again_after_the_customer_has_seen_how_many(self) -> None:
        self.message(1)
        self.message(2)
        self.message(3, state=ENROUTE, final=False, done_at=None)
        other = self.message(4, account="other")
        self.site.log_in()
        self.site.post("/", url=URL, action="save")
        boxes = re.findall(r'type="checkbox" name="(pick-[^"]+)"', self.site.get("/my/messages"))
        self.assertEqual(len(boxes), 3)
        picks = dict.fromkeys([*boxes[:2], f"pick-{id_text(other.id)}", "pick-nonsense"], "yes")
        asked = self.site.post("/my/messages/resend", action="picked", **picks)
        self.assertIn("Send 1 notification again?", asked.body.decode())
        self.assertIn("1 message has not ended yet.", asked.body.decode())
        self.assertEqual(self.site.driver.store.again, [])
        self.site.post("/my/messages/resend", action="picked", sure="yes", **picks)
        self.assertEqual(self.site.driver.store.again, [bytes([2]) * 16])
        self.assertEqual(len(self.site.driver.flow.woken), 1)
        self.assertIn("1 notification will be sent again", self.site.get("/my/messages"))

    def test_all_messages_of_a_list_are_notified_again_but_none_that_came_after_the_question(self) -> None:
        for number in range(1, 5):
            self.message(number, owed=["webhook"] if number == 4 else [])
        self.site.log_in()
        self.site.post("/", url=URL, action="save")
        question = {"notified": "failed", "since": "2023-11-14T21:56"}
        page = self.site.post("/my/messages/resend", action="all", **question).body.decode()
        self.assertIn("Send 3 notifications again?", page)
        again = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.partition('id="content"')[2]))
        self.message(5, accepted_at=self.site.driver.clock.seconds() + 1.0)
        self.assertEqual(self.site.ask("POST", "/my/messages/resend", again).status, 303)
        self.assertEqual(sorted(self.site.driver.store.again), [bytes([number]) * 16 for number in (1, 2, 3)])
        self.assertIn("All are sent again: 3 of 3 notifications", self.site.get("/my/messages"))

    def test_where_nothing_can_be_sent_again_the_page_says_so(self) -> None:
        self.message(1)
        self.site.log_in()
        for action in ("picked", "all"):
            self.assertEqual(self.site.post("/my/messages/resend", action=action).status, 303)
            self.assertIn("No notification can be sent again", self.site.get("/my/messages"))

    def test_times_have_a_year_and_say_their_zone(self) -> None:
        view = self.message()
        self.site.log_in()
        page = self.site.get(f"/my/messages/{id_text(view.id)}")
        self.assertIn('datetime="2023-11-14T21:56:41.000Z" title="2023-11-14 21:56:41 UTC"', page)
        self.assertIn('<span class="date">14 Nov 2023</span>', page)


class HealthTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.site.log_in()
        self.site.post("/", url=URL, action="save")

    def test_every_page_says_since_when_notifications_fail_and_why(self) -> None:
        view = self.message()
        pages = ("/", "/my/messages", f"/my/messages/{id_text(view.id)}", "/my/settings", "/my/send")
        for path in pages:
            self.assertIn('<div id="alarm" data-live=""></div>', self.site.get(path))
        self.site.driver.webhooks.health = UrlHealth(0.0, 5, 9, "503", 1_700_000_000.0, 1_699_999_000.0)
        for path in pages:
            page = self.site.get(path)
            self.assertRegex(page, r'Notifications fail since <time [^>]*title="2023-11-14 21:56:40 UTC"')
            self.assertIn("Your server answered 503 Service Unavailable.", page)
        self.site.driver.webhooks.state = UrlState("410", 0, False, None, 0)
        self.assertIn("is off, because your server answered 410", self.site.get("/my/send"))
        self.site.post("/", action="remove", sure="yes")
        self.assertIn('<div id="alarm" data-live=""></div>', self.site.get("/my/send"))

    def test_the_overview_counts_attempts_and_what_is_owed_and_since_when(self) -> None:
        self.message(1, owed=["webhook"])
        self.message(2, owed=["webhook"])
        self.site.driver.store.lost = [b"a" * 16]
        self.site.driver.webhooks.health = UrlHealth(1_699_990_000.0, 5, 15, "timeout", 1_700_000_000.0)
        card = self.site.get("/").partition("How notifications arrive")[2].partition("</section>")[0]
        shown = re.sub(r"<[^>]+>", " ", card)
        for words in ("Delivered  5", "15 (75.0 % of all attempts)", "2 , the oldest since   14 Nov 2023   21:56 :43",
                      "Given up   1", "Your server did not answer in time."):  # fmt: skip
            self.assertIn(words, shown)
        self.assertIn('href="/my/messages?notified=owed"', card)

    def test_a_page_that_is_open_learns_that_notifications_begin_to_fail(self) -> None:
        stream = self.site.connect("GET", "/my/events")
        self.assertIn(b'"failing":""', stream.transport.value())
        self.site.driver.webhooks.health = UrlHealth(0.0, 5, 9, "503", 1_700_000_000.0, 1_699_999_000.0)
        self.site.driver.clock.advance(0.5)
        self.assertIn(b'"failing":"1699999000 503"', stream.transport.value())

    def test_an_answer_is_said_in_words(self) -> None:
        for answer, words in (
            ("404", "Your server answered 404 Not Found. There is nothing at this address."),
            ("302", "Your server answered 302 Found. The relay follows no redirects"),
            ("599", "Your server answered 599. It has a fault."),
            ("timeout", "Your server did not answer in time."),
            ("TLS: certificate verify failed", "No encrypted connection: certificate verify failed."),
            ("refused: the name leads to a private address", "Refused: the name leads to a private address."),
            ("500, fallback timeout", "It has a fault. The second URL: Your server did not answer in time."),
            ("ESME_RX_T_APPN", "Your system answered ESME_RX_T_APPN."),
        ):
            self.assertIn(words, answer_words(answer))


class FirstStepsTests(SiteTestCase):
    def done(self) -> list[bool]:
        """Which steps are done; none where there is no list."""
        steps = self.site.get("/").partition("First steps")[2].partition("</ol>")[0]
        return [word == "Done: " for word in re.findall(r">(Done: |To do: )<", steps)]

    def test_an_empty_account_is_led_from_the_key_to_its_first_message(self) -> None:
        self.site.log_in()
        self.assertEqual(self.done(), [True, False, False, False])
        self.site.post("/", url=URL, action="save")
        self.assertEqual(self.done(), [True, True, False, False])
        self.site.post("/my/test")
        self.assertEqual(self.done(), [True, True, True, False])
        self.message(state=ENROUTE, final=False, done_at=None)
        self.assertEqual(self.done(), [])

    def test_the_line_to_paste_sends_a_message_to_this_relay_and_nothing_else(self) -> None:
        self.site = Site(Account(api_key=Secret(KEY), senders=Senders(default="O'Neil")))
        self.site.log_in()
        for host, base in (("relay.example:8080", "http://relay.example:8080"), ("x;rm -rf /", "http://relay.example")):
            self.site.host = host
            line = re.findall(r'id="curl-line">([^<]+)<', self.site.get("/"))[0]
            command = shlex.split(line)
            self.assertEqual(command[:5], ["curl", "-sS", "-u", "acme:YOUR-KEY", f"{base}/messages"])
            self.assertEqual(json.loads(command[-1])["from"], "O'Neil")
            self.assertEqual(len(command), 9)


class LiveTests(SiteTestCase):
    def test_counts_come_as_events_when_they_change(self) -> None:
        self.site.log_in()
        stream = self.site.connect("GET", "/my/events")
        self.assertIn(b'"delivered":0', stream.transport.value())
        self.assertIn(b"Content-Type: text/event-stream", stream.transport.value())
        stream.transport.clear()
        self.site.driver.clock.advance(0.5)
        self.assertEqual(stream.transport.value(), b"")
        now = self.site.driver.clock.seconds()
        self.site.driver.store.entries.append(FeedEntry(1, b"x" * 16, DELIVERED, b"000", now, now - 2.0))
        self.site.driver.clock.advance(0.5)
        self.assertIn(b'event: counts\ndata: {"delivered":1', stream.transport.value())

    def test_a_messages_new_state_comes_as_an_event(self) -> None:
        view = self.message(state=ENROUTE, final=False, done_at=None, attempts=[])
        self.site.log_in()
        stream = self.site.connect("GET", f"/my/events?message={id_text(view.id)}")
        self.assertIn(b'"send_status":"pending"', stream.transport.value())
        self.message()
        self.site.driver.clock.advance(0.5)
        self.assertIn(b'"send_status":"delivered"', stream.transport.value())

    def test_another_accounts_message_brings_no_event(self) -> None:
        view = self.message(account="other")
        self.site.log_in()
        stream = self.site.connect("GET", f"/my/events?message={id_text(view.id)}")
        self.assertIn(b"event: counts", stream.transport.value())
        self.assertNotIn(b"event: message", stream.transport.value())

    def test_streams_are_bounded_and_end_with_their_client(self) -> None:
        self.site.log_in()
        streams = [self.site.connect("GET", "/my/events") for _ in range(8)]
        self.assertEqual(self.site.ask("GET", "/my/events").status, 429)
        streams[0].lose()
        self.site.driver.clock.advance(0.5)
        self.assertIn(b"200 OK", self.site.connect("GET", "/my/events").transport.value())

    def test_a_stream_ends_with_the_session_and_with_the_relay(self) -> None:
        self.site.log_in()
        first = self.site.connect("GET", "/my/events")
        self.site.post("/logout")
        self.site.driver.clock.advance(0.5)
        self.assertIn(b"event: ended", first.transport.value())
        self.assertTrue(first.transport.disconnecting)
        self.site.log_in()
        second = self.site.connect("GET", "/my/events")
        self.successResultOf(Deferred.fromCoroutine(self.site.driver.api.stop()))
        self.assertTrue(second.transport.disconnecting)

    def test_a_stream_alone_does_not_keep_a_session_alive(self) -> None:
        self.site.log_in()
        self.site.connect("GET", "/my/events")
        for _ in range(100):
            self.site.driver.clock.advance(80.0)
        self.assertEqual(self.site.ask("GET", "/").status, 303)

    def test_nobody_else_gets_events(self) -> None:
        self.assertEqual(self.site.ask("GET", "/my/events").status, 401)


class FlattenTests(SynchronousTestCase):
    def test_pages_have_the_same_octets_as_twisted_would_write(self) -> None:
        odd = el("p", "<&>\"'", el("br"), el("input", value="<&>\"'", checked=True), title='a"b', id=None, class_="é")
        for tag in (odd, login_page("t", "/", account="<b>", problem='"x" & <y>')):
            expected = self.successResultOf(flattenString(None, tag))
            self.assertEqual(flatten(tag), b"<!DOCTYPE html>\n" + expected)
