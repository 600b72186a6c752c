"""Metrics: Prometheus reads what the services counted, and alerts and dashboard use only metrics that exist."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from relay.config.account_config import Account, PriceTable, Quota
from relay.config.daemon_config import Tracing as TracingSettings
from relay.operator.metrics import Metrics
from relay.store.store_values import COMMIT_SECONDS_BOUNDS, StoreFigures
from relay.store.table.records import AccountTotals
from relay.tracing.tracing import Tracing
from relay.values.carrier_reports import Outcome
from relay.values.notifications import Verdict
from relay.values.smpp_constants import ESME_RINVPASWD, ESME_RINVSYSID
from relay.values.states import DELIVERED, SKIPPED, UNDELIVERABLE
from tests.operator.operated import OperatedDaemon
from tests.operator.test_cluster_place import STANDS_BY, WORKS, Member
from tests.stores import receipt

ETC = Path(__file__).resolve().parents[2] / "etc"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = OperatedDaemon()
        self.metrics = Metrics(self.daemon, self.daemon.clock.seconds)

    def samples(self) -> Samples:
        text = self.metrics.exposition().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))

    def test_accepted_messages_are_counted_by_account_and_interface(self) -> None:
        self.daemon.take(3)
        self.daemon.take(2, interface="http")
        self.assertEqual(3, self.value("relay_messages_total", account="acme", interface="smpp"))
        self.assertEqual(2, self.value("relay_messages_total", account="acme", interface="http"))
        self.assertEqual(0, self.value("relay_messages_total", account="quiet", interface="http"))

    def test_messages_that_can_not_be_made_durable_count_as_refused(self) -> None:
        self.daemon.store.unavailable = True
        self.daemon.take(4)
        self.assertEqual(0, self.value("relay_messages_total", account="acme", interface="smpp"))
        self.assertEqual(4, self.value("relay_messages_refused_total", account="acme", status="ESME_RSYSERR"))

    def test_the_time_to_accept_is_counted_once_a_message(self) -> None:
        self.daemon.take(7)
        self.assertEqual(7, self.value("relay_accept_seconds_count"))
        self.assertEqual(7, self.value("relay_accept_seconds_bucket", le="0.001"))
        self.assertEqual(7, self.value("relay_accept_seconds_bucket", le="+Inf"))

    def test_attempts_are_counted_by_account_channel_and_result(self) -> None:
        attempts = self.daemon.flow.counters.account("acme").channels["webhook"].attempts
        attempts[Verdict.RETRY] += 5
        labels = {"account": "acme", "channel": "webhook"}
        self.assertEqual(5, self.value("relay_notification_attempts_total", result="retry", **labels))
        self.assertEqual(0, self.value("relay_notification_attempts_total", result="given_up", **labels))

    def test_balances_and_what_is_left_of_quotas_are_shown_for_accounts_that_have_them(self) -> None:
        self.assertIsNone(self.value("relay_account_quota_left", account="acme"))
        accounts = {
            "acme": Account(prices="retail", prepaid=True, quota=Quota(monthly=10), low_balance="20"),
            "quiet": Account(prices="retail"),
        }
        tables = {"retail": PriceTable(currency="EUR", by_prefix={"": "1"})}
        self.daemon.flow.charging.replace(accounts, tables)
        today = self.daemon.flow.charging.day("acme", self.daemon.clock.seconds())
        self.daemon.store.ledger.restore(AccountTotals("acme", today, 3, 3, {"EUR": 12_500_000}))
        self.assertEqual(12.5, self.value("relay_account_balance", account="acme", currency="EUR"))
        self.assertEqual(7, self.value("relay_account_quota_left", account="acme"))
        self.assertEqual(20, self.value("relay_account_low_balance", account="acme", currency="EUR"))
        for name in ("relay_account_balance", "relay_account_low_balance"):
            self.assertIsNone(self.value(name, account="quiet", currency="EUR"))
        self.daemon.membership = Member(STANDS_BY)
        self.assertIsNone(self.value("relay_account_balance", account="acme", currency="EUR"))
        self.daemon.membership = Member(WORKS)
        self.assertEqual(12.5, self.value("relay_account_balance", account="acme", currency="EUR"))

    def test_ended_messages_are_counted_by_carrier_country_and_account(self) -> None:
        self.daemon.ended("tier1", "acme", "44", 5, 2, 1)
        self.daemon.ended("tier1", "quiet", "44", 1, 0)
        labels = {"carrier": "tier1", "country": "44", "account": "acme"}
        for result, count in (("delivered", 5), ("failed", 2), ("unanswered", 1)):
            self.assertEqual(count, self.value("relay_quality_messages_total", result=result, **labels))
        del labels["account"]
        self.assertEqual(0, self.value("relay_quality_receipt_seconds_bucket", le="5.0", **labels))
        self.assertEqual(6, self.value("relay_quality_receipt_seconds_bucket", le="10.0", **labels))
        self.assertEqual(6, self.value("relay_quality_receipt_seconds_count", **labels))
        self.assertEqual(2, self.value("relay_quality_groups"))

    def test_an_avoided_carrier_is_exported_while_it_is_avoided(self) -> None:
        labels = {"carrier": "tier1", "route": "all numbers"}
        self.assertIsNone(self.value("relay_quality_avoided", **labels))
        self.daemon.avoid("tier1")
        self.assertEqual(1, self.value("relay_quality_avoided", **labels))

    def test_a_carrier_is_shown_with_its_window_queue_and_answers(self) -> None:
        link = self.daemon.links["tier1"]
        link.counters.taken, link.counters.throttled = 12, 3
        self.daemon.take(5)
        self.daemon.flow.dispatch(self.daemon.store.accepted)
        self.assertEqual(100, self.value("relay_carrier_window", carrier="tier1"))
        self.assertEqual(5, self.value("relay_carrier_queue", carrier="tier1"))
        self.assertEqual(0, self.value("relay_carrier_up", carrier="tier1"))
        self.assertEqual(2, self.value("relay_carrier_binds_wanted", carrier="tier1"))
        self.assertEqual(12, self.value("relay_carrier_answers_total", carrier="tier1", result="taken"))
        self.assertEqual(3, self.value("relay_carrier_answers_total", carrier="tier1", result="throttled"))

    def test_a_removed_carrier_is_shown_while_it_drains(self) -> None:
        self.assertEqual(0, self.value("relay_carrier_draining", carrier="tier2"))
        self.daemon.store.out["tier2"] = 7
        self.daemon.draining_carriers.begin("tier2", self.daemon.links.pop("tier2"))
        self.assertEqual(1, self.value("relay_carrier_draining", carrier="tier2"))
        self.assertEqual(7, self.value("relay_carrier_receipts_out", carrier="tier2"))
        self.assertEqual(0, self.value("relay_receipts_total", carrier="tier2", outcome="final"))

    def test_a_pause_after_throttling_ends_by_itself(self) -> None:
        self.daemon.links["tier1"].pause(5.0)
        self.assertEqual(1, self.value("relay_carrier_paused", carrier="tier1"))
        self.daemon.clock.advance(5)
        self.assertEqual(0, self.value("relay_carrier_paused", carrier="tier1"))

    def test_receipts_are_counted_by_what_became_of_them(self) -> None:
        self.daemon.links["tier2"].intake.outcomes[Outcome.CONTRADICTING] = 2
        self.assertEqual(2, self.value("relay_receipts_total", carrier="tier2", outcome="contradicting"))
        self.assertEqual(0, self.value("relay_receipts_total", carrier="tier1", outcome="contradicting"))

    def test_messages_that_receipts_ended_are_counted_by_state(self) -> None:
        intake = self.daemon.links["tier1"].intake
        receipts = [receipt(n, state) for n, state in enumerate((DELIVERED, DELIVERED, UNDELIVERABLE, None, SKIPPED))]
        self.assertEqual(5, intake._count(receipts, [Outcome.FINAL] * 5))
        self.assertEqual(1, intake._count(receipts[:3], [Outcome.ORPHAN, Outcome.FINAL, Outcome.REPEATED]))
        for status, count in (("DELIVRD", 3), ("UNDELIV", 1), ("UNKNOWN", 2), ("EXPIRED", 0)):
            self.assertEqual(count, self.value("relay_carrier_ended_total", carrier="tier1", status=status))
        for outcome, count in (("final", 6), ("orphan", 1), ("repeated", 1)):
            self.assertEqual(count, self.value("relay_receipts_total", carrier="tier1", outcome=outcome))

    def test_a_receipt_s_latency_falls_into_a_bucket_of_days(self) -> None:
        self.daemon.links["tier1"].intake.receipt_seconds.observe(100_000.0)
        buckets = [
            float(dict(labels)["le"])
            for (name, labels), value in self.samples().items()
            if name == "relay_receipt_seconds_bucket" and ("carrier", "tier1") in labels and value == 1
        ]
        self.assertEqual(172_800.0, min(buckets))

    def test_the_store_s_figures_are_shown(self) -> None:
        self.daemon.store.shown = StoreFigures(
            messages=9, awaiting_receipt=4, orphans=1, orphans_dropped=5, owed=2, journal_bytes=4096,
            writable=False, reason="disk full", commits=3, committed_batches=7, committed_bytes=700, commit_seconds=0.5,
            ambiguous_receipts=6, evidence={"tier1": 8}, implausible_dates={"tier1": 9},
            commit_buckets=[3] + [0] * len(COMMIT_SECONDS_BOUNDS),
        )  # fmt: skip
        for name, value in {
            "relay_store_messages": 9,
            "relay_store_orphans": 1,
            "relay_store_orphans_dropped_total": 5,
            "relay_store_owed": 2,
            "relay_receipts_ambiguous_total": 6,
            "relay_store_writable": 0,
            "relay_journal_bytes": 4096,
            "relay_journal_batches_total": 7,
            "relay_journal_written_bytes_total": 700,
            "relay_journal_commit_seconds_count": 3,
            "relay_journal_commit_seconds_sum": 0.5,
        }.items():
            self.assertEqual(value, self.value(name), name)
        self.assertEqual(8, self.value("relay_store_evidence", carrier="tier1"))
        self.assertEqual(9, self.value("relay_receipts_implausible_dates_total", carrier="tier1"))
        self.assertEqual(4, self.value("relay_store_messages_by_stage", stage="awaiting_receipt"))

    def test_a_history_says_whether_it_can_be_written_and_how_far_behind_it_is(self) -> None:
        self.assertIsNone(self.value("relay_history_writable"))
        self.daemon.history = SimpleNamespace(reason="the disk is full", behind_bytes=12, lacking_bytes=5)
        for name, value in ("writable", 0), ("behind_bytes", 12), ("lacking_bytes", 5):
            self.assertEqual(value, self.value(f"relay_history_{name}"), name)

    def test_readiness_is_a_gauge(self) -> None:
        self.assertEqual(1, self.value("relay_ready"))
        self.daemon.not_ready = "stopping"
        self.assertEqual(0, self.value("relay_ready"))

    def test_refused_binds_are_counted_by_status_and_not_by_what_was_sent(self) -> None:
        self.daemon.sessions.binds_refused = {ESME_RINVPASWD: 3, ESME_RINVSYSID: 1}
        self.assertEqual(3, self.value("relay_customer_binds_refused_total", status="ESME_RINVPASWD"))

    def test_a_carrier_that_was_taken_away_is_no_longer_shown(self) -> None:
        del self.daemon.links["tier2"]
        self.assertIsNone(self.value("relay_carrier_up", carrier="tier2"))
        self.assertEqual(0, self.value("relay_carrier_up", carrier="tier1"))

    def test_the_number_of_series_depends_on_the_configuration_alone(self) -> None:
        before = set(self.samples())
        for account in ("acme", "quiet"):
            self.daemon.take(100, account=account)
        self.daemon.links["tier1"].counters.last_error = "something new from outside"
        self.assertEqual(before, set(self.samples()))

    def test_every_family_says_what_it_is(self) -> None:
        families = text_string_to_metric_families(self.metrics.exposition().decode())
        self.assertEqual([], [family.name for family in families if not family.documentation])


_NAME = re.compile(r"\b(?:relay|process|python)_[a-z0-9_]+\b")


class ShippedRulesTests(SynchronousTestCase):
    """etc/alerts.yaml and etc/grafana-dashboard.json name only what the daemon exports, with labels that are there."""

    def setUp(self) -> None:
        daemon = OperatedDaemon()
        daemon.sessions.binds_refused = {ESME_RINVPASWD: 1}
        daemon.flow.counters.account("acme").refuse(ESME_RINVSYSID)
        daemon.store.out["tier2"] = 1
        daemon.store.shown = StoreFigures(
            evidence={"tier2": 1}, implausible_dates={"tier2": 1}, failed_over={"tier2": 1}
        )
        daemon.history = SimpleNamespace(reason="", behind_bytes=0, lacking_bytes=0)
        daemon.draining_carriers.begin("tier2", daemon.links.pop("tier2"))
        daemon.membership = Member(WORKS)
        daemon.ended("tier1", "acme", "44", 1, 1)
        daemon.avoid("tier1")
        daemon.tracing = Tracing(TracingSettings())
        account = Account(prices="retail", prepaid=True, quota=Quota(monthly=10), low_balance="20")
        daemon.flow.charging.replace({"acme": account}, {"retail": PriceTable(currency="EUR", by_prefix={"": "1"})})
        text = Metrics(daemon, daemon.clock.seconds).exposition().decode()
        self.labels: dict[str, set[str]] = {"up": {"instance", "job"}}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)

    def check(self, expression: str) -> None:
        for name in _NAME.findall(expression):
            self.assertIn(name, self.labels, expression)
        for name, selector in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
            for label in re.findall(r"([a-z]+)=", selector):
                self.assertIn(label, self.labels[name] | {"instance", "job"}, expression)
        known = set().union(*self.labels.values()) | {"instance", "job", ""}
        for labels in re.findall(r"\bby \(([^)]*)\)", expression):
            for label in re.split(r",\s*", labels):
                self.assertIn(label, known, expression)

    def rules(self) -> list[dict[str, Any]]:
        groups = yaml.safe_load((ETC / "alerts.yaml").read_text())["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def test_every_alert_s_expression_uses_exported_names(self) -> None:
        rules = self.rules()
        self.assertGreater(len(rules), 10)
        for rule in rules:
            self.check(rule["expr"])

    def test_every_alert_says_what_is_wrong_and_what_to_do(self) -> None:
        for rule in self.rules():
            self.assertEqual({"summary", "action"}, set(rule["annotations"]), rule["alert"])
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"))

    def test_every_panel_of_the_dashboard_uses_exported_names(self) -> None:
        expressions = list(_expressions(json.loads((ETC / "grafana-dashboard.json").read_text())))
        self.assertGreater(len(expressions), 20)
        for expression in expressions:
            self.check(expression)

    def test_every_metric_of_the_relay_s_own_is_on_the_dashboard(self) -> None:
        named = set(_NAME.findall((ETC / "grafana-dashboard.json").read_text()))
        own = {re.sub(r"_(bucket|count|sum)$", "", name) for name in self.labels if name.startswith("relay_")}
        shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in named}
        self.assertEqual(set(), own - shown)

    def test_promtool_accepts_the_rules(self) -> None:
        if which("promtool") is None:
            raise SkipTest("promtool is not installed (Debian's package prometheus)")
        done = subprocess.run(
            ["promtool", "check", "rules", str(ETC / "alerts.yaml")], capture_output=True, check=False
        )
        self.assertEqual(0, done.returncode, (done.stdout + done.stderr).decode())


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "expr":
                yield inner
            else:
                yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)
