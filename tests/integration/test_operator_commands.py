"""The operator's commands and page against a running relay."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from relay.values import smpp_constants as c
from tests import HUNG_SECONDS
from tests.fakes import BindFailed, submit_body
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within


class CommandsTestCase(IntegrationTestCase):
    async def start(self, orphan_seconds: float = 600.0, routes: Any = None, **more: Any) -> Relay:
        self.simulated = await self.simulator(**more)
        self.receiver = await self.webhooks()
        relay = await self.relay(
            accounts={"acme": smpp_account(notification_url=self.receiver.url)},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=routes or [{"carriers": ["tier1"], "prefix": "44"}],
            limits={"orphan_seconds": orphan_seconds},
        )
        await relay.carrier_bound(self.simulated)
        return relay

    async def command(self, *arguments: str, stdin: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
        def run() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [sys.executable, "-m", "relay", *arguments],
                input=stdin, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False, cwd=ROOT,
                env=os.environ | environ,
            )  # fmt: skip

        return await deferToThread(run)

    async def status(self, relay: Relay) -> Any:
        done = await self.command("status", "--json", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        return json.loads(done.stdout)


class DialectTests(CommandsTestCase):
    async def test_a_running_relay_s_orphans_show_which_dialect_would_match_them(self) -> None:
        relay = await self.start(response_id="hex", receipt_id="decimal", receipt_delay_seconds=0.2)
        customer = await self.esme(relay.smpp_port)
        await within(10, customer.submit([submit_body("447700900123")] * 30))
        await until("receipts came", lambda: self.simulated.counters.acked >= 30)
        done = await self.command("dialect", "--orphans", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("30 receipts found no message", done.stdout)
        self.assertIn("base: hex", done.stdout)

    async def test_receipts_that_waited_in_vain_are_shown_until_they_are_dismissed(self) -> None:
        relay = await self.start(response_id="hex", receipt_id="decimal", receipt_delay_seconds=0.2, orphan_seconds=0.2)
        admin = f"http://127.0.0.1:{relay.admin_port}"
        customer = await self.esme(relay.smpp_port)
        await within(10, customer.submit([submit_body("447700900123")] * 30))
        wrong = "receipts of tier1 match too few messages: 30 that found none in time are kept"

        async def shown() -> bool:
            return any(wrong in trouble for trouble in (await self.status(relay))["troubles"])

        await until("the trouble is shown", shown)
        done = await self.command("dialect", "--orphans", "--admin", admin)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("30 of them are kept of tier1, although their time is over", done.stdout)
        self.assertIn("base: hex", done.stdout)
        self.assertIn(wrong, (await self.command("status", "--admin", admin)).stdout)
        done = await self.command("dialect", "--dismiss", "tier1", "--reason", "another's", "--admin", admin)
        self.assertEqual((0, "30 receipts of tier1 are kept no more\n"), (done.returncode, done.stdout))
        self.assertEqual([], (await self.status(relay))["troubles"])
        done = await self.command("dialect", "--dismiss", "tier1", "--admin", admin)
        self.assertEqual((1, "no receipts of 'tier1' are kept as evidence\n"), (done.returncode, done.stderr))

    async def test_without_orphans_the_command_says_so(self) -> None:
        relay = await self.start()
        done = await self.command("dialect", "--orphans", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        self.assertEqual((0, "# No receipt waits for its message: nothing to find.\n"), (done.returncode, done.stdout))


class StatusTests(CommandsTestCase):
    async def test_the_table_shows_carriers_and_accounts(self) -> None:
        relay = await self.start()
        await until("the relay has bound", lambda: "carrier_bound" in relay.log())
        done = await self.command("status", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("nothing is wrong", done.stdout)
        self.assertRegex(done.stdout, r"tier1 +up +1/1")
        self.assertRegex(done.stdout, r"acme +0 +0\.0")

    async def test_carriers_and_accounts_missing_in_the_file_are_shown_while_something_waits_for_them(self) -> None:
        relay = await self.start(receipt_delay_seconds=0.05)
        silent = await self.simulator(silent_share=1.0)
        before = dict(relay.configuration)
        await relay.stop()
        relay.configuration |= {
            "carriers": before["carriers"] | {"silent": smpp_carrier(silent.port)},
            "routes": [*before["routes"], {"carriers": ["silent"]}],
        }
        with_silent = dict(relay.configuration)
        await relay.start()
        self.receiver.status = 500
        customer = await self.esme(relay.smpp_port, command_id=c.BIND_TRANSMITTER)
        await within(10, customer.submit([submit_body("447700900123")] * 3 + [submit_body("33700900123")] * 5))
        await until("silent has got its messages", lambda: silent.counters.taken == 5)
        await until("the receipts of the others are home", self.simulated.all_home)
        await relay.stop()
        relay.configuration |= before | {"accounts": {"other": smpp_account("other")}}
        await relay.start()
        await until("it is said", lambda: "account_not_configured: " in relay.log())
        # Each of the three is owed over HTTP and over SMPP.
        said = ["5 parts wait for receipts of silent,", "6 notifications are owed to acme,"]
        for sentence in said:
            self.assertEqual(relay.log().count(sentence), 1)
        troubles = (await self.status(relay))["troubles"]
        self.assertEqual([t.partition(" which")[0] for t in troubles if "not in the configuration" in t], said)
        relay.configuration |= with_silent
        relay.write_file()
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        await until("the file is taken up", lambda: "config_reloaded" in relay.log())
        while any("not in the configuration" in trouble for trouble in (await self.status(relay))["troubles"]):
            pass

    async def test_a_relay_that_is_not_ready_has_the_exit_status_1(self) -> None:
        relay = await self.relay(carriers={"dead": smpp_carrier(1)}, routes=[{"carriers": ["dead"]}])
        await until("the carrier is unreachable", lambda: "carrier_unreachable" in relay.log())
        done = await self.command("status", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        self.assertEqual(1, done.returncode)
        self.assertIn("dead is down: Connection was refused", done.stdout)

    async def test_the_exit_status_is_3_if_no_relay_answers(self) -> None:
        done = await self.command("status", "--admin", "http://127.0.0.1:1")
        self.assertEqual((3, ""), (done.returncode, done.stdout))
        self.assertIn("no answer", done.stderr)

    async def test_the_password_comes_from_the_environment(self) -> None:
        relay = self.prepare_relay()
        relay.configuration["admin"]["password"] = "opensesame"
        await relay.start()
        admin = f"http://127.0.0.1:{relay.admin_port}"
        self.assertEqual(3, (await self.command("status", "--admin", admin)).returncode)
        done = await self.command("status", "--admin", admin, RELAY_ADMIN_PASSWORD="opensesame")
        self.assertEqual(0, done.returncode, done.stderr)


class RouteTests(CommandsTestCase):
    async def test_it_says_to_which_carrier_a_message_goes_now(self) -> None:
        self.simulated = await self.simulator()
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(self.simulated.port), "dead": smpp_carrier(1)},
            routes=[{"carriers": ["dead", "tier1"]}],
        )
        await relay.carrier_bound(self.simulated)
        asked = ("route", "--account", "acme", "--to", "447700900123")
        admin = f"http://127.0.0.1:{relay.admin_port}"
        done = await self.command(*asked, "--admin", admin)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("routes[0] takes the message: dead, then tier1.", done.stdout)
        self.assertIn("Now it goes to tier1.\n  dead: not now: it is down", done.stdout)
        await self.command("hold", "tier1", "--admin", admin)
        done = await self.command(*asked, "--admin", admin, "--json")
        self.assertEqual("dead", json.loads(done.stdout)["now"]["carrier"])
        done = await self.command("route", "--account", "nobody", "--to", "447700900123", "--admin", admin)
        self.assertEqual((1, "there is no account 'nobody'\n"), (done.returncode, done.stderr))
        done = await self.command(*asked, "--admin", "http://127.0.0.1:1")
        self.assertEqual(3, done.returncode)


class SendTests(CommandsTestCase):
    def arguments(self, relay: Relay, *more: str, to: str = "447700900001") -> list[str]:
        return ["send", "--to", to, "--from", "RELAY", "--text", "Hello", "--account", "acme", *more]

    async def test_over_http_it_waits_for_the_end(self) -> None:
        relay = await self.start()
        http = f"http://127.0.0.1:{relay.http_port}"
        done = await self.command(*self.arguments(relay, "--http", http, "--json"), RELAY_SEND_KEY="key")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(("DELIVRD", "000"), tuple(json.loads(done.stdout)[name] for name in ("status", "error")))

    async def test_over_smpp_it_waits_for_the_end_of_every_part(self) -> None:
        relay = await self.start()
        arguments = self.arguments(relay, "--smpp", f"127.0.0.1:{relay.smpp_port}", "--json")
        arguments[arguments.index("Hello")] = "long " * 60
        done = await self.command(*arguments, RELAY_SEND_KEY="secret08")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual("DELIVRD", json.loads(done.stdout)["status"])
        self.assertEqual(2, self.simulated.counters.submits)

    async def test_a_message_that_fails_has_the_exit_status_1(self) -> None:
        relay = await self.start(states={"UNDELIV": 1.0})
        for way in (["--http", f"http://127.0.0.1:{relay.http_port}"], ["--smpp", f"127.0.0.1:{relay.smpp_port}"]):
            key = "key" if way[0] == "--http" else "secret08"
            done = await self.command(*self.arguments(relay, *way), RELAY_SEND_KEY=key)
            self.assertEqual(1, done.returncode, done.stderr)
            self.assertIn("UNDELIV, error 005", done.stdout)

    async def test_a_refusal_is_printed_with_its_reason(self) -> None:
        relay = await self.start()
        http = ["--http", f"http://127.0.0.1:{relay.http_port}"]
        done = await self.command(*self.arguments(relay, *http, to="99123456"), RELAY_SEND_KEY="key")
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertIn("No route", done.stderr)
        smpp = ["--smpp", f"127.0.0.1:{relay.smpp_port}"]
        done = await self.command(*self.arguments(relay, *smpp), RELAY_SEND_KEY="wrong")
        self.assertIn("ESME_RBINDFAIL", done.stderr)
        done = await self.command(*self.arguments(relay, *http), RELAY_SEND_KEY="wrong")
        self.assertIn("there is no account with this name and key", done.stderr)

    async def test_a_wrong_port_is_named_as_such(self) -> None:
        relay = await self.start()
        admin, http = f"http://127.0.0.1:{relay.admin_port}", f"http://127.0.0.1:{relay.http_port}"
        for arguments, exit_status, said in (
            (self.arguments(relay, "--http", admin), 1, "is this the relay's http.listen?"),
            (self.arguments(relay, "--smpp", f"127.0.0.1:{relay.http_port}", "--wait", "1"), 3, ""),
            (self.arguments(relay, "--smpp", "127.0.0.1:99999"), 3, "no connection"),
            (["status", "--admin", http], 3, "is this the relay's admin.listen?"),
        ):
            done = await self.command(*arguments, RELAY_SEND_KEY="key")
            self.assertEqual((exit_status, ""), (done.returncode, done.stdout), done.stderr)
            self.assertIn(said, done.stderr)
            self.assertNotIn("under way", done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    async def test_without_an_end_in_time_the_exit_status_is_3(self) -> None:
        relay = await self.start(silent_share=1.0)
        for way in (["--http", f"http://127.0.0.1:{relay.http_port}"], ["--smpp", f"127.0.0.1:{relay.smpp_port}"]):
            key = "key" if way[0] == "--http" else "secret08"
            done = await self.command(*self.arguments(relay, *way, "--wait", "1"), RELAY_SEND_KEY=key)
            self.assertEqual(3, done.returncode, done.stderr)


class ReplayTests(CommandsTestCase):
    async def test_notifications_are_sent_again_by_message_id(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        esme = await self.esme(relay.smpp_port)
        answers = await within(20, esme.submit([submit_body("447700900001")] * 10))
        ids = [message_id for _, message_id in answers]
        await until("each has been told", lambda: len(self.receiver.posts) == 10)
        unknown = "00000000-0000-4000-8000-000000000000"
        stdin = "\n".join([*ids, unknown])
        tried = await self.command("replay", "acme", "--ids", "-", "--dry-run", *admin, stdin=stdin)
        self.assertEqual((0, "10 notifications of acme would be sent again\n"), (tried.returncode, tried.stdout))
        done = await self.command("replay", "acme", "--ids", "-", "--reason", "test", *admin, stdin=stdin)
        self.assertEqual(
            (0, "10 notifications of acme will be sent again\n"), (done.returncode, done.stdout), done.stderr
        )
        self.assertEqual("1 ids were skipped: the relay keeps no finished message of acme with them\n", done.stderr)
        await until("each has been told again", lambda: len(self.receiver.posts) == 20)
        self.assertEqual({2}, {[post.json["id"] for post in self.receiver.posts].count(one) for one in ids})

    async def test_an_unknown_account_is_refused(self) -> None:
        relay = await self.start()
        done = await self.command("replay", "nobody", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        self.assertEqual((1, "there is no account 'nobody'\n"), (done.returncode, done.stderr))

    async def test_a_time_that_is_none_is_wrong_use(self) -> None:
        self.assertEqual(2, (await self.command("replay", "acme", "--since", "yesterday")).returncode)


class HoldTests(CommandsTestCase):
    async def test_a_hold_outlives_a_restart_and_a_resume_sends_what_waited(self) -> None:
        relay = await self.start()
        status, _ = await self.act(relay, "/carriers/tier1/hold", {"reason": "maintenance"})
        self.assertEqual(200, status)
        await relay.stop()
        await relay.start()
        await until("the relay has bound", lambda: relay.log().count("carrier_bound") == 2)
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")] * 5))
        look = await self.status(relay)
        self.assertEqual((True, 5), (look["carriers"][0]["held"], look["carriers"][0]["queued"]))
        self.assertIn("tier1 is held by the operator; 5 parts wait", [trouble["what"] for trouble in look["wrong"]])
        self.assertEqual(0, self.simulated.counters.submits)
        await self.act(relay, "/carriers/tier1/resume", {})
        await until("every receipt is home", lambda: len(esme.receipts) == 5)

    async def act(self, relay: Relay, path: str, body: Any) -> Any:
        """A POST to the admin listener."""
        http_port, relay.http_port = relay.http_port, relay.admin_port
        try:
            return await self.http("POST", relay, path, body, headers=[("X-Relay-Action", "test")])
        finally:
            relay.http_port = http_port


class CarrierCommandTests(CommandsTestCase):
    async def test_a_drained_carrier_has_brought_all_its_receipts_and_what_came_meanwhile_waits(self) -> None:
        relay = await self.start(receipt_delay_seconds=1.0)
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")] * 5))
        await until("the carrier has them", lambda: self.simulated.counters.taken == 5)
        draining = self.command("drain", "tier1", "--reason", "contract ends", *admin)
        done = await draining
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(5, self.simulated.counters.acked)
        held, drained = done.stdout.splitlines()
        self.assertEqual("tier1 is held; 0 parts wait", held)
        self.assertEqual("tier1 is drained: nothing of it is outstanding; no part waits for it", drained)
        await within(10, esme.submit([submit_body("447700900002")]))
        again = await self.command("drain", "tier1", *admin)
        self.assertIn("tier1 is drained: nothing of it is outstanding; 1 parts wait for it", again.stdout)
        self.assertEqual("tier1 gets messages again\n", (await self.command("resume", "tier1", *admin)).stdout)
        await until("every receipt is home", lambda: len(esme.receipts) == 6)

    async def test_a_drain_that_takes_too_long_leaves_the_carrier_held(self) -> None:
        relay = await self.start(silent_share=1.0)
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")]))
        await until("the carrier has it", lambda: self.simulated.counters.taken == 1)
        done = await self.command("drain", "tier1", "--wait", "0", *admin)
        self.assertEqual(1, done.returncode)
        self.assertEqual("tier1 is held but not drained: 0 parts await their response, 1 their receipt\n", done.stderr)
        self.assertIn("tier1 is held by the operator", (await self.command("status", *admin)).stdout)

    async def test_an_unknown_carrier_is_refused(self) -> None:
        relay = await self.start()
        for command in ("hold", "resume", "drain"):
            done = await self.command(command, "nobody", "--admin", f"http://127.0.0.1:{relay.admin_port}")
            self.assertEqual((1, "there is no carrier 'nobody'\n"), (done.returncode, done.stderr), command)


class SuspendTests(CommandsTestCase):
    async def test_a_suspended_account_can_not_log_in_and_its_messages_wait_until_that_ends(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        await self.command("hold", "tier1", *admin)
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")] * 5))
        done = await self.command("suspend", "acme", "--reason", "fraud", *admin)
        said = "acme is suspended; 1 sessions are being unbound, and 5 parts wait\n"
        self.assertEqual((0, said), (done.returncode, done.stdout), done.stderr)
        await within(10, esme.gone)
        message = {"to": "447700900002", "from": "Acme", "text": "x"}
        status, answer = await self.http("POST", relay, "/messages", message)
        self.assertEqual((403, "This account is suspended. Ask the operator of the relay."), (status, answer["detail"]))
        with self.assertRaises(BindFailed):
            await self.esme(relay.smpp_port)
        self.assertIn("the account is suspended", relay.log())
        await self.command("resume", "tier1", *admin)
        await relay.stop()
        await relay.start()
        await until("the relay has bound", lambda: relay.log().count("carrier_bound") == 2)
        look = await self.status(relay)
        self.assertIn("acme is suspended by the operator; 5 parts wait", [t["what"] for t in look["wrong"]])
        self.assertEqual(0, self.simulated.counters.submits)
        done = await self.command("unsuspend", "acme", *admin)
        self.assertEqual("acme is no longer suspended; 5 parts are sent\n", done.stdout)
        await until("they are sent", lambda: self.simulated.counters.submits == 5)
        self.assertEqual(202, (await self.http("POST", relay, "/messages", message))[0])
        done = await self.command("unsuspend", "acme", *admin)
        self.assertEqual((1, "acme is not suspended\n"), (done.returncode, done.stderr))


class PurgeTests(CommandsTestCase):
    async def test_queued_messages_end_after_their_number_was_said_and_others_go_on(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")]))
        await until("it has been told", lambda: len(self.receiver.posts) == 1)
        await self.command("hold", "tier1", *admin)
        await within(10, esme.submit([submit_body("447700900002")] * 300))
        for options in (["--carrier", "tier1"], ["--account", "acme"]):
            done = await self.command("purge", *options, "--dry-run", *admin)
            self.assertEqual((0, "300 messages would end\n"), (done.returncode, done.stdout), done.stderr)
        done = await self.command("purge", "--carrier", "tier1", *admin)
        self.assertEqual((1, "300 messages would end; give --yes to end them\n"), (done.returncode, done.stderr))
        done = await self.command("purge", "--account", "acme", "--yes", "--reason", "a mistake", *admin)
        self.assertEqual((0, "300 messages have ended\n"), (done.returncode, done.stdout), done.stderr)
        await until("all are told", lambda: len(self.receiver.posts) == 301)
        self.assertEqual(300, [post.json["status"] for post in self.receiver.posts].count("DELETED"))
        await self.command("resume", "tier1", *admin)
        await within(10, esme.submit([submit_body("447700900003")]))
        await until("the next one is told", lambda: len(self.receiver.posts) == 302)
        self.assertEqual(2, self.simulated.counters.submits)
        done = await self.command("purge", "--account", "acme", "--yes", *admin)
        self.assertEqual("0 messages would end\n", done.stdout)

    async def test_a_route_s_messages_end_and_those_of_other_routes_stay(self) -> None:
        relay = await self.start(routes=[{"carriers": ["tier1"]}, {"carriers": ["tier1"], "prefix": "4479"}])
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        await self.command("hold", "tier1", *admin)
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900002")] * 2 + [submit_body("447900900002")] * 3))
        done = await self.command("purge", "--route", "1", *admin)
        self.assertEqual("routes[1] is for prefix '4479'\n", done.stdout)
        self.assertEqual((1, "3 messages would end; give --yes to end them\n"), (done.returncode, done.stderr))
        done = await self.command("purge", "--route", "1", "--yes", *admin)
        self.assertEqual("routes[1] is for prefix '4479'\n3 messages have ended\n", done.stdout, done.stderr)
        done = await self.command("purge", "--account", "acme", "--dry-run", *admin)
        self.assertEqual("2 messages would end\n", done.stdout)
        done = await self.command("purge", "--route", "2", *admin)
        self.assertEqual(
            (1, "there is no route '2': routes are numbered from 0 to 1\n"), (done.returncode, done.stderr)
        )

    async def test_the_kept_messages_of_a_suspended_account_are_purged_too(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        await self.command("hold", "tier1", *admin)
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900002")] * 3))
        await self.command("suspend", "acme", *admin)
        done = await self.command("purge", "--account", "acme", "--yes", *admin)
        self.assertEqual("3 messages have ended\n", done.stdout, done.stderr)
        await self.command("unsuspend", "acme", *admin)
        await self.command("resume", "tier1", *admin)
        await until("all are told", lambda: len(self.receiver.posts) == 3)
        self.assertEqual(0, self.simulated.counters.submits)


class TraceCommandTests(CommandsTestCase):
    async def test_it_shows_what_goes_over_the_wire_without_texts_and_secrets_until_its_time_is_over(self) -> None:
        relay = await self.start(receipt_delay_seconds=0.1)
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        esme = await self.esme(relay.smpp_port)
        carrier = Deferred.fromCoroutine(self.command("trace", "--carrier", "tier1", "--minutes", "0.1", *admin))
        account = Deferred.fromCoroutine(self.command("trace", "--account", "acme", "--minutes", "0.1", *admin))
        await until("both are traced", lambda: relay.log().count("operator_did: trace the") == 2)
        await within(10, esme.submit([submit_body("447700900002")]))
        await until("it has been told", lambda: len(self.receiver.posts) == 1)
        of_carrier, of_account = await carrier, await account
        self.assertEqual(0, of_carrier.returncode, of_carrier.stderr)
        self.assertRegex(of_carrier.stdout, r"sent +submit_sm \d+: from .*, to 4477009000xx")
        self.assertRegex(of_carrier.stdout, r"received deliver_sm \d+: .*receipt id:\w+ stat:DELIVRD")
        self.assertIn("the trace has ended: its time is over", of_carrier.stderr)
        self.assertRegex(of_account.stdout, r"received submit_sm \d+: ")
        self.assertRegex(of_account.stdout, r"sent +POST http://127.*send_status=delivered")
        self.assertRegex(of_account.stdout, r"received answer: 20\d")
        self.assertNotIn("447700900002", of_carrier.stdout + of_account.stdout)
        done = await self.command("trace", "--carrier", "nobody", *admin)
        self.assertEqual((1, "there is no carrier 'nobody'\n"), (done.returncode, done.stderr))


class MessageCommandTests(CommandsTestCase):
    async def test_it_shows_the_facts_and_events_of_the_message_with_an_id_of_ours_or_the_carrier_s(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        esme = await self.esme(relay.smpp_port)
        [(_, message_id)] = await within(10, esme.submit([submit_body("447700900001")]))
        await until("it has been told", lambda: len(self.receiver.posts) == 1)
        done = await self.command("message", message_id, *admin)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertTrue(done.stdout.startswith(f"{message_id}  DELIVRD\n"), done.stdout)
        self.assertRegex(done.stdout, r"  to +447700900001\n")
        self.assertRegex(done.stdout, r"taken by tier1 as \S+\n")
        self.assertRegex(done.stdout, r"attempt 1 to notify of DELIVRD by webhook at http://\S+: 200")
        [found] = json.loads((await self.command("message", message_id, "--json", *admin)).stdout)
        same = await self.command("message", found["carrier_message_ids"][0], *admin)
        self.assertTrue(same.stdout.startswith(message_id), same.stdout)

    async def test_an_unknown_id_has_the_exit_status_1(self) -> None:
        relay = await self.start()
        done = await self.command("message", "nothing", "--admin", f"http://127.0.0.1:{relay.admin_port}")
        self.assertEqual((1, "", "no message has the id nothing\n"), (done.returncode, done.stdout, done.stderr))


class FollowingTests(CommandsTestCase):
    """The commands that go on until somebody ends them."""

    def begin(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "relay", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | environ,
        )  # fmt: skip

        def end() -> None:
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    async def test_listen_shows_notifications_from_now_on_and_forwards_them(self) -> None:
        relay = await self.start()
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")]))
        await until("it has been told", lambda: len(self.receiver.posts) == 1)
        program = await self.webhooks()
        api = ["--account", "acme", "--http", f"http://127.0.0.1:{relay.http_port}"]
        listening = self.begin(
            "listen", *api, "--forward-to", program.url, "--count", "2", RELAY_SEND_KEY="key", PYTHONUNBUFFERED="1"
        )
        assert listening.stderr is not None
        self.assertEqual("waiting for notifications of acme\n", await deferToThread(listening.stderr.readline))
        answers = await within(10, esme.submit([submit_body("447700900002"), submit_body("447700900003")]))
        out, err = await deferToThread(listening.communicate, timeout=HUNG_SECONDS)
        self.assertEqual(0, listening.returncode, err)
        ids = {message_id for _, message_id in answers}
        self.assertEqual(ids, {line.split()[1] for line in out.splitlines()})
        self.assertIn("DELIVRD  error 000", out)
        self.assertEqual(2, err.count(f"{program.url}: "), err)
        self.assertEqual(ids, {post.json["id"] for post in program.posts})
        self.assertEqual({"url", "id", "send_status", "status", "error"}, set(program.posts[0].json))

    async def test_listen_says_why_it_can_not_listen(self) -> None:
        relay = await self.start()
        api = ["--account", "acme", "--http", f"http://127.0.0.1:{relay.http_port}"]
        done = await self.command("listen", *api, RELAY_SEND_KEY="wrong")
        self.assertEqual(1, done.returncode)
        self.assertIn("there is no account with this name and key", done.stderr)
        self.assertEqual(2, (await self.command("listen", *api)).returncode)
        nobody = ["--account", "acme", "--http", "http://127.0.0.1:1"]
        self.assertEqual(3, (await self.command("listen", *nobody, RELAY_SEND_KEY="key")).returncode)

    async def test_tail_shows_the_events_of_messages_and_none_of_earlier_ones(self) -> None:
        relay = await self.start()
        esme = await self.esme(relay.smpp_port)
        await within(10, esme.submit([submit_body("447700900001")]))
        await until("it has been told", lambda: len(self.receiver.posts) == 1)
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        tail = self.begin("tail", "--account", "acme", *admin, PYTHONUNBUFFERED="1")
        assert tail.stderr is not None and tail.stdout is not None
        self.assertEqual("waiting for messages\n", await deferToThread(tail.stderr.readline))
        [(_, message_id)] = await within(10, esme.submit([submit_body("447700900002")]))
        lines: list[str] = []
        while not any("by webhook at " in line and ": 200 in " in line for line in lines):
            lines.append(await within(HUNG_SECONDS, deferToThread(tail.stdout.readline)))
        self.assertTrue(all(f"{message_id[:13]} acme to 447700900002" in line for line in lines), lines)
        self.assertIn("accepted from acme over SMPP", lines[0])
        self.assertTrue(any("ended DELIVRD" in line for line in lines), lines)


class ReloadCommandTests(CommandsTestCase):
    async def test_a_dry_run_changes_nothing_and_a_reload_says_what_it_changed(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        relay.configuration["accounts"]["other"] = smpp_account("other", api_key="another")
        relay.configuration["journal"] = {"sync": "never"}
        relay.write_file()
        done = await self.command("reload", "--dry-run", *admin)
        said = "journal.sync: 'always' -> 'never' (needs a restart)\naccounts.other: added\n"
        self.assertEqual((0, said + "1 changes would be applied\n"), (done.returncode, done.stdout), done.stderr)
        self.assertNotIn("other", [account["name"] for account in (await self.status(relay))["accounts"]])
        done = await self.command("reload", "--reason", "a customer", *admin)
        self.assertEqual((0, said + "1 changes applied\n"), (done.returncode, done.stdout), done.stderr)
        self.assertIn("other", [account["name"] for account in (await self.status(relay))["accounts"]])

    async def test_a_refused_file_is_a_trouble_with_its_lines_until_it_is_corrected(self) -> None:
        relay = await self.start()
        admin = ["--admin", f"http://127.0.0.1:{relay.admin_port}"]
        right = dict(relay.configuration)
        relay.configuration["routes"] = [{"carriers": ["nobody"]}]
        relay.write_file()
        for options in (["--dry-run"], []):
            done = await self.command("reload", *options, *admin)
            self.assertEqual((1, ""), (done.returncode, done.stdout))
            self.assertIn("routes[0].carriers[0]", done.stderr)
            self.assertIn("the old configuration holds\n", done.stderr)
        look = await self.status(relay)
        [trouble] = look["troubles"]
        self.assertRegex(trouble, r"^the reload at .* was refused, and the old configuration holds: .*carriers\[0\]")
        self.assertEqual((False, 1), (look["reload"]["applied"], len(look["reload"]["problems"])))
        relay.configuration = right
        relay.write_file()
        self.assertEqual(0, (await self.command("reload", *admin)).returncode)
        self.assertEqual([], (await self.status(relay))["troubles"])


class WrongStartTests(IntegrationTestCase):
    async def test_a_wrong_configuration_prints_its_problems_and_nothing_else(self) -> None:
        file = str(Path(self.mktemp()).absolute())
        Path(file).write_text("journal: {sync: x}\nnothing: 1\n", encoding="utf-8")
        for launcher in ("twistd", "twist"):
            script = (
                "from twisted.scripts.twistd import run; run()"
                if launcher == "twistd"
                else ("from twisted.application.twist._twist import Twist; Twist.main()")
            )
            options = ["-n", "--pidfile="] if launcher == "twistd" else []
            done = await deferToThread(
                subprocess.run,
                [sys.executable, "-c", script, *options, "relay", "--config", file],
                capture_output=True, text=True, timeout=HUNG_SECONDS, check=False, cwd=ROOT,
            )  # fmt: skip
            self.assertEqual(1, done.returncode, launcher)
            self.assertEqual("", done.stdout)
            first, second = done.stderr.splitlines()
            self.assertEqual(f"{file}:1: journal.sync: expected always, interval or never, got 'x'", first)
            self.assertTrue(second.startswith(f"{file}:2: nothing: "), second)
