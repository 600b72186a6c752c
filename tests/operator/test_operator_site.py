"""The operator's pages as a browser gets them: they show what is there, and forms ask before they act."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.account_pages.delivery_stats import SPANS, DeliveryStatsView, Span
from relay.account_pages.html import el, flatten
from relay.config.changes import Change, ReloadResult
from relay.config.entry_trees import IS_SET
from relay.config.route_config import Route
from relay.operator.actions import OperatorActions
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import AdminRequest, Reply
from relay.operator.entry_requests import EntryRefused, PartFile, PartFilePage
from relay.operator.last_hour import LONG_STEP_SECONDS, STEP_SECONDS, History
from relay.operator.metrics import Metrics
from relay.operator.overview import Observer
from relay.operator.overview_views import bucketed, overview_page
from relay.routing.routes import Routes
from relay.store.store_values import StoreFigures
from relay.values.carrier_reports import Outcome
from relay.values.messages import Message, Submission
from relay.values.notifications import Verdict
from relay.values.states import DELIVERED, SCHEDULED, UNDELIVERABLE
from tests.history.test_record_line import view
from tests.operator.operated import ADDRESSES, OperatedDaemon
from tests.operator.test_cluster_place import STANDS_BY, WORKS, Member


class FakeReloader:
    """Reloads as it is told."""

    def __init__(self) -> None:
        self.last: ReloadResult | None = None
        self.next = ReloadResult(1000.0, True, [], [Change("accounts.new", "added", True)])

    async def reload_now(self) -> ReloadResult:
        self.last = self.next
        return self.next

    async def dry_run(self) -> ReloadResult:
        return msgspec.structs.replace(self.next, applied=False)


class SiteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = OperatedDaemon()
        self.daemon.reloader = self.reloader = FakeReloader()
        self.observer = Observer(self.daemon, self.daemon.clock)
        actions = OperatorActions(self.daemon, self.daemon.clock)
        metrics = Metrics(self.daemon, self.daemon.clock.seconds)
        self.pages = AdminPages(self.daemon, metrics, self.observer, actions).pages()  # type: ignore[arg-type]

    def reply(self, method: str, path: str, fields: dict[str, str] | None = None) -> Reply:
        """The answer to a request of a browser."""
        path, _, query = path.partition("?")
        elements = path.split("/")[1:]
        request = AdminRequest(method, elements, dict(parse_qsl(query)), b"", "192.0.2.1", fields or {})
        answer: Any = self.pages[method, elements[0]](request)
        reply = self.successResultOf(ensureDeferred(answer))
        assert isinstance(reply, Reply)
        return reply

    def shown(self, path: str, status: int = 200) -> str:
        """The text of a page, without its tags."""
        reply = self.reply("GET", path)
        self.assertEqual(status, reply.status, path)
        return self.text_of(reply)

    def text_of(self, reply: Reply) -> str:
        text = re.sub(r"<[^>]*>", " ", reply.body.decode())
        return re.sub(r"\s+", " ", text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))

    def press(self, path: str, **fields: str) -> str:
        """Answers the question of a page, and returns the page that follows."""
        page = self.reply("GET", path).body.decode()
        (token,) = re.findall(r'name="csrf" value="([^"]+)"', page)
        (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
        done = self.reply("POST", action, {"csrf": token} | fields)
        self.assertEqual(303, done.status, self.text_of(done))
        return self.shown(dict(done.headers)["Location"])


class PageTests(SiteTestCase):
    def test_every_page_of_the_navigation_is_there_and_marked_in_it(self) -> None:
        page = self.reply("GET", "/").body.decode()
        paths = re.findall(r'<a href="([^"]+)" class="tab"', page)
        self.assertEqual(10, len(paths))
        for path in paths:
            shown = self.reply("GET", path)
            self.assertEqual(200, shown.status, path)
            self.assertIn(f'<a href="{path}" class="tab" aria-current="page">', shown.body.decode())

    def test_the_overview_says_that_nothing_is_wrong(self) -> None:
        for link in self.daemon.links.values():
            self.daemon.bind(link.name)
        self.assertIn("Ready, nothing is wrong", self.shown("/"))

    def test_the_overview_shows_what_is_wrong_with_its_cure_and_the_worst_fifty_at_the_most(self) -> None:
        self.daemon.links["tier2"].hold(True)
        self.daemon.store.shown = StoreFigures(evidence={f"carrier{n}": 9 for n in range(60)})
        shown = self.shown("/")
        self.assertIn("tier2 is held by the operator; 0 parts wait Resume it here, or with: ", shown)
        self.assertIn("And 12 more.", shown)

    def test_the_numbers_of_the_overview_are_those_of_the_store(self) -> None:
        self.daemon.store.shown = StoreFigures(unsubmitted=1234, awaiting_receipt=56, owed=7)
        self.assertRegex(self.shown("/"), r"To send 1,234 .* Await their receipt 56 .* Owed 7 ")

    def test_the_carriers_table_shows_how_receipts_and_messages_ended(self) -> None:
        link = self.daemon.links["tier1"]
        link.counters.taken = 10
        for outcome, count in ((Outcome.FINAL, 6), (Outcome.REPEATED, 1), (Outcome.ORPHAN, 3)):
            link.intake.outcomes[outcome] = count
        link.intake.ended.update({DELIVERED: 3, UNDELIVERABLE: 1})
        self.assertIn("tier1 down 0 of 2 0.0 /s 0 of 100 0 10 0 10 7 3 75.0 %", self.shown("/page/carriers"))
        own = self.shown("/page/carriers/tier1")
        for said in ("Found their message 7", "Orphan 3", "DELIVRD 3 UNDELIV 1", "Delivered 75.0 %"):
            self.assertIn(said, own)

    def test_the_quality_page_compares_the_last_hour_with_the_week(self) -> None:
        clock, quality = self.daemon.clock, self.daemon.quality.quality
        self.daemon.ended("tier1", "acme", "44", 90, 10)
        for _ in range(24):
            clock.advance(300.0)
            quality.take_reading(clock.seconds())
        self.daemon.ended("tier1", "acme", "44", 30, 30)
        self.daemon.ended("tier1", "quiet", "34", 0, 0, 7)
        text = self.shown("/page/quality")
        self.assertIn("tier1 +44 acme 60 50.0 % -40.0 10.0 s 10.0 s 100 90.0 % 10.0 s 10.0 s", text)
        self.assertIn("tier1 +34 quiet 7 no receipts – – – 0 –", text)
        self.assertNotIn("avoid", text)
        self.assertIn("tier1 67 44.8 % -45.2 10.0 s", self.shown("/page/quality?by=carrier"))
        only = self.shown("/page/quality?by=country&country=%2B34")
        self.assertIn("+34 7 no receipts", only)
        self.assertNotIn("+44", only)

    def test_a_fall_of_the_delivered_share_is_marked(self) -> None:
        self.daemon.ended("tier1", "acme", "44", 90, 10)
        self.daemon.clock.advance(7200.0)
        self.daemon.quality.quality.take_reading(self.daemon.clock.seconds() - 3650.0)
        self.daemon.ended("tier1", "acme", "44", 30, 30)
        self.assertIn('<span class="word bad">-40.0</span>', self.reply("GET", "/page/quality").body.decode())

    def test_avoided_carriers_are_shown_with_their_route(self) -> None:
        self.daemon.avoid("tier1")
        self.assertIn("Carriers that routes avoid", self.shown("/page/quality"))
        text = self.shown("/")
        self.assertIn("The route for all numbers avoids tier1, which delivered 12% of 250 messages", text)

    def test_the_page_of_a_carrier_leads_to_its_quality(self) -> None:
        self.assertIn("/page/quality?carrier=tier1", self.reply("GET", "/page/carriers/tier1").body.decode())

    def test_the_accounts_table_shows_what_is_owed_and_the_share_of_attempts_that_failed(self) -> None:
        self.daemon.store.owed = {"acme": 17}
        self.daemon.store.owed_at = {"acme": 900.0}
        self.observer.history.start()
        attempts = self.daemon.flow.counters.account("acme").channels["webhook"].attempts
        attempts[Verdict.DELIVERED], attempts[Verdict.RETRY] = 3, 1
        self.daemon.clock.advance(STEP_SECONDS)
        self.observer.history.stop()
        self.assertIn("acme 0 0.0 /s 0 0 17 01 Jan 1970 00:15 :00 3 1 0 25.0 %", self.shown("/page/accounts"))
        self.assertIn("Owed 17, the oldest since 01 Jan 1970 00:15", self.shown("/page/accounts/acme"))

    def test_what_is_owed_is_asked_for_again_after_some_seconds_only(self) -> None:
        self.daemon.store.owed = {"acme": 17}
        self.daemon.store.owed_at = {"acme": 900.0}
        self.shown("/page/accounts")
        self.daemon.store.owed = {"acme": 1}
        self.daemon.store.owed_at = {"acme": 950.0}
        self.daemon.clock.advance(4.0)
        self.assertIn("17 01 Jan 1970 00:15", self.shown("/page/accounts"))
        self.daemon.clock.advance(1.0)
        self.assertIn("1 01 Jan 1970 00:15 :00", self.shown("/page/accounts"))
        self.daemon.clock.advance(20.0)
        self.assertIn("1 01 Jan 1970 00:15 :50", self.shown("/page/accounts"))
        self.daemon.store.busy = True
        self.daemon.clock.advance(20.0)
        self.assertIn("1 01 Jan 1970 00:15 :50", self.shown("/page/accounts"))

    def test_an_unknown_page_carrier_account_or_message_is_not_found(self) -> None:
        for path in ("/page/nothing", "/page/carriers/x", "/page/accounts/x", "/page/messages/x", "/page"):
            self.assertIn("Not found", self.shown(path, 404))

    def test_a_name_is_shown_as_text_and_never_as_markup(self) -> None:
        page = self.reply("GET", "/page/carriers/<img src=x>").body.decode()
        self.assertIn("&lt;img src=x&gt;", page)
        self.assertNotIn("<img src=x>", page)


class MessageTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.view = view(1)
        self.daemon.store.views[self.view.id] = self.view

    def test_a_search_lists_messages_with_a_link_to_each(self) -> None:
        page = self.reply("GET", "/page/messages?account=acme").body.decode()
        self.assertIn('href="/page/messages/00000000-0000-0000-0000-000000000001"', page)
        self.assertIn("447700900123", page)

    def test_a_text_that_finds_one_message_leads_to_its_page(self) -> None:
        reply = self.reply("GET", "/page/messages?find=1a2b")
        self.assertEqual(303, reply.status)
        shown = self.shown(dict(reply.headers)["Location"])
        self.assertIn("taken by tier1 as 1a2b", shown)

    def test_a_wrong_field_is_named_and_keeps_what_was_written(self) -> None:
        reply = self.reply("GET", "/page/messages?account=acme&since=yesterday")
        page = reply.body.decode()
        self.assertEqual(422, reply.status)
        self.assertRegex(page, r'<input value="yesterday"[^>]* name="since" aria-invalid="true"')
        self.assertIn("must be a time such as", page)
        self.assertIn("There is no parameter", self.shown("/page/messages?nonsense=1", 422))

    def test_a_notification_is_sent_again_after_a_question(self) -> None:
        path = "/page/messages/00000000-0000-0000-0000-000000000001"
        self.assertIn("The notification will be sent again.", self.press(f"{path}/notify", reason="lost"))
        self.assertEqual([[self.view.id]], self.daemon.store.told_again)
        self.assertIn("replay 1 messages of acme lost operator 192.0.2.1", self.shown("/page/audit"))


class FormTests(SiteTestCase):
    def test_a_carrier_is_held_and_resumed_after_a_question_and_both_are_recorded(self) -> None:
        self.assertIn("Hold tier1?", self.shown("/page/carriers/tier1/hold"))
        self.assertFalse(self.daemon.links["tier1"].held)
        self.assertIn("tier1 is held; 0 parts wait.", self.press("/page/carriers/tier1/hold", reason="maintenance"))
        self.assertTrue(self.daemon.links["tier1"].held)
        self.assertIn("tier1 gets messages again.", self.press("/page/carriers/tier1/resume"))
        self.assertRegex(self.shown("/page/audit"), r"resume tier1 .* hold tier1 maintenance operator 192\.0\.2\.1")

    def test_what_was_done_is_said_once(self) -> None:
        page = self.reply("GET", "/page/carriers/tier1/hold").body.decode()
        (token,) = re.findall(r'name="csrf" value="([^"]+)"', page)
        done = self.reply("POST", "/page/carriers/tier1/hold", {"csrf": token})
        path = dict(done.headers)["Location"]
        self.assertIn("is held; 0 parts", self.shown(path))
        self.assertNotIn("is held; 0 parts", self.shown(path))

    def test_a_form_without_the_right_token_does_nothing(self) -> None:
        for fields in ({}, {"csrf": "wrong"}, {"csrf": "é"}):
            reply = self.reply("POST", "/page/carriers/tier1/hold", fields)
            self.assertEqual(403, reply.status)
        self.assertFalse(self.daemon.links["tier1"].held)

    def test_a_refused_action_says_why(self) -> None:
        self.assertIn("Refused: quiet has no notification URL", self.press("/page/accounts/quiet/url-off"))
        self.daemon.store.unavailable = True
        self.assertIn("was not done: disk full", self.press("/page/carriers/tier1/hold"))

    def test_an_account_is_suspended_and_that_ends(self) -> None:
        submissions = [Submission(ADDRESSES, (b"body",))] * 2
        self.daemon.flow.dispatch([m for m in self.daemon.flow.prepare("acme", submissions) if isinstance(m, Message)])
        shown = self.press("/page/accounts/acme/suspend", reason="fraud")
        self.assertIn("acme is suspended; 0 sessions are being unbound, and 2 parts wait.", shown)
        self.assertIn("State suspended: logins are refused Parts that wait for its end 2", shown)
        self.assertIn("acme is suspended by the operator; 2 parts wait", self.shown("/"))
        self.assertIsNotNone(self.daemon.accounts.by_login("acme", "key"))
        self.assertIn("2 parts are sent.", self.press("/page/accounts/acme/unsuspend"))
        self.assertIn("State active", self.shown("/page/accounts/acme"))
        self.assertEqual(2, self.daemon.links["tier1"].queued)
        self.assertIn("Refused: acme is not suspended", self.press("/page/accounts/acme/unsuspend"))

    def test_the_question_about_a_purge_says_how_many_messages_wait(self) -> None:
        submissions = [Submission(ADDRESSES, (b"one", b"two"))] * 3
        self.daemon.flow.dispatch([m for m in self.daemon.flow.prepare("acme", submissions) if isinstance(m, Message)])
        self.assertIn("3 messages wait. They end as DELETED", self.shown("/page/carriers/tier1/purge"))
        self.assertIn("3 messages wait. They end as DELETED", self.shown("/page/accounts/acme/purge"))
        self.assertIn("0 messages wait.", self.shown("/page/accounts/quiet/purge"))
        self.assertIn("There is no carrier", self.shown("/page/carriers/x/purge", 404))
        # The store of this test knows none of them, as if they had all been sent meanwhile.
        self.assertIn("0 messages have ended. 3 were sent meanwhile.", self.press("/page/carriers/tier1/purge"))
        self.assertIn("purge the queue of tier1: 3 messages", self.shown("/page/audit"))

    def queue_some(self) -> None:
        """Three messages that routes[0] takes, and two for routes[1], all in the queue of tier1."""
        self.daemon.flow.routes = Routes(
            [Route(carriers=["tier1", "tier2"]), Route(carriers=["tier1"], prefix="33", account="acme")]
        )
        french = ADDRESSES.replace(b"447700900123", b"33700900123")
        submissions = [Submission(ADDRESSES, (b"one", b"two"))] * 3 + [Submission(french, (b"one",))] * 2
        messages = [m for m in self.daemon.flow.prepare("acme", submissions) if isinstance(m, Message)]
        for m in messages:
            waiting = view(state=SCHEDULED)
            self.daemon.store.views[m.id] = msgspec.structs.replace(
                waiting, id=m.id, addresses=m.addresses, final=False,
                parts=[msgspec.structs.replace(waiting.parts[0], submitted_at=None)] * len(m.parts),
            )  # fmt: skip
        self.daemon.flow.dispatch(messages)

    def test_a_purge_by_route_ends_only_the_messages_that_the_route_takes(self) -> None:
        self.queue_some()
        shown = self.shown("/page/configuration")
        self.assertIn("routes[0] all numbers tier1, then tier2 Purge", shown)
        self.assertIn("routes[1] account 'acme', prefix '33' tier1 Purge", shown)
        self.assertIn("The route is for all numbers. 3 messages wait.", self.shown("/page/routes/0/purge"))
        self.assertIn("account 'acme', prefix '33'. 2 messages wait.", self.shown("/page/routes/1/purge"))
        self.assertIn("2 messages have ended.", self.press("/page/routes/1/purge", reason="late"))
        self.assertIn("0 messages wait.", self.shown("/page/routes/1/purge"))
        self.assertIn("3 messages wait.", self.shown("/page/carriers/tier1/purge"))
        self.assertEqual(6, self.daemon.links["tier1"].queued)
        audit = self.shown("/page/audit")
        self.assertIn("purge the messages of routes[1] (account 'acme', prefix '33'): 2 messages late", audit)

    def test_a_purge_by_route_counts_the_messages_of_suspended_accounts(self) -> None:
        self.queue_some()
        self.press("/page/accounts/acme/suspend")
        self.assertIn("2 messages have ended.", self.press("/page/routes/1/purge"))
        self.assertIn("Parts that wait for its end 6 ", self.shown("/page/accounts/acme"))

    def test_a_purge_by_route_is_refused_if_a_reload_has_put_another_route_there(self) -> None:
        self.queue_some()
        page = self.reply("GET", "/page/routes/1/purge").body.decode()
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', page.replace("&#x27;", "'")))
        self.daemon.flow.routes = Routes([Route(carriers=["tier1"]), Route(carriers=["tier1"], prefix="49")])
        done = self.reply("POST", "/page/routes/1/purge", fields)
        self.assertIn(
            "Refused: routes[1] is for prefix '49' since a reload", self.shown(dict(done.headers)["Location"])
        )

    def test_there_are_only_the_routes_of_the_configuration(self) -> None:
        for place in ("1", "-1", "x", "²"):
            self.assertIn("routes are numbered from 0 to 0", self.shown(f"/page/routes/{place}/purge", 404))

    def test_a_trace_is_begun_shown_downloaded_and_ended_on_the_pages(self) -> None:
        self.assertIn("There is no trace.", self.shown("/page/traces"))
        self.assertIn("Minutes 1 5 15 60", self.shown("/page/carriers/tier1/trace"))
        shown = self.press("/page/carriers/tier1/trace", minutes="15", reason="no receipts")
        self.assertIn("tier1 is being traced.", shown)
        self.assertIn("Of carrier tier1 State runs", shown)
        self.press("/page/accounts/acme/trace", minutes="1")
        self.assertIn("Refused: traces 1 and 2 run already", self.press("/page/carriers/tier2/trace", minutes="1"))
        self.assertRegex(self.shown("/page/traces"), "Trace 2 account acme runs .* Trace 1 carrier tier1 runs")
        shown = self.press("/page/traces/1/end")
        self.assertIn("Trace 1 has ended.", shown)
        self.assertIn("the trace ends: operator ended it", shown)
        reply = self.reply("GET", "/page/traces/1/download")
        self.assertEqual('attachment; filename="trace-1.txt"', dict(reply.headers)["Content-Disposition"])
        self.assertIn(b"Trace 1 of the carrier tier1, begun by operator", reply.body)
        self.assertIn("trace the carrier tier1 for 15 minutes no receipts", self.shown("/page/audit"))
        self.assertIn("end trace 1 of the carrier tier1", self.shown("/page/audit"))

    def test_there_is_no_trace_for_too_long(self) -> None:
        self.assertIn("Refused: a trace takes more than 0", self.press("/page/carriers/tier1/trace", minutes="61"))
        self.assertIn("Refused: say for how many minutes", self.press("/page/carriers/tier1/trace", minutes="-1"))
        for number in ("1", "x", "9" * 30):
            self.assertIn("here is no trace", self.shown(f"/page/traces/{number}", 404))

    def test_the_question_about_a_replay_says_how_many_it_concerns(self) -> None:
        self.daemon.store.given_up_at = {b"a" * 16: 10.0, b"b" * 16: 20.0}
        self.assertIn("These are 2 notifications.", self.shown("/page/accounts/acme/replay"))
        self.assertEqual([], self.daemon.store.told_again)
        self.assertIn("2 notifications of acme will be sent again.", self.press("/page/accounts/acme/replay"))

    def test_evidence_is_dismissed_also_of_a_carrier_that_is_gone(self) -> None:
        self.daemon.store.shown = StoreFigures(evidence={"removed": 12})
        self.assertIn("12 receipts of removed are kept no more.", self.press("/page/carriers/removed/dismiss"))

    def test_unknown_actions_are_not_found(self) -> None:
        page = self.reply("GET", "/page/carriers/tier1/hold").body.decode()
        (token,) = re.findall(r'name="csrf" value="([^"]+)"', page)
        for path in ("/page/carriers/tier1/nothing", "/page/configuration", "/page"):
            self.assertEqual(404, self.reply("POST", path, {"csrf": token}).status, path)


class ConfigurationTests(SiteTestCase):
    def test_a_reload_is_shown_before_it_is_done(self) -> None:
        self.assertIn("There was no reload", self.shown("/page/configuration"))
        self.assertIn("accounts.new : added", self.shown("/page/configuration/reload"))
        self.assertIsNone(self.reloader.last)
        shown = self.press("/page/configuration/reload", reason="new customer")
        self.assertIn("1 changes were applied.", shown)
        self.assertIn("The last reload was at", shown)
        self.assertIn("reload the configuration new customer", self.shown("/page/audit"))

    def test_a_wrong_file_has_its_lines_and_no_button_that_reloads(self) -> None:
        problem = "relay.yaml:3: carriers.x: missing"
        self.reloader.next = ReloadResult(1000.0, False, [problem])
        page = self.reply("GET", "/page/configuration/reload")
        self.assertIn(problem, self.text_of(page))
        self.assertNotIn(b"<form", page.body)
        self.reloader.last = self.reloader.next
        self.assertIn(f"The file was refused , and the old configuration holds: {problem}",
                      self.shown("/page/configuration"))  # fmt: skip
        self.assertIn(f"the old configuration holds: {problem}", self.shown("/"))

    def test_a_relay_without_a_file_says_so(self) -> None:
        self.daemon.reloader = None
        self.assertIn("not started with a configuration file", self.shown("/page/configuration/reload", 409))

    def test_a_route_is_explained_and_a_wrong_number_named(self) -> None:
        asked = {"account": "acme", "from": "", "to": "447700900123", "at": ""}
        self.daemon.bind("tier2")
        shown = self.shown(f"/page/configuration?{urlencode(asked)}")
        for said in ("routes[0] takes the message", "Now it goes to tier2.", "tier1 : not now: it is down"):
            self.assertIn(said, shown)
        wrong = urlencode(asked | {"to": "nonsense"})
        self.assertIn("to: ", self.shown(f"/page/configuration?{wrong}"))


class FakeEditor:
    """Files of conf.d as the test wants them."""

    def __init__(self, *files: PartFile) -> None:
        self.shown = files
        self.asked: list[tuple[str, int]] = []
        self.more: str | None = None

    async def files(self, after: str, limit: int) -> PartFilePage:
        self.asked.append((after, limit))
        return PartFilePage(list(self.shown), self.more, "/data/conf.d", ["/data/conf.d/x.yml: isn't read"])

    async def file(self, table: str, name: str) -> PartFile:
        found = [file for file in self.shown if (file.table, file.name) == (table, name)]
        if not found:
            raise EntryRefused(f"there is no file {name}", 404)
        return found[0]


class FilesTests(SiteTestCase):
    """The files of conf.d on the page about the configuration."""

    def setUp(self) -> None:
        super().setUp()
        smpp = {"system_id": "acme", "password": IS_SET}
        self.editor = FakeEditor(
            PartFile("accounts", "acme", "/data/conf.d/accounts/acme.yaml", "in use",
                     {"api_key": IS_SET, "rate": 5.0, "smpp": smpp, "smpp_logins": {"x": smpp}}, []),
            PartFile("carriers", "new", "/data/conf.d/carriers/new.yaml", "new", {}, []),
            PartFile("routes", "uk", "/data/conf.d/routes/uk.yaml", "changed", None,
                     ["/data/conf.d/routes/uk.yaml:2: routes.uk.carriers: missing"]),
        )  # fmt: skip
        self.daemon.editor = self.editor

    def test_each_file_is_listed_with_what_it_gives_and_whether_it_is_in_use(self) -> None:
        shown = self.shown("/page/configuration")
        self.assertIn("Each file in /data/conf.d gives one account", shown)
        self.assertIn("accounts/acme.yaml account acme api_key, rate, smpp, smpp_logins in use", shown)
        self.assertIn("carriers/new.yaml carrier new waits for a reload", shown)
        self.assertIn("/data/conf.d/x.yml: isn't read", shown)

    def test_what_is_wrong_in_a_file_is_said_with_its_line(self) -> None:
        problem = "wrong /data/conf.d/routes/uk.yaml:2: routes.uk.carriers: missing"
        self.assertIn(f"routes/uk.yaml route uk {problem}", self.shown("/page/configuration"))
        own = self.shown("/page/configuration/files/routes/uk")
        self.assertIn("What is wrong /data/conf.d/routes/uk.yaml:2: routes.uk.carriers: missing", own)

    def test_a_file_s_page_has_its_keys_without_its_secrets(self) -> None:
        page = self.reply("GET", "/page/configuration/files/accounts/acme").body.decode()
        self.assertIn(
            "api_key: (secret)\nrate: 5.0\nsmpp:\n  system_id: acme\n  password: (secret)\n"
            "smpp_logins:\n  x:\n    system_id: acme\n    password: (secret)\n</pre>",
            page,
        )
        self.assertIn('<a href="/page/accounts/acme">acme</a>', page)
        self.assertIn("It has no keys.", self.shown("/page/configuration/files/carriers/new"))
        # The relay doesn't have this carrier yet.
        self.assertNotIn("/page/carriers/new", self.reply("GET", "/page/configuration").body.decode())

    def test_many_files_are_on_several_pages(self) -> None:
        self.editor.more = "routes/uk"
        page = self.reply("GET", "/page/configuration").body.decode()
        self.assertIn('href="/page/configuration/files?after=routes%2Fuk"', page)
        self.assertIn("accounts/acme.yaml", self.shown("/page/configuration/files?after=routes%2Fuk"))
        self.assertEqual([("", 100), ("routes/uk", 100)], self.editor.asked)

    def test_an_unknown_file_is_not_found(self) -> None:
        for path in ("accounts/x", "others/acme", "accounts/acme/more"):
            self.shown(f"/page/configuration/files/{path}", 404)
        self.daemon.editor = None
        self.assertNotIn("conf.d", self.shown("/page/configuration"))
        self.assertIn("not started with a configuration file", self.shown("/page/configuration/files", 409))


class OutcomeTests(SiteTestCase):
    def test_a_bar_of_how_messages_ended_leads_to_the_list_behind_it(self) -> None:
        span = SPANS["hour"]
        starts = [span.bucket_seconds * number for number in range(span.buckets)]
        counts = [[0, 0, 0, 0] for _ in starts]
        counts[7] = [3, 0, 0, 2]
        view = DeliveryStatsView(span, starts, counts, [0] * 10)
        content = overview_page(self.observer.look(), self.observer.history, span, view, 0.0)
        page = flatten(el("main", *content)).decode()
        for kind in ("delivered", "pending"):
            path = f"/page/messages?status={kind}&amp;since=1970-01-01T00%3A07%3A00.000Z&amp;until=1970-01-01T00%3A08"
            self.assertIn(path, page)
        self.assertIn("delivered: 3", page)
        self.assertNotIn("Messages from customers", page, "the first chart has them, as they are in the lists")

    def test_a_carrier_and_an_account_have_the_chart_of_their_own_messages(self) -> None:
        span = SPANS["week"]
        starts = [span.bucket_seconds * number for number in range(span.buckets)]
        asked: list[tuple[str | None, str, str]] = []

        class Outcomes:
            async def view(self, account: str | None, span: Span, carrier: str = "") -> DeliveryStatsView:
                asked.append((account, span.name, carrier))
                return DeliveryStatsView(span, starts, [[1, 0, 0, 0]] * span.buckets, [0] * 10)

        self.assertNotIn("How messages ended in the last", self.shown("/page/carriers/tier1"))
        metrics = Metrics(self.daemon, self.daemon.clock.seconds)
        actions = OperatorActions(self.daemon, self.daemon.clock)
        self.pages = AdminPages(self.daemon, metrics, self.observer, actions, Outcomes()).pages()  # type: ignore[arg-type]
        for kind, name in (("carriers", "tier1"), ("accounts", "acme")):
            page = self.reply("GET", f"/page/{kind}/{name}?span=week").body.decode()
            self.assertIn("How messages ended in the last 7 days: 28 delivered", page)
            self.assertIn(f'<a href="/page/{kind}/{name}?span=day">', page)
            self.assertIn(f"/page/messages?{kind[:-1]}={name}&amp;status=delivered&amp;since=", page)
        self.assertEqual([(None, "week", "tier1"), ("acme", "week", "")], asked)


class ClusterTests(SiteTestCase):
    def test_the_overview_shows_the_nodes_and_a_relay_that_stands_by_does_nothing(self) -> None:
        self.daemon.membership = Member(WORKS)
        shown = self.shown("/")
        self.assertIn(
            "This is a, and it works, under epoch 3. a has worked for 60.0 s. Database: PostgreSQL 15.18, standbys: "
            "db2 (quorum)",
            shown,
        )
        self.assertRegex(shown, r"a works 500 ms ago 0 .* b stands by 500 ms ago 7 latest file")
        page = self.reply("GET", "/page/carriers/tier1/hold").body.decode()
        (token,) = re.findall(r'name="csrf" value="([^"]+)"', page)
        self.daemon.membership = Member(STANDS_BY)
        self.daemon.not_ready = "standing by"
        self.assertIn("Stands by, nothing is wrong", self.shown("/"))
        reply = self.reply("POST", "/page/carriers/tier1/hold", {"csrf": token})
        self.assertEqual(503, reply.status)
        self.assertIn("This relay stands by: a works; do it there.", self.text_of(reply))


class ChartTests(SynchronousTestCase):
    def test_a_day_and_a_week_are_counted_in_longer_steps_and_an_hour_in_short_ones(self) -> None:
        clock, counts = Clock(), {"accepted": 0.0, "account.acme": 0.0}
        history = History(lambda: counts, clock)
        history.start()
        self.addCleanup(history.stop)
        for _ in range(int(2 * 3600 / STEP_SECONDS)):
            counts["accepted"] += 1.0
            counts["account.acme"] += 1.0
            clock.advance(STEP_SECONDS)
        hour, day, week = (bucketed(history, "accepted", SPANS[name]) for name in ("hour", "day", "week"))
        self.assertEqual([6] * 60, hour)
        self.assertEqual((24, [360, 360], 0), (len(day), day[-2:], day[-3]))
        self.assertEqual((28, 720), (len(week), week[-1]))
        self.assertEqual([], history.of_long_steps("account.acme"))
        self.assertEqual(2 * 3600 / LONG_STEP_SECONDS, len(history.of_long_steps("accepted")))
