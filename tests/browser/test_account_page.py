"""The account page in a real browser: with JavaScript, without it, and with a checker of accessibility.

The test waits for the browser in a thread, so that the receiver of notifications, which is in this process, can answer
at the same time.
"""

import re
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests import HUNG_SECONDS
from tests.browser.driving import Browser, browser, show, what_is_missing
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, WebhookReceiver, smpp_account

AXE = ROOT / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"
MISSING = what_is_missing()
KEY = "key-of-the-browser"
PAGES = ("/", "/my/messages", "/my/settings", "/my/send", "/my/access")

#: The page keeps a note of everything that moved although nobody touched it.
WATCH_SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({type: "layout-shift", buffered: false});
"""

RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(
  (found) => done(found.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map(
    (v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ") + " " + n.failureSummary).join("; "))),
  (error) => done(["axe failed: " + error]));
"""

#: The elements that reach past the right edge of the window, where the page can be scrolled sideways.
TOO_WIDE = """
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > width)
  .map((e) => e.tagName + "." + e.className + "#" + e.id);
"""

#: Name and outline of what has the focus; no name where nothing has it, which is so after the last control.
FOCUSED = """
const e = document.activeElement;
return [e === document.body ? "" : e.id || e.textContent.trim(), getComputedStyle(e).outlineStyle];
"""


#: A time as it is shown, and as the relay wrote it.
READ_TIME = """
const time = document.querySelector("#latest time");
return [time.querySelector(".clock").textContent.slice(0, 5), time.dateTime];
"""
AS_IN_KATHMANDU = """
return new Date(Date.parse(arguments[0]) + 345 * 60000).toISOString().slice(11, 16);
"""

#: Whether an element is within the window.
IN_SIGHT = """
const box = document.getElementById(arguments[0]).getBoundingClientRect();
return box.top >= 0 && box.bottom <= innerHeight;
"""


class AccountPageTests(IntegrationTestCase):
    if MISSING:
        skip = MISSING

    async def site(
        self, *, delay_seconds: float = 1.5, shutdown_seconds: float = 5.0, **account: Any
    ) -> tuple[str, Relay, WebhookReceiver]:
        """A relay with a simulated carrier inside, and who may be notified by it."""
        receiver = await self.webhooks()
        customer = smpp_account(**account) | {"api_key": KEY}
        carrier = {"kind": "simulator", "simulator": {"receipt_delay_seconds": delay_seconds}}
        relay = await self.relay(
            accounts={"acme": customer},
            carriers={"sim": carrier},
            routes=[{"carriers": ["sim"]}],
            shutdown_seconds=shutdown_seconds,
        )
        return f"http://127.0.0.1:{relay.http_port}", relay, receiver

    def drive(self, site: str, script: Any, *, javascript: bool = True) -> Deferred[None]:
        """Runs a script of steps in a new browser."""

        def steps() -> None:
            with browser(site, javascript=javascript) as page:
                script(page)

        assert hasattr(reactor, "callFromThread")
        return deferToThread(steps)

    async def test_a_customer_sets_a_url_tests_it_and_watches_a_message_being_delivered(self) -> None:
        site, _, receiver = await self.site()

        def script(page: Browser) -> None:
            page.log_in("acme", KEY)
            self.assertIn("No URL", page.text("#notifications"))
            page.fill("url", "ftp://example.org/")
            page.press("Save URL")
            page.until("it says what is wrong", lambda: "must begin with http" in page.text("#url-problem"))
            self.assertEqual(page.run(FOCUSED)[0], "url")
            self.assertTrue(page.run(IN_SIGHT, "url-problem"), "the problem is in sight")
            self.assertEqual(
                (page.path(), page.run("return document.activeElement.value")), ("/", "ftp://example.org/")
            )
            page.fill("url", receiver.url)
            page.press("Save URL")
            page.until("it is saved", lambda: "saved" in page.text(".notice.good"))
            self.assertIn("Set here", page.text("#notifications"))
            page.press("Send test notification")
            page.until("the answer is shown", lambda: "arrived" in page.text(".notice.good"))
            self.assertRegex(page.text(".notice"), r"Answer\s+200\s+Time\s+\d+ ms")
            page.follow("Send")
            page.press("Send message")
            page.until("every empty field is named", lambda: len(page.all(".wrong")) == 3)
            self.assertEqual(page.run(FOCUSED)[0], "to")
            page.fill("to", "+44 7700-900123")
            page.fill("from", "Browser")
            page.fill("text", "Hello from a browser {")
            page.until("it is counted", lambda: page.text("#size") == "22 characters, GSM alphabet, 1 part; 137 left.")
            page.press("Send message")
            page.until("its page is shown", lambda: page.text("#message .badge") == "pending")
            page.run("window.loadedOnce = true;")
            page.until("it is delivered", lambda: page.text("#message .badge") == "delivered")
            page.until("the attempt is shown", lambda: "Your server answered 200 OK" in page.text("#message"))
            self.assertTrue(page.run("return window.loadedOnce;"), "the page was not loaded again for that")
            page.until("a screen reader is told", lambda: "is now: delivered" in page.run(
                "return document.getElementById('said').textContent"))  # fmt: skip
            # The browser notes that the wrong URL was answered 422; it must have nothing else to complain of.
            self.assertEqual([said for said in page.console_problems() if "422" not in said], [])

        await self.drive(site, script)
        test, message = receiver.posts
        self.assertEqual((test.headers["x-relay-test"], message.json["send_status"]), ("1", "delivered"))

    async def test_counts_change_live_and_nothing_moves_when_they_do(self) -> None:
        site, relay, _ = await self.site(delay_seconds=0.2)

        def before(page: Browser) -> None:
            page.log_in("acme", KEY)
            page.until("it is live", lambda: page.text("#live") == "Live")
            page.run(WATCH_SHIFTS)

        def after(page: Browser) -> None:
            page.until("the count says it", lambda: page.text("[data-count=delivered]") == "3")
            page.until("the list says it", lambda: page.text("#latest").count("delivered") == 3)
            self.assertLess(page.run("return window.shifts"), 0.1)

        context = browser(site)
        page = await deferToThread(context.__enter__)
        self.addCleanup(deferToThread, context.__exit__, None, None, None)
        await deferToThread(before, page)
        for number in range(3):
            message = {"to": f"44770090000{number}", "from": "Test", "text": "x"}
            status, _ = await self.http("POST", relay, "/messages", message, key=KEY)
            self.assertEqual(status, 202)
        await deferToThread(after, page)

    async def test_times_are_the_readers_and_charts_lead_to_their_messages(self) -> None:
        site, relay, _ = await self.site(delay_seconds=0.05)
        message = {"to": "447700900123", "from": "Test", "text": "x"}
        await self.http("POST", relay, "/messages", message, key=KEY)

        def script(page: Browser) -> None:
            # 5 hours and 45 minutes before UTC.
            page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kathmandu"})
            page.log_in("acme", KEY)
            page.until("it is counted", lambda: page.text("[data-count=delivered]") == "1")
            self.assertEqual(page.text("[data-count=rate]"), "100 % of those that ended")
            page.until("it is drawn", lambda: page.has("#charts svg rect.delivered"))
            self.assertIn("Asia/Kat", page.text("#zone"))
            shown, utc = page.run(READ_TIME)
            self.assertEqual(shown, page.run(AS_IN_KATHMANDU, utc))
            self.assertRegex(page.text("#latest .ago"), "just now|seconds ago")
            page.run("document.querySelector('#charts a rect').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
            page.until("the list is shown", lambda: page.heading() == "Messages")
            self.assertEqual(page.text("#messages tbody a"), "447700900123")
            # The address has UTC, the field has the reader's time, and sending the form changes neither.
            before, field = page.path(), page.run("return document.getElementById('since').value")
            self.assertIn(":45", field)
            page.press("Apply")
            page.until("the form was sent", lambda: "until" in page.path() and page.path() != before)
            self.assertEqual(page.run("return document.getElementById('since').value"), field)
            self.assertEqual(page.text("#messages tbody a"), "447700900123")

        await self.drive(site, script)

    async def test_a_url_that_fails_is_reported_on_an_open_page_and_its_notifications_are_sent_again(self) -> None:
        site, relay, receiver = await self.site(delay_seconds=0.05)
        receiver.status = 503

        def before(page: Browser) -> None:
            page.log_in("acme", KEY)
            page.fill("url", receiver.url)
            page.press("Save URL")
            page.until("it is saved", lambda: "saved" in page.text(".notice.good"))
            page.until("it is live", lambda: page.text("#live") == "Live")

        def after(page: Browser) -> None:
            page.until("it is reported", lambda: "Your server answered 503 Service Unavailable" in page.text("#alarm"))
            page.go("/my/messages?notified=owed")
            self.assertEqual(len(page.all("#messages tbody tr")), 2)
            page.go("/my/messages")
            page.driver.find_element("css selector", "#messages input[type=checkbox]").click()
            page.press("Picked messages")
            page.until("it asks", lambda: page.heading() == "Send 1 notification again?")
            page.follow("Cancel")
            page.until("the list is back", lambda: page.heading() == "Messages")
            page.press("All of this list")
            page.until("it asks", lambda: page.heading() == "Send 2 notifications again?")
            receiver.status = 200
            page.press("Send again")
            page.until("they will be sent", lambda: "2 notifications will be sent again" in page.text(".notice.good"))
            page.until("nothing is wrong", lambda: (page.driver.refresh(), page.text("#alarm"))[1] == "")

        context = browser(site)
        page = await deferToThread(context.__enter__)
        self.addCleanup(deferToThread, context.__exit__, None, None, None)
        await deferToThread(before, page)
        for number in range(2):
            message = {"to": f"44770090000{number}", "from": "Test", "text": "x"}
            await self.http("POST", relay, "/messages", message, key=KEY)
        await deferToThread(after, page)

    async def test_a_login_survives_a_restart_of_the_relay(self) -> None:
        site, relay, _ = await self.site()

        def log_in(page: Browser) -> None:
            page.log_in("acme", KEY)
            self.assertIn("First steps", page.text("main"))
            page.go("/my/send")
            page.fill("to", "447700900123")
            page.fill("from", "Browser")
            page.fill("text", "Hello")

        def go_on(page: Browser) -> None:
            # The form is of the process before.
            page.press("Send message")
            page.until("it is sent", lambda: page.has("#message .timeline"))

        context = browser(site)
        page = await deferToThread(context.__enter__)
        self.addCleanup(deferToThread, context.__exit__, None, None, None)
        await deferToThread(log_in, page)
        relay.kill()
        await relay.start()
        await deferToThread(go_on, page)

    async def test_all_but_live_updates_works_without_javascript(self) -> None:
        site, _, receiver = await self.site(delay_seconds=0.1)

        def script(page: Browser) -> None:
            page.log_in("acme", KEY)
            page.fill("url", receiver.url)
            page.press("Save URL")
            page.until("it is saved", lambda: "saved" in page.text(".notice.good"))
            page.press("Send test notification")
            page.until("it arrived", lambda: "arrived" in page.text(".notice.good"))
            page.follow("Settings")
            self.assertRegex(page.text("#made-secret"), r"^whsec_", "the relay made one for the test notification")
            page.press("Make a new secret")
            page.until("the secret is shown", lambda: page.has("#secret"))
            secret = page.text("#secret")
            self.assertRegex(secret, r"^whsec_[A-Za-z0-9+/]{43}=$")
            page.go("/my/settings")
            self.assertNotIn(secret, page.driver.page_source)
            page.follow("Send")
            page.fill("to", "447700900123")
            page.fill("from", "Browser")
            page.fill("text", "Hello")
            page.press("Count characters")
            page.until("it is counted", lambda: "5 characters, GSM alphabet, 1 part" in page.text("#size"))
            page.press("Send message")
            # A reload now, before the answer is there, would be one of the form's page.
            page.until("it is sent", lambda: page.has("#message"))
            page.until(
                "it is delivered", lambda: (page.driver.refresh(), page.text("#message .badge"))[1] == "delivered"
            )
            self.assertTrue(page.driver.find_element("id", "live").get_attribute("hidden"))
            page.press("Send the notification again")
            page.until("it will be sent again", lambda: "will be sent again" in page.text(".notice.good"))
            page.follow("Messages")
            page.follow("Failed")
            page.until("there are none", lambda: "No message like this" in page.text("#messages"))
            page.follow("All")
            page.fill("search", "900123")
            page.press("Search")
            page.until("it is found", lambda: "447700900123" in page.text("#messages"))
            page.go("/my/settings")
            page.press("Stop signing")
            page.until("it asks", lambda: page.heading() == "Stop signing?")
            page.press("Stop signing")
            page.until("it is done", lambda: "not signed any more" in page.text(".notice.good"))
            page.follow("Access")
            page.fill("name", "till")
            page.press("Make key")
            page.until("the key is shown", lambda: page.text("#secret").startswith("rk_"))
            page.press("Replace")
            page.until("both are there", lambda: len(page.all("#keys li")) == 3)
            page.press("Log out")
            page.until("the login page is shown", lambda: page.has("#key"))
            page.go("/my/messages")
            self.assertTrue(page.has("#key"), "the login page is shown")

        await self.drive(site, script, javascript=False)
        self.assertGreaterEqual(len(receiver.posts), 2)
        self.assertIn("webhook-signature", receiver.posts[-1].headers)

    async def test_a_checker_of_accessibility_finds_nothing_serious_on_any_page_light_or_dark(self) -> None:
        if not AXE.is_file():
            self.skipTest("axe-core is not installed: make browser")
        site, relay, receiver = await self.site(delay_seconds=0.05, notification_url="http://127.0.0.1:1/nobody")
        _, sent = await self.http(
            "POST", relay, "/messages", {"to": "447700900123", "from": "Test", "text": "x"}, key=KEY
        )
        checker = Path(AXE).read_text(encoding="utf-8")

        def script(page: Browser) -> None:
            found: list[str] = []

            def check(path: str) -> None:
                page.go(path)
                page.run(checker)
                found.extend(f"{path}: {problem}" for problem in page.run_async(RUN_AXE))

            check("/login")
            page.log_in("acme", KEY)
            for width in (360, 1440):
                for dark in (False, True):
                    show(page, width, 900, dark=dark)
                    for path in (*PAGES, f"/my/messages/{sent['id']}"):
                        check(path)
                    check("/docs")
            page.go("/my/send")
            page.fill("to", "")
            page.press("Send message")
            page.until("it says what is wrong", lambda: page.has("#to-problem"))
            page.run(checker)
            found.extend(page.run_async(RUN_AXE))
            self.assertEqual(found, [])

        await self.drive(site, script)
        self.assertEqual(receiver.posts, [])

    async def test_no_page_scrolls_sideways_in_a_narrow_or_a_wide_window(self) -> None:
        site, relay, _ = await self.site(delay_seconds=0.05)
        _, sent = await self.http(
            "POST", relay, "/messages", {"to": "447700900123", "from": "Test", "text": "x"}, key=KEY
        )

        def script(page: Browser) -> None:
            page.log_in("acme", KEY)
            page.go(f"/my/messages/{sent['id']}")
            page.until(
                "it is delivered", lambda: (page.driver.refresh(), page.text("#message .badge"))[1] == "delivered"
            )
            for width in (320, 360, 1440):
                show(page, width, 900, dark=False)
                for path in (*PAGES, f"/my/messages/{sent['id']}", "/docs"):
                    page.go(path)
                    self.assertEqual(page.run(TOO_WIDE), [], f"{path} in a window of {width}")

        await self.drive(site, script)

    async def test_every_control_is_reached_with_the_keyboard_and_shows_its_focus(self) -> None:
        site, _, _ = await self.site()

        def script(page: Browser) -> None:
            from selenium.webdriver.common.keys import Keys

            page.log_in("acme", KEY)
            page.go("/my/settings")
            reached: list[str] = []
            for _ in range(40):
                page.driver.switch_to.active_element.send_keys(Keys.TAB)
                name, outline = page.run(FOCUSED)
                if not name:
                    break
                reached.append(name)
                self.assertNotEqual(outline, "none", name)
            wanted = {
                "Skip to content",
                "Messages",
                "Log out",
                "url",
                "Save URL",
                "Make a secret",
                "notify",
                "Save settings",
            }
            self.assertEqual(wanted - set(reached), set())

        await self.drive(site, script)

    async def test_an_open_stream_does_not_hold_up_the_relays_end(self) -> None:
        # What held it up would do so for as long as a stop may take, and this test would hang.
        site, relay, _ = await self.site(shutdown_seconds=HUNG_SECONDS)

        def script(page: Browser) -> None:
            page.log_in("acme", KEY)
            page.until("it is live", lambda: page.text("#live") == "Live")

        context = browser(site)
        page = await deferToThread(context.__enter__)
        self.addCleanup(deferToThread, context.__exit__, None, None, None)
        await deferToThread(script, page)
        await relay.stop()
        self.assertIsNone(re.search("Traceback|Unhandled", relay.log(100_000)))
