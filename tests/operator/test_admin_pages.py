"""The operator's pages: the overview, the events of a message, and actions that are recorded before they are done."""

import json
from collections.abc import Coroutine
from io import StringIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.account_settings import URL_OFF
from relay.cli.command_parser import Paint
from relay.cli.status import report
from relay.config.route_config import Route
from relay.operator.actions import AUDITED, OperatorActions, Replayed, ReplayRequest, held_carriers
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import AdminRequest, Reply
from relay.operator.metrics import Metrics
from relay.operator.operator_logins import Actor
from relay.operator.overview import Observer
from relay.operator.receipt_review import ACCOUNTS_A_TURN, IDS_TRIED, review
from relay.routing.routes import Routes
from relay.store.store_values import StoreFigures
from relay.values.carrier_reports import AmbiguousReceipt, Receipt
from relay.values.message_view import MessageView, PartView
from relay.values.notifications import Verdict
from relay.values.states import DELIVERED, ENROUTE, UNKNOWN
from relay.webhooks.answer import UrlState
from tests.fakes import one_turn, receipt_body
from tests.history.test_record_line import view
from tests.operator.operated import ADDRESSES, OperatedDaemon


class PagesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = OperatedDaemon()
        self.observer = Observer(self.daemon, self.daemon.clock)
        self.actions = OperatorActions(self.daemon, self.daemon.clock)
        self.pages = AdminPages(
            self.daemon,  # type: ignore[arg-type]
            Metrics(self.daemon, self.daemon.clock.seconds),
            self.observer,
            self.actions,
        ).pages()

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        elements = path.strip("/").split("/")
        data = b"" if body is None else json.dumps(body).encode()
        reply = self.pages[method, elements[0]](AdminRequest(method, elements, query, data, "127.0.0.1"))
        if not isinstance(reply, Reply):
            reply = self.successResultOf(ensureDeferred(reply))  # type: ignore[arg-type]
        assert isinstance(reply, Reply)
        content: Any = json.loads(reply.body) if reply.content_type == "application/json" else reply.body
        return reply.status, content

    def audit(self) -> list[tuple[str, str]]:
        return [(record["what"], record["reason"]) for record in self.ask("GET", "/audit")[1]]


class TraceTests(PagesTestCase):
    def test_a_trace_s_lines_come_page_by_page(self) -> None:
        status, begun = self.ask("POST", "/carriers/tier1/trace", {"minutes": 2, "reason": "why"})
        self.assertEqual((200, 1, "tier1", ""), (status, *(begun[name] for name in ("number", "name", "ended"))))
        self.assertEqual([begun], self.ask("GET", "/traces")[1])
        trace = self.actions.traces.find(1)
        assert trace is not None
        for number in range(2001):
            trace.note("", f"line {number}")
        first = self.ask("GET", "/traces/1")[1]
        self.assertEqual((2000, 2000), (len(first["lines"]), first["next"]))
        second = self.ask("GET", "/traces/1", after="2000")[1]
        self.assertEqual(["line 2000"], [line["text"] for line in second["lines"]])
        self.assertEqual("operator ended it", self.ask("POST", "/traces/1/end", {})[1]["ended"])
        self.assertEqual(("trace the carrier tier1 for 2 minutes", "why"), self.audit()[1])
        for path in ("/traces/2", "/traces/x"):
            self.assertEqual(404, self.ask("GET", path)[0])
        self.assertEqual(422, self.ask("GET", "/traces/1", after="x")[0])
        self.assertEqual(409, self.ask("POST", "/accounts/acme/trace", {"minutes": 0})[0])
        self.assertEqual(404, self.ask("POST", "/carriers/nobody/trace", {})[0])


class LookTests(PagesTestCase):
    def look(self) -> Any:
        return self.ask("GET", "/status")[1]

    def test_the_overview_shows_every_carrier_and_account(self) -> None:
        look = self.look()
        self.assertEqual(["tier1", "tier2"], [carrier["name"] for carrier in look["carriers"]])
        self.assertEqual(["acme", "quiet"], [account["name"] for account in look["accounts"]])
        self.assertEqual((100, 2, 0), tuple(look["carriers"][0][name] for name in ("window", "wanted", "bound")))

    def test_the_status_has_what_each_carrier_delivers(self) -> None:
        self.daemon.ended("tier1", "acme", "44", 90, 10)
        self.daemon.ended("tier1", "quiet", "34", 0, 0, 100)
        self.daemon.avoid("tier1")
        look = self.look()
        (row,) = look["quality"]["rows"]
        self.assertEqual(
            (row["carrier"], row["recent"]["ended"], row["recent"]["delivered_share"]), ("tier1", 200, 0.45)
        )
        self.assertEqual([each["carrier"] for each in look["quality"]["avoided"]], ["tier1"])
        text = report(look, Paint(StringIO()))
        self.assertRegex(text, r"tier1 +200 +45\.0 % +<= 10 s +<= 10 s +0 +- +- +-")
        self.assertIn("avoids tier1", text)

    def test_quality_is_divided_as_asked_for(self) -> None:
        self.daemon.ended("tier1", "acme", "44", 90, 10)
        self.daemon.ended("tier1", "quiet", "34", 5, 0)

        def rows(**query: str) -> list[tuple[Any, ...]]:
            found = self.ask("GET", "/quality", **query)[1]["rows"]
            return [(row["carrier"], row["country"], row["account"], row["recent"]["ended"]) for row in found]

        self.assertEqual(rows(), [("tier1", "44", "acme", 100), ("tier1", "34", "quiet", 5)])
        self.assertEqual(rows(by="account"), [("", "", "acme", 100), ("", "", "quiet", 5)])
        self.assertEqual(rows(by="carrier", country="34"), [("tier1", "", "", 5)])
        self.assertEqual(rows(carrier="tier2"), [])

    def test_what_the_relay_did_by_itself_is_in_the_audit(self) -> None:
        self.successResultOf(ensureDeferred(self.actions.record_own("avoid tier1", "it delivered 12%")))
        self.assertEqual(self.audit(), [("avoid tier1", "it delivered 12%")])
        self.assertEqual(self.ask("GET", "/audit")[1][0]["user"], "relay")

    def test_troubles_are_sentences(self) -> None:
        self.daemon.links["tier1"].counters.last_error = "bind refused: ESME_RINVPASWD"
        self.daemon.links["tier2"].hold(True)
        self.daemon.webhooks.states["acme"] = UrlState("", 7, True, 1100.0, 0)
        self.daemon.store.shown = StoreFigures(orphans=3, writable=False, reason="no space left")
        self.assertEqual(
            [
                "journal: no space left",
                "tier1 is down: bind refused: ESME_RINVPASWD; 0 parts wait",
                "tier2 is held by the operator; 0 parts wait",
                "acme's notification URL failed 7 times in a row",
                "3 receipts have ids that no message has",
            ],
            [trouble["what"] for trouble in self.look()["wrong"]],
        )
        self.assertEqual(
            "3 receipts have ids that no message has. To find the dialect that matches them, see Receipts on the page, "
            "or run python -m relay dialect --orphans",
            self.look()["troubles"][-1],
        )

    def test_every_trouble_says_what_to_do_and_which_page_shows_more(self) -> None:
        self.daemon.links["tier2"].hold(True)
        self.daemon.webhooks.states["acme"] = UrlState("1000 operator", 0, False, None, 0)
        self.daemon.store.shown = StoreFigures(
            orphans=3, unreadable=1, ambiguous_receipts=2, evidence={"tier1": 5}, writable=False, reason="full"
        )
        for trouble in self.look()["wrong"]:
            self.assertTrue(trouble["cure"] and not trouble["cure"].endswith("."), trouble)
            if trouble["page"]:
                path, _, query = trouble["page"].strip("/").partition("?")
                status, _ = self.ask("GET", path, **dict(parse_qsl(query)))
                self.assertEqual(200, status, trouble)

    def test_when_all_is_well_there_are_no_troubles(self) -> None:
        for link in self.daemon.links.values():
            self.daemon.bind(link.name)
        self.assertEqual([], [t for t in self.look()["troubles"] if "binds" not in t])

    def test_charts_show_what_came_in_each_step(self) -> None:
        self.observer.history.start()
        self.daemon.take(5)
        self.daemon.clock.advance(10)
        self.daemon.take(2)
        self.daemon.flow.counters.account("acme").channels["webhook"].attempts[Verdict.DELIVERED] += 4
        self.daemon.clock.advance(10)
        charts = self.look()["charts"]
        self.assertEqual(([5.0, 2.0], [0.0, 4.0]), (charts["accepted"], charts["delivered"]))
        self.assertEqual(0.2, self.look()["accounts"][0]["rate"])
        self.observer.history.stop()

    def test_a_history_that_can_not_be_written_is_a_trouble(self) -> None:
        self.daemon.history = SimpleNamespace(reason="database or disk is full")
        self.assertIn("the history can't be written: database or disk is full", " ".join(self.look()["troubles"]))
        self.daemon.history.reason = ""
        self.assertNotIn("history", " ".join(self.look()["troubles"]))

    def test_a_carrier_that_gives_no_ids_is_a_trouble(self) -> None:
        self.daemon.links["tier1"].counters.without_id = 3
        self.assertIn("tier1 took 3 parts and gave them no message_id", " ".join(self.look()["troubles"]))
        self.assertEqual(3, self.look()["carriers"][0]["without_id"])

    def test_a_carrier_that_refuses_many_messages_is_a_trouble(self) -> None:
        self.observer.history.start()
        counters = self.daemon.links["tier1"].counters
        counters.taken, counters.refused = 60, 40
        self.daemon.clock.advance(10)
        self.assertIn("tier1 refused 40% in the last hour", " ".join(self.look()["troubles"]))
        self.observer.history.stop()

    def test_the_page_and_its_files_are_there(self) -> None:
        for path, start in (("/", b"<!DOCTYPE html>"), ("/page.css", b"/* What"), ("/page.js", b"// Draws"),
                            ("/my/page.css", b"/* One"), ("/my/icon.svg", b"<svg")):  # fmt: skip
            status, body = self.ask("GET", path)
            self.assertEqual((200, start), (status, body[: len(start)]))


class FindTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.view = view(1)
        self.daemon.store.views[self.view.id] = self.view

    def test_a_search_finds_an_account_s_messages_in_memory_and_says_what_is_wrong(self) -> None:
        store: Any = self.daemon.store
        store.recent = lambda account, **_: succeed([self.view] if account == "acme" else [])
        for query, count in (({"find": "1a2b"}, 1), ({"to": "447700900123"}, 1), ({"status": "failed"}, 0)):
            _, page = self.ask("GET", "/messages", account="acme", **query)
            self.assertEqual((len(page["messages"]), page["next"], page["complete"]), (count, None, True), query)
        for query in ({"account": "acme", "nonsense": "1"}, {"account": "acme", "limit": "x"},
                      {"account": "acme", "after": "-1"}):  # fmt: skip
            status, problem = self.ask("GET", "/messages", **query)
            self.assertEqual((status, "error" in problem), (422, True), query)

    def test_a_message_is_found_by_our_id(self) -> None:
        _, [found] = self.ask("GET", "/messages", id="00000000-0000-0000-0000-000000000001")
        self.assertEqual(("acme", "DELIVRD"), (found["account"], found["status"]))
        self.assertEqual("taken by tier1 as 1a2b", found["events"][1]["what"])

    def test_a_message_is_found_by_the_carrier_s_id(self) -> None:
        _, [found] = self.ask("GET", "/messages", id=" 1a2b ")
        self.assertEqual("00000000-0000-0000-0000-000000000001", found["id"])

    def test_an_unknown_id_finds_nothing(self) -> None:
        self.assertEqual((200, []), self.ask("GET", "/messages", id="nobody's"))

    def test_a_search_without_an_account_looks_at_all_accounts_in_memory(self) -> None:
        other = msgspec.structs.replace(view(2), account="quiet", accepted_at=self.view.accepted_at + 1.0)
        self.daemon.store.views[other.id] = other
        for query, accounts in (({}, ["quiet", "acme"]), ({"find": "1a2b"}, ["quiet", "acme"]),
                                ({"order": "oldest"}, ["acme", "quiet"]), ({"limit": "1"}, ["quiet"]),
                                ({"find": "00000000-0000-0000-0000-000000000001"}, ["acme"])):  # fmt: skip
            _, page = self.ask("GET", "/messages", **query)
            self.assertEqual(accounts, [message["account"] for message in page["messages"]], query)

    def test_orphans_are_shown_without_the_text_and_with_the_setting_that_would_match(self) -> None:
        self.daemon.store.views.clear()
        for number in range(5):
            submitted = PartView("tier1", f"{255 + number * 77:x}", ENROUTE, "", 1.0, None)
            waiting = MessageView(
                id=bytes([number]) * 16, account="acme", addresses=ADDRESSES, state=ENROUTE, final=False,
                carrier="tier1", carrier_error="", interface="http", accepted_at=0.0, expires_at=9.0, done_at=None,
                parts=[submitted], attempts=[], owed=[],
            )  # fmt: skip
            self.daemon.store.views[waiting.id] = waiting
            raw = receipt_body(str(255 + number * 77))
            raw = raw[: raw.index(b"text:") + 5] + b"private words"
            key = str(255 + number * 77).encode()
            self.daemon.store.orphaned.append(
                Receipt("tier1", (key,), DELIVERED, True, 5.0, b"000", b"DELIVRD", raw=raw)
            )
        _, review = self.ask("GET", "/receipts")
        self.assertEqual(5, len(review["orphans"]))
        self.assertNotIn("private words", json.dumps(review))
        self.assertNotIn(b"private words".hex(), json.dumps(review))
        best = review["advice"][0]
        self.assertEqual(("tier1", 5, 5), (best["carrier"], best["matched"], best["tried"]))
        self.assertIn("response_id: {base: hex}", best["yaml"])

    def test_evidence_is_shown_with_the_setting_that_would_match_its_older_messages(self) -> None:
        self.daemon.store.views.clear()
        asked: list[float | None] = []
        keys = [255 + number * 77 for number in range(5)]
        waiting = [
            MessageView(
                id=bytes([number]) * 16, account="acme", addresses=ADDRESSES, state=UNKNOWN, final=True,
                carrier="tier1", carrier_error="", interface="http", accepted_at=0.0, expires_at=9.0, done_at=9.0,
                parts=[PartView("tier1", f"{key:x}", UNKNOWN, "", 1.0, None)], attempts=[], owed=[],
            )
            for number, key in enumerate(keys)
        ]  # fmt: skip

        def recent(account: str, *, before: float | None, **_: Any) -> "Deferred[list[MessageView]]":
            asked.append(before)
            return succeed(waiting if before is not None else [])

        self.daemon.store.recent = recent  # type: ignore[assignment, method-assign]
        self.daemon.store.kept_as_evidence = [
            Receipt("tier1", (b"%d" % key,), DELIVERED, True, 5.0, b"000", b"DELIVRD", raw=receipt_body(str(key)))
            for key in keys
        ]
        _, review = self.ask("GET", "/receipts")
        self.assertEqual((5, [], {5.0}), (len(review["evidence"]), review["orphans"], set(asked)))
        [best, *_] = review["advice"]
        self.assertEqual(("tier1", 5, 5), (best["carrier"], best["matched"], best["tried"]))
        self.assertIn("response_id: {base: hex}", best["yaml"])

    def test_an_ambiguous_receipt_is_shown_with_the_messages_that_it_may_belong_to(self) -> None:
        self.daemon.store.shown = StoreFigures(ambiguous_receipts=2)
        self.daemon.store.ambiguous_ones = [
            AmbiguousReceipt("tier1", b"41", 5.0, b"\1" * 16, (b"\2" * 16,)),
            AmbiguousReceipt("tier1", b"42", 4.0, b"", (b"\3" * 16,)),
        ]
        _, review = self.ask("GET", "/receipts")
        first, second = review["ambiguous"]
        one, two = "01010101-0101-0101-0101-010101010101", "02020202-0202-0202-0202-020202020202"
        self.assertEqual(("41", one, [two]), (first["carrier_message_id"], first["message_id"], first["others"]))
        self.assertEqual(("42", ""), (second["carrier_message_id"], second["message_id"]))
        _, look = self.ask("GET", "/status")
        self.assertIn("2 receipts could belong to several messages", look["troubles"][-1])

    def test_receipts_of_many_accounts_are_reviewed_in_slices_and_compared_with_a_bounded_number_of_ids(self) -> None:
        self.daemon.store.orphaned.append(Receipt("tier1", (b"1",), DELIVERED, True, 5.0, raw=receipt_body("1")))
        asked: list[int] = []

        def recent(account: str, *, limit: int, **_: Any) -> "Deferred[list[MessageView]]":
            asked.append(limit)
            return succeed([])

        self.daemon.store.recent = recent  # type: ignore[assignment, method-assign]
        accounts = [f"account{number}" for number in range(5 * ACCOUNTS_A_TURN)]
        reviewed = Deferred.fromCoroutine(review(self.daemon.store, accounts, self.daemon.clock))
        a_turn = [len(asked)]
        while not reviewed.called:
            one_turn(self.daemon.clock)
            a_turn.append(len(asked) - sum(a_turn))
        self.assertEqual(([ACCOUNTS_A_TURN] * 5 + [0], len(accounts)), (a_turn, len(asked)))
        self.assertLessEqual(sum(asked), IDS_TRIED)


class ActionTests(PagesTestCase):
    def test_a_held_carrier_is_sent_nothing_until_it_is_resumed(self) -> None:
        status, answer = self.ask("POST", "/carriers/tier1/hold", {"reason": "maintenance"})
        self.assertEqual((200, "tier1 is held; 0 parts wait"), (status, answer["done"]))
        self.assertTrue(self.daemon.links["tier1"].held)
        self.ask("POST", "/carriers/tier1/resume", {"reason": "done"})
        self.assertFalse(self.daemon.links["tier1"].held)
        self.assertEqual([("resume tier1", "done"), ("hold tier1", "maintenance")], self.audit())

    def test_a_removed_carrier_that_drains_is_shown_and_can_be_unbound(self) -> None:
        self.daemon.store.out["tier2"] = 7
        self.daemon.draining_carriers.begin("tier2", self.daemon.links.pop("tier2"))
        [carrier] = [carrier for carrier in self.observer.look().carriers if carrier.draining]
        self.assertEqual(("tier2", 7, 72 * 3600.0), (carrier.name, carrier.receipts_out, carrier.drain_seconds))
        self.assertIn(
            "tier2 was removed with 7 receipts outstanding, and is down: not bound",
            [trouble.what for trouble in self.observer.look().wrong],
        )
        status, answer = self.ask("POST", "/carriers/tier2/unbind", {"reason": "contract ended"})
        self.assertEqual((200, "tier2 is being unbound"), (status, answer["done"]))
        self.assertEqual([("unbind the removed carrier tier2", "contract ended")], self.audit())
        self.assertEqual({}, dict(self.daemon.draining_carriers.all))
        self.assertEqual(409, self.ask("POST", "/carriers/tier1/unbind")[0])

    def test_a_hold_outlives_a_restart(self) -> None:
        self.ask("POST", "/carriers/tier1/hold")
        settings = self.successResultOf(self.daemon.store.settings())
        self.assertEqual({"tier1"}, held_carriers(settings))
        self.ask("POST", "/carriers/tier1/resume")
        self.assertEqual(set(), held_carriers(self.successResultOf(self.daemon.store.settings())))

    def test_evidence_is_dismissed_and_that_is_recorded(self) -> None:
        self.daemon.store.shown = StoreFigures(evidence={"removed": 12})
        [trouble] = [said for said in self.observer.look().troubles if "removed" in said]
        self.assertIn("receipts of removed match too few messages: 12 that found none in time are kept", trouble)
        self.assertIn("python -m relay dialect --dismiss removed", trouble)
        status, answer = self.ask("POST", "/carriers/removed/dismiss", {"reason": "another's receipts"})
        self.assertEqual((200, "12 receipts of removed are kept no more"), (status, answer["done"]))
        self.assertEqual(["removed"], self.daemon.store.dismissed)
        self.assertEqual([("dismiss the evidence about removed", "another's receipts")], self.audit())
        self.assertEqual(409, self.ask("POST", "/carriers/tier1/dismiss")[0])

    def test_an_action_that_can_not_be_recorded_is_not_done(self) -> None:
        self.daemon.store.unavailable = True
        status, answer = self.ask("POST", "/carriers/tier1/hold")
        self.assertEqual((503, "it can't be recorded: disk full"), (status, answer["error"]))
        self.assertFalse(self.daemon.links["tier1"].held)

    def test_an_unknown_name_is_refused_and_not_recorded(self) -> None:
        for path in ("/carriers/nobody/hold", "/accounts/nobody/unbind", "/accounts/nobody/replay", "/carriers/tier1"):
            self.assertEqual(404, self.ask("POST", path)[0], path)
        self.assertEqual([], self.audit())

    def test_a_body_that_is_no_json_is_refused(self) -> None:
        self.assertEqual(422, self.ask("POST", "/accounts/acme/replay", {"what": 1})[0])
        request = AdminRequest("POST", ["carriers", "tier1", "hold"], {}, b'{"reason": "\xff"}', "127.0.0.1")
        answer = self.pages["POST", "carriers"](request)
        assert isinstance(answer, Coroutine)
        reply = self.successResultOf(ensureDeferred(answer))
        self.assertEqual(422, reply.status)

    def test_a_url_is_switched_off_and_on(self) -> None:
        self.daemon.accounts.apply_setting("acme", "notification_url", "https://example.com/n")
        self.assertEqual(200, self.ask("POST", "/accounts/acme/url-off", {"reason": "loops"})[0])
        self.assertEqual("1000 operator https://example.com/n", self.daemon.accounts.setting("acme", URL_OFF))
        self.ask("POST", "/accounts/acme/url-on")
        self.assertIsNone(self.daemon.accounts.setting("acme", URL_OFF))
        self.assertEqual(["acme", "acme"], self.daemon.webhooks.changed)

    def test_an_account_without_a_url_has_none_to_switch_off(self) -> None:
        self.assertEqual(409, self.ask("POST", "/accounts/quiet/url-off")[0])

    def test_notifications_given_up_in_a_time_are_sent_again(self) -> None:
        self.daemon.store.given_up_at = {b"a" * 16: 10.0, b"b" * 16: 20.0, b"c" * 16: 30.0}
        _, answer = self.ask("POST", "/accounts/acme/replay", {"since": 15.0, "until": 25.0})
        self.assertEqual(1, answer["count"])
        self.assertEqual([[b"b" * 16]], self.daemon.store.told_again)
        _, answer = self.ask("POST", "/accounts/acme/replay", {"dry_run": True})
        self.assertEqual(("3 notifications of acme would be sent again", 3), (answer["done"], answer["count"]))
        self.assertEqual([[b"b" * 16]], self.daemon.store.told_again)
        self.assertEqual(1, len(self.audit()))
        _, answer = self.ask("POST", "/accounts/acme/replay")
        self.assertEqual(3, answer["count"])

    def test_notifications_are_sent_again_by_message_id(self) -> None:
        self.daemon.store.views[view(1).id] = view(1)
        _, answer = self.ask("POST", "/accounts/acme/replay", {"ids": ["00000000-0000-0000-0000-000000000001"]})
        self.assertEqual((1, [[b"\0" * 15 + b"\1"]]), (answer["count"], self.daemon.store.told_again))
        unknown = {"ids": ["00000000-0000-0000-0000-000000000002"]}
        _, answer = self.ask("POST", "/accounts/quiet/replay", {"ids": ["00000000-0000-0000-0000-000000000001"]})
        self.assertEqual((0, 1), (answer["count"], answer["passed_over"]))
        _, answer = self.ask("POST", "/accounts/acme/replay", unknown)
        self.assertEqual(("0 notifications of acme will be sent again", 1), (answer["done"], answer["passed_over"]))
        self.assertEqual(422, self.ask("POST", "/accounts/acme/replay", {"ids": ["nonsense"]})[0])

    def test_many_message_ids_are_looked_up_in_slices(self) -> None:
        looked_up: list[bytes] = []

        def look_up(message_id: bytes) -> "Deferred[MessageView | None]":
            looked_up.append(message_id)
            return succeed(None)

        self.daemon.store.look_up = look_up  # type: ignore[method-assign]
        ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(600)]
        replayed = Deferred.fromCoroutine(self.actions.replay("acme", ReplayRequest(ids), Actor("alice", "127.0.0.1")))
        seen = [len(looked_up)]
        while not replayed.called:
            one_turn(self.daemon.clock)
            seen.append(len(looked_up))
        self.assertEqual([250, 500, 600], seen)
        self.assertEqual(Replayed(0, 600), self.successResultOf(replayed))

    def test_only_the_latest_records_are_kept(self) -> None:
        for number in range(AUDITED + 5):
            self.ask("POST", "/carriers/tier1/resume", {"reason": str(number)})
        records = self.audit()
        self.assertEqual(AUDITED, len(records))
        self.assertEqual((str(AUDITED + 4), "5"), (records[0][1], records[-1][1]))

    def test_numbers_go_on_after_a_restart(self) -> None:
        self.ask("POST", "/carriers/tier1/hold")
        again = OperatorActions(self.daemon, self.daemon.clock)
        self.successResultOf(ensureDeferred(again.resume("tier1", "", Actor("alice", "127.0.0.1"))))
        self.assertEqual(["resume tier1", "hold tier1"], [what for what, _ in self.audit()])


class RouteTests(PagesTestCase):
    """Which way a message takes."""

    def test_the_page_gets_the_route_its_carriers_and_every_route_s_verdict(self) -> None:
        status, found = self.ask("GET", "/route", account="acme", to="447700900123", **{"from": "ACME"})
        self.assertEqual(status, 200)
        self.assertTrue(found["carriers"])
        self.assertIn("takes the message", found["decision"])
        self.assertEqual(len(found["steps"]), len(self.daemon.config.routes))

    def test_it_says_what_decides_now_and_nothing_of_it_for_another_time(self) -> None:
        self.daemon.bind("tier2")
        found = self.ask("GET", "/route", account="acme", to="447700900123")[1]
        self.assertEqual(("tier2", "Now it goes to tier2."), (found["now"]["carrier"], found["now"]["decision"]))
        self.assertEqual(["tier1", "tier2"], [each["carrier"] for each in found["now"]["carriers"]])
        found = self.ask("GET", "/route", account="acme", to="447700900123", at="2026-03-01T22:30Z")[1]
        self.assertIsNone(found["now"])

    def test_tags_of_a_decision_count(self) -> None:
        self.daemon.flow.routes = Routes([Route(tag="gold", carriers=["tier1"])])
        for tags, carriers in (("bulk, gold", ["tier1"]), ("bulk", []), ("", [])):
            self.assertEqual(
                carriers, self.ask("GET", "/route", account="acme", to="447700900123", tags=tags)[1]["carriers"]
            )

    def test_parameters_that_cannot_be_read_are_named(self) -> None:
        for query, words in (
            ({"account": "nobody", "to": "447700900123"}, "no account 'nobody'"),
            ({"account": "acme", "to": "44"}, "to: Expected a number"),
            ({"account": "acme", "to": "447700900123", "at": "noon"}, "at: write a time"),
        ):
            status, found = self.ask("GET", "/route", **query)
            self.assertEqual(status, 422)
            self.assertIn(words, found["error"])
