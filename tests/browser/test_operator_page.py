"""The operator's page in a real browser: it shows what is wrong, and asks before each action and records it."""

import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread

from tests.browser.driving import Browser, browser, show, what_is_missing
from tests.browser.test_account_page import AXE, RUN_AXE
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within

MISSING = what_is_missing()
#: An account with a quota, and a balance that lasts for ever.
PREPAID = {"prices": "free", "prepaid": True, "quota": {"daily": 1000, "monthly": 10_000}}
#: Whether the page, and the heading in it, are no wider than the window.
FITS = """
    const heading = document.querySelector(".heading");
    return [document.documentElement, heading].every((part) => part.scrollWidth <= window.innerWidth)
        && [...heading.children].every((part) => part.getBoundingClientRect().right <= window.innerWidth);
"""


def in_reactor(sending: Coroutine[Any, Any, Any]) -> None:
    """Runs something asynchronous while a thread drives the browser, and returns when it is done."""
    from_thread: Any = blockingCallFromThread
    from_thread(reactor, lambda: Deferred.fromCoroutine(sending))


class OperatorPageTests(IntegrationTestCase):
    if MISSING:
        skip = MISSING

    async def start(
        self, orphan_seconds: float = 600.0, account: dict[str, Any] | None = None, **simulated: Any
    ) -> Relay:
        self.simulated = await self.simulator(**simulated)
        self.receiver = await self.webhooks()
        relay = await self.relay(
            accounts={"acme": smpp_account(notification_url=self.receiver.url, **(account or {}))},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"]}],
            limits={"orphan_seconds": orphan_seconds},
            prices={"free": {"currency": "EUR", "by_prefix": {"": 0}}},
        )
        await until("the relay has bound", lambda: "carrier_bound" in relay.log())
        return relay

    def drive(self, relay: Relay, script: Any, *, javascript: bool = True) -> Deferred[None]:
        def steps() -> None:
            with browser(f"http://127.0.0.1:{relay.admin_port}", javascript=javascript) as page:
                page.go("/")
                script(page)
                self.assertEqual([], page.console_problems())

        return deferToThread(steps)

    def act(self, page: Browser, link: str, title: str, reason: str, words: str) -> None:
        """Follows the link to an action's page, answers its question, and waits for the page that follows."""
        page.follow(link)
        page.until("it asks", lambda: page.heading() == title)
        page.fill("reason", reason)
        page.press(words)
        page.until("it is said", lambda: page.has(".notice"))

    async def send(self, relay: Relay, count: int) -> list[str]:
        esme = await self.esme(relay.smpp_port)
        answers = await within(20, esme.submit([submit_body("447700900001")] * count))
        return [message_id for _, message_id in answers]

    async def test_the_overview_says_that_all_is_well_and_its_numbers_change_while_one_looks(self) -> None:
        relay = await self.start()

        def script(page: Browser) -> None:
            self.assertEqual("Ready, nothing is wrong", page.text("#state"))
            self.assertEqual("Nothing is wrong.", page.text("#troubles"))
            page.until("it is live", lambda: page.text("#live") == "Live")
            self.assertIn("Owed\n0", page.text("#tiles"))
            self.receiver.status = 500
            in_reactor(self.send(relay, 3))
            page.until("it changes", lambda: "Owed\n3" in page.text("#tiles"))
            page.until("it is seen", lambda: "acme's notification URL failed" in page.text("#troubles"))
            self.assertIn("wrong", page.text("#state"))

        await self.drive(relay, script)

    async def test_everything_works_without_javascript(self) -> None:
        relay = await self.start()
        [message_id] = await self.send(relay, 1)
        await until("it has been told", lambda: len(self.receiver.posts) == 1)

        def script(page: Browser) -> None:
            self.assertFalse(page.has("#live:not([hidden])"))
            page.follow("Carriers")
            page.until("it is shown", lambda: page.heading() == "Carriers")
            self.assertIn("tier1 up 1 of 1", page.text("#carriers tbody tr"))
            self.act(page, "Hold", "Hold tier1?", "they asked us to", "Hold carrier")
            self.assertEqual("tier1 is held; 0 parts wait.", page.text(".notice"))
            self.act(page, "Resume", "Resume tier1?", "", "Resume carrier")
            page.follow("Messages")
            page.fill("by-find", message_id[:13])
            page.press("Search")
            page.until("it is found", lambda: f"/page/messages/{message_id}" in page.path())
            self.assertIn("taken by tier1", page.text(".life"))
            page.follow("Audit")
            page.until("it is shown", lambda: page.heading() == "Audit")
            self.assertRegex(page.text("#audit"), r"(?s)resume tier1.*hold tier1 they asked us to")

        await self.drive(relay, script, javascript=False)

    async def test_a_balance_is_topped_up_without_javascript_after_a_question(self) -> None:
        relay = await self.start(account=PREPAID)

        def script(page: Browser) -> None:
            page.go("/page/accounts/acme")
            page.follow("Top up")
            page.until("it asks for the amount", lambda: page.heading() == "Top up acme?")
            page.fill("amount", "twelve")
            page.press("Go on")
            page.until("it is refused", lambda: page.has("#amount-problem"))
            page.fill("amount", "12.50")
            page.press("Go on")
            page.until("it asks whether it is right", lambda: page.has("#reason"))
            self.assertIn("Balance then\n12.50 EUR", page.text(".facts"))
            page.fill("reason", "paid by bank")
            page.press("Add to the balance")
            page.until("it is said", lambda: page.has(".notice"))
            self.assertEqual("12.50 EUR added; the balance of acme is 12.50 EUR.", page.text(".notice"))
            self.assertIn("paid by bank", page.text("#top-ups"))

        await self.drive(relay, script, javascript=False)

    async def test_a_question_can_be_cancelled(self) -> None:
        relay = await self.start()

        def script(page: Browser) -> None:
            page.go("/page/carriers/tier1")
            page.follow("Hold")
            page.until("it asks", lambda: page.heading() == "Hold tier1?")
            page.follow("Cancel")
            page.until("it is over", lambda: page.heading() == "tier1")
            self.assertIn("State\nup", page.text("#carrier-now"))

        await self.drive(relay, script)

    async def test_a_message_is_found_by_its_id_and_notified_again(self) -> None:
        relay = await self.start()
        [message_id] = await self.send(relay, 1)
        await until("it has been told", lambda: len(self.receiver.posts) == 1)

        def script(page: Browser) -> None:
            page.follow("Messages")
            page.fill("by-find", message_id)
            page.press("Search")
            page.until("it is found", lambda: message_id in page.text("#message"))
            life = page.text(".life")
            for step in ("accepted from acme over SMPP", "taken by tier1 as", "ended DELIVRD", "by webhook at http"):
                self.assertIn(step, life)
            title = f"Send the notification of {message_id} again?"
            self.act(page, "Resend the notification", title, "", "Send it again")
            self.assertEqual("The notification will be sent again.", page.text(".notice"))
            page.until("it is shown", lambda: page.text(".life").count(": 200 in ") == 2)
            page.follow("Messages")
            page.fill("by-find", "<img src=x onerror=document.title='owned'>")
            page.press("Search")
            page.until("nothing is found", lambda: "No message is like this." in page.text("#messages"))
            self.assertFalse(page.has("#content img"))

        await self.drive(relay, script)
        await until("it has been told again", lambda: len(self.receiver.posts) == 2)

    async def test_a_failing_url_is_seen_switched_off_and_on(self) -> None:
        relay = await self.start()
        self.receiver.status = 500
        await self.send(relay, 3)

        def script(page: Browser) -> None:
            page.until("it is seen", lambda: "acme's notification URL failed" in page.text("#troubles"))
            page.follow("Accounts")
            page.until("it is shown", lambda: " times in a row" in page.text("#accounts tbody"))
            self.act(page, "Switch off", "Stop posting to the URL of acme?", "loops", "Switch URL off")
            self.assertIn("off: ", page.text("#account-told"))
            self.act(page, "Switch on", "Post to the URL of acme again?", "", "Switch URL on")
            self.assertNotIn("off: ", page.text("#account-told"))

        await self.drive(relay, script)

    async def test_a_customer_is_unbound_after_a_question_and_it_is_on_record(self) -> None:
        relay = await self.start()
        esme = await self.esme(relay.smpp_port)

        def script(page: Browser) -> None:
            page.go("/page/accounts/acme")
            self.act(page, "Unbind", "Unbind acme?", "floods us", "Unbind account")
            page.until(
                "it is unbound", lambda: "SMPP login acme\n0 of 8 sessions bound." in page.text("#account-intake")
            )
            page.follow("Audit")
            page.until("it is shown", lambda: page.heading() == "Audit")
            self.assertIn("unbind acme floods us", page.text("#audit tbody"))

        await self.drive(relay, script)
        await within(10, esme.gone)

    async def test_a_refused_reload_is_shown_with_its_lines_and_a_right_file_is_reloaded(self) -> None:
        relay = await self.start()
        right = dict(relay.configuration)

        def script(page: Browser) -> None:
            relay.configuration["routes"] = [{"carriers": ["nobody"]}]
            relay.write_file()
            page.follow("Configuration")
            page.follow("Check the file")
            page.until("it says why", lambda: "routes[0].carriers[0]" in page.text(".troubles"))
            self.assertFalse(page.has("form"))
            relay.configuration = right | {"validity_seconds": 7200}
            relay.write_file()
            page.follow("Check again")
            page.until("it says what changes", lambda: "validity_seconds" in page.text("main"))
            page.press("Reload")
            page.until("it is said", lambda: page.text(".notice") == "1 changes were applied.")

        await self.drive(relay, script)

    async def test_orphans_show_what_they_say_and_which_setting_would_match(self) -> None:
        # Ids in hexadecimal in responses and decimal in receipts, and nobody has told the relay.
        relay = await self.start(response_id="hex", receipt_id="decimal", receipt_delay_seconds=0.2)
        await self.send(relay, 30)
        await until("receipts came", lambda: self.simulated.counters.acked >= 30)

        def script(page: Browser) -> None:
            page.until("it is said", lambda: "receipts have ids that no message has" in page.text("#troubles"))
            page.follow("Look")
            page.until("orphans are shown", lambda: "orphan" in page.text("#receipts tbody"))
            self.assertIn("under carriers.tier1", page.text("#advice"))
            self.assertIn("base: hex", page.text("#advice pre"))

        await self.drive(relay, script)

    async def test_receipts_that_waited_in_vain_are_shown_until_the_operator_dismisses_them(self) -> None:
        relay = await self.start(orphan_seconds=0.2, response_id="hex", receipt_id="decimal", receipt_delay_seconds=0.2)
        await self.send(relay, 30)
        await until("receipts came", lambda: self.simulated.counters.acked >= 30)

        def script(page: Browser) -> None:
            page.until("it is said", lambda: "receipts of tier1 match too few messages" in page.text("#troubles"))
            page.follow("Receipts")
            page.until("they are shown", lambda: "30 kept as evidence" in page.text("main"))
            self.assertIn("base: hex", page.text("#advice pre"))
            self.act(page, "Dismiss", "Dismiss the receipts of tier1?", "another's", "Dismiss receipts")
            self.assertEqual("30 receipts of tier1 are kept no more.", page.text(".notice"))
            self.assertEqual("Every receipt found its message.", page.text("#receipts"))
            self.assertEqual("", page.text("#evidence"))

        await self.drive(relay, script)

    async def test_a_removed_carrier_that_drains_is_seen_and_unbound_after_a_question(self) -> None:
        relay = await self.start(receipt_delay_seconds=600.0)
        await self.send(relay, 7)
        await until("the carrier has them", lambda: self.simulated.counters.submits == 7)
        relay.configuration |= {"carriers": {"sim": {"kind": "simulator"}}, "routes": [{"carriers": ["sim"]}]}
        relay.write_file()
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        await until("it drains", lambda: "carrier_draining: tier1" in relay.log())

        def script(page: Browser) -> None:
            page.follow("Carriers")
            page.until("they are counted", lambda: "7 receipts are outstanding" in page.text("#carriers"))
            self.assertIn("tier1 draining", page.text("#carriers"))
            self.act(page, "Unbind now", "Unbind tier1 now?", "contract ended", "Unbind carrier")
            page.until("it is gone", lambda: "tier1" not in page.text("#carriers tbody"))

        await self.drive(relay, script)
        await until("it is unbound", lambda: self.simulated.carrier.bound_sessions == 0)

    async def test_every_page_is_accessible_and_never_wider_than_its_window(self) -> None:
        relay = await self.start(account=PREPAID)
        self.receiver.status = 500
        [message_id, *_] = await self.send(relay, 5)
        name = "an-account-with-a-name-of-fifty-characters-or-more"
        entry = Path(relay.configuration["data_dir"], "conf.d", "accounts", f"{name}.yaml")
        entry.parent.mkdir(parents=True)
        entry.write_text("api_key: secret08\nrate: fast\n")
        paths = ("/", "/?span=week", "/page/quality", "/page/traces",
                 "/page/carriers", "/page/carriers/tier1", "/page/carriers/tier1/hold",
                 "/page/accounts", "/page/accounts/acme", "/page/accounts/acme/top-up?amount=x",
                 "/page/accounts/acme/top-up?amount=5&key=a", "/page/messages?account=acme",
                 f"/page/messages/{message_id}", "/page/inbound", "/page/receipts", "/page/audit",
                 "/page/configuration?account=acme&to=447700900123",
                 f"/page/configuration/files/accounts/{name}", "/page/configuration/reload")  # fmt: skip
        axe = Path(AXE).read_text() if Path(AXE).exists() else ""

        def script(page: Browser) -> None:
            for width, dark in ((320, True), (360, False), (1440, True), (1440, False)):
                show(page, width, 900, dark=dark)
                for path in paths:
                    page.go(path)
                    fits = page.run(FITS)
                    self.assertTrue(fits, (path, width))
                    if axe:
                        page.run(axe)
                        self.assertEqual([], page.run_async(RUN_AXE), (path, width))

        await self.drive(relay, script)
        if not axe:
            self.skipTest("axe-core is not installed")
