"""The operator's page in a real browser: it shows what is wrong, and asks before each action and records it."""

import signal
from pathlib import Path
from typing import Any

import yaml
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.browser.driving import Browser, browser, show, what_is_missing
from tests.browser.test_account_page import AXE, RUN_AXE
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within

MISSING = what_is_missing()


class OperatorPageTests(IntegrationTestCase):
    if MISSING:
        skip = MISSING

    async def start(self, orphan_seconds: float = 600.0, **simulated: Any) -> Relay:
        self.simulated = await self.simulator(**simulated)
        self.receiver = await self.webhooks()
        relay = await self.relay(
            accounts={"acme": smpp_account(notification_url=self.receiver.url)},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"]}],
            limits={"orphan_seconds": orphan_seconds},
        )
        await until("the relay has bound", lambda: "carrier_bound" in relay.log())
        return relay

    def drive(self, relay: Relay, script: Any) -> Deferred[None]:
        def steps() -> None:
            with browser(f"http://127.0.0.1:{relay.admin_port}") as page:
                page.go("/")
                page.until("it is live", lambda: page.text("#state") in ("ready", "NOT READY"))
                script(page)
                self.assertEqual([], page.console_problems())

        return deferToThread(steps)

    async def send(self, relay: Relay, count: int) -> list[str]:
        esme = await self.esme(relay.smpp_port)
        answers = await within(20, esme.submit([submit_body("447700900001")] * count))
        return [message_id for _, message_id in answers]

    async def test_the_page_says_that_all_is_well(self) -> None:
        relay = await self.start()
        await self.send(relay, 20)

        def script(page: Browser) -> None:
            self.assertEqual("ready", page.text("#state"))
            self.assertEqual("Nothing.", page.text("#troubles"))
            page.until("the carrier has taken them", lambda: " 20 " in page.text("#carriers tbody tr"))
            self.assertIn("tier1 up 1 of 1", page.text("#carriers tbody tr"))
            self.assertIn("acme 1", page.text("#accounts tbody tr"))

        await self.drive(relay, script)

    async def test_a_carrier_is_held_and_resumed_after_a_question_and_both_are_on_record(self) -> None:
        relay = await self.start()

        def script(page: Browser) -> None:
            page.press("Hold")
            page.until("it asks", lambda: page.text("#confirm-title") == "Hold tier1?")
            page.press("Cancel")
            page.until("it asks no longer", lambda: not page.has("#confirm[open]"))
            self.assertIn("tier1 up", page.text("#carriers tbody tr"))
            page.press("Hold")
            page.fill("confirm-reason", "they asked us to")
            page.press("Hold carrier")
            page.until("it is held", lambda: "tier1 held" in page.text("#carriers tbody tr"))
            self.assertIn("tier1 is held by the operator", page.text("#troubles"))
            page.press("Resume")
            page.press("Resume carrier")
            page.until("it is up", lambda: "tier1 up" in page.text("#carriers tbody tr"))
            page.until("both are recorded", lambda: "resume tier1" in page.text("#audit tbody"))
            self.assertIn("they asked us to", page.text("#audit tbody"))

        await self.drive(relay, script)

    async def test_a_message_is_found_by_its_id_and_notified_again(self) -> None:
        relay = await self.start()
        [message_id] = await self.send(relay, 1)
        await until("it has been told", lambda: len(self.receiver.posts) == 1)

        def script(page: Browser) -> None:
            page.fill("find-id", message_id)
            page.press("Find")
            page.until("it is found", lambda: message_id in page.text("#found h3"))
            life = page.text("#found .life")
            for step in ("accepted from acme over SMPP", "taken by tier1 as", "ended DELIVRD", "by webhook: 200"):
                self.assertIn(step, life)
            page.press("Resend notification")
            page.press("Send it again")
            page.until("it says so", lambda: "will be sent again" in page.text("#told"))
            page.fill("find-id", "nobody's")
            page.press("Find")
            page.until("nothing is found", lambda: "No message has the id" in page.text("#found"))

        await self.drive(relay, script)
        await until("it has been told again", lambda: len(self.receiver.posts) == 2)

    async def test_a_failing_url_is_seen_switched_off_and_on(self) -> None:
        relay = await self.start()
        self.receiver.status = 500
        await self.send(relay, 3)

        def script(page: Browser) -> None:
            page.until("it is seen", lambda: "acme's notification URL failed" in page.text("#troubles"))
            page.press("Switch off")
            page.press("Switch URL off")
            page.until("it is off", lambda: "off: " in page.text("#accounts tbody"))
            page.press("Switch on")
            page.press("Switch URL on")
            page.until("it is on", lambda: "off: " not in page.text("#accounts tbody"))

        await self.drive(relay, script)

    async def test_a_customer_is_unbound_after_a_question_and_it_is_on_record(self) -> None:
        relay = await self.start()
        esme = await self.esme(relay.smpp_port)

        def script(page: Browser) -> None:
            page.until("it is bound", lambda: "acme 1" in page.text("#accounts tbody"))
            page.press("Unbind")
            page.until("it asks", lambda: page.text("#confirm-title") == "Unbind acme?")
            page.fill("confirm-reason", "floods us")
            page.press("Unbind account")
            page.until("it is unbound", lambda: "acme 0" in page.text("#accounts tbody"))
            page.until("it is recorded", lambda: "unbind acme floods us" in page.text("#audit tbody"))

        await self.drive(relay, script)
        await within(10, esme.gone)

    async def test_a_replay_asks_and_says_how_many_it_concerns(self) -> None:
        relay = await self.start()

        def script(page: Browser) -> None:
            page.press("Resend")
            page.until("it asks", lambda: "Resend the notifications of acme" in page.text("#confirm-title"))
            page.press("Resend notifications")
            page.until("it says", lambda: "0 notifications of acme will be sent again" in page.text("#told"))

        await self.drive(relay, script)

    async def test_orphans_show_what_they_say_and_which_setting_would_match(self) -> None:
        # Ids in hexadecimal in responses and decimal in receipts, and nobody has told the relay.
        relay = await self.start(response_id="hex", receipt_id="decimal", receipt_delay_seconds=0.2)
        await self.send(relay, 30)
        await until("receipts came", lambda: self.simulated.counters.acked >= 30)

        def script(page: Browser) -> None:
            page.until("orphans are shown", lambda: "orphan" in page.text("#receipts tbody"))
            self.assertIn("under carriers.tier1", page.text("#advice"))
            self.assertIn("base: hex", page.text("#advice pre"))
            self.assertIn("receipts have ids that no message has", page.text("#troubles"))

        await self.drive(relay, script)

    async def test_receipts_that_waited_in_vain_are_shown_until_the_operator_dismisses_them(self) -> None:
        relay = await self.start(orphan_seconds=0.2, response_id="hex", receipt_id="decimal", receipt_delay_seconds=0.2)
        await self.send(relay, 30)
        await until("receipts came", lambda: self.simulated.counters.acked >= 30)

        def script(page: Browser) -> None:
            page.until("it is said", lambda: "receipts of tier1 match too few messages" in page.text("#troubles"))
            page.until("they are shown", lambda: "evidence" in page.text("#receipts tbody"))
            self.assertIn("base: hex", page.text("#advice pre"))
            page.press("Dismiss")
            page.until("it asks", lambda: "Dismiss the receipts of tier1?" in page.text("#confirm-title"))
            page.press("Dismiss receipts")
            page.until("it says", lambda: "30 receipts of tier1 are kept no more" in page.text("#told"))
            page.until("none is left", lambda: page.text("#receipts-summary") == "None.")
            self.assertEqual("", page.text("#evidence"))

        await self.drive(relay, script)

    async def test_a_removed_carrier_that_drains_is_seen_and_unbound_after_a_question(self) -> None:
        relay = await self.start(receipt_delay_seconds=600.0)
        await self.send(relay, 7)
        await until("the carrier has them", lambda: self.simulated.counters.submits == 7)
        relay.configuration |= {"carriers": {"sim": {"kind": "simulator"}}, "routes": [{"carriers": ["sim"]}]}
        (relay.directory / "relay.yaml").write_text(yaml.safe_dump(relay.configuration))
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        await until("it drains", lambda: "carrier_draining: tier1" in relay.log())

        def script(page: Browser) -> None:
            page.until("it is shown", lambda: "tier1 draining" in page.text("#carriers tbody"))
            page.until("they are counted", lambda: "7 receipts are outstanding" in page.text("#carriers tbody"))
            page.press("Unbind now")
            page.until("it asks", lambda: page.text("#confirm-title") == "Unbind tier1 now?")
            page.press("Unbind carrier")
            page.until("it is gone", lambda: "tier1" not in page.text("#carriers tbody"))
            page.until("it is recorded", lambda: "unbind the removed carrier tier1" in page.text("#audit tbody"))

        await self.drive(relay, script)
        await until("it is unbound", lambda: self.simulated.carrier.bound_sessions == 0)

    async def test_on_a_phone_nothing_is_to_be_scrolled_sideways(self) -> None:
        relay = await self.start()
        self.receiver.status = 500
        await self.send(relay, 3)

        def script(page: Browser) -> None:
            show(page, 390, 844, dark=False)
            page.until("it is seen", lambda: "failed " in page.text("#accounts tbody"))
            wide = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)"
            self.assertEqual(0, page.run(f"return {wide}.length"))
            page.press("Switch off")
            page.press("Switch URL off")
            page.until("it is off", lambda: "off: " in page.text("#accounts tbody"))

        await self.drive(relay, script)

    async def test_text_from_a_carrier_is_shown_as_text_and_never_as_markup(self) -> None:
        relay = await self.start()

        def script(page: Browser) -> None:
            page.fill("find-id", "<img src=x onerror=document.title='owned'>")
            page.press("Find")
            page.until("nothing is found", lambda: "No message has the id <img" in page.text("#found"))
            self.assertFalse(page.has("#found img"))
            self.assertEqual("SMS relay", page.run("return document.title"))

        await self.drive(relay, script)

    async def test_a_checker_of_accessibility_finds_nothing_grave_at_any_width(self) -> None:
        if not Path(AXE).exists():
            self.skipTest("axe-core is not installed")
        relay = await self.start()
        await self.send(relay, 5)

        def script(page: Browser) -> None:
            for width, dark in ((320, True), (360, False), (1440, True)):
                show(page, width, 900, dark=dark)
                page.run(Path(AXE).read_text())
                self.assertEqual([], page.run_async(RUN_AXE))
                self.assertTrue(page.run("return document.documentElement.scrollWidth <= window.innerWidth"))

        await self.drive(relay, script)
