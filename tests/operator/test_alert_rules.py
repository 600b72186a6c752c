"""The alert rules that compare figures over time, run by Prometheus's own tool on made-up figures."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]

#: Seven days and some hours, a sample each quarter of an hour. Of each carrier: deliveries and failures in each quarter
#: of a week, and then of the hours after it.
WEEK = 700
CARRIERS = {
    "worse": ((90, 10), (40, 60)),
    "steady": ((90, 10), (90, 10)),
    "with little traffic": ((9, 1), (0, 10)),
}


SUMMARY = "{} delivers a much smaller share than in the last week."
ACTION = "Look at its errors in the message records; move its traffic to another carrier if they don't stop."


def series(name: str, carrier: str, before: int, after: int, status: str = "") -> dict[str, str]:
    """A counter that grows by `before` in each quarter of an hour of the week, and by `after` later."""
    labels = f'instance="r",carrier="{carrier}"' + (f',status="{status}"' if status else "")
    first = WEEK * before + after
    return {"series": f"{name}{{{labels}}}", "values": f"0+{before}x{WEEK} {first}+{after}x12"}


class DeliveredShareTests(SynchronousTestCase):
    if shutil.which("promtool") is None:
        skip = "promtool is not installed (Debian's package prometheus)"

    def test_the_alert_fires_for_a_carrier_that_delivers_a_much_smaller_share_than_in_the_last_week(self) -> None:
        figures = [
            series("relay_carrier_ended_total", carrier, before, after, status)
            for carrier, weeks in CARRIERS.items()
            for status, before, after in zip(("DELIVRD", "UNDELIV"), *weeks, strict=True)
        ]
        # Messages that went to another carrier were not delivered by this one.
        figures.append(series("relay_carrier_ended_total", "left", 90, 90, "DELIVRD"))
        figures.append(series("relay_messages_failed_over_total", "left", 10, 80))
        alerts = [
            {
                "exp_labels": {"severity": "ticket", "carrier": carrier, "instance": "r"},
                "exp_annotations": {"summary": SUMMARY.format(carrier), "action": ACTION},
            }
            for carrier in ("worse", "left")
        ]
        expected: list[tuple[str, list[dict[str, dict[str, str]]]]] = [("10400m", []), ("10620m", alerts)]
        test = {
            "interval": "15m",
            "input_series": figures,
            "alert_rule_test": [
                {"eval_time": at, "alertname": "RelayCarrierDeliversLess", "exp_alerts": fired}
                for at, fired in expected
            ],
        }
        run_rules(self, "15m", test)


class LowBalanceTests(SynchronousTestCase):
    if shutil.which("promtool") is None:
        skip = "promtool is not installed (Debian's package prometheus)"

    def test_the_alert_fires_for_accounts_whose_balance_is_below_their_own_limit(self) -> None:
        figures = []
        for account, balance, limit in (("poor", "9.5", "10"), ("rich", "10", "10"), ("free", "-3", "")):
            labels = f'{{instance="r",account="{account}",currency="EUR"}}'
            figures.append({"series": f"relay_account_balance{labels}", "values": f"50 {balance}x9"})
            if limit:
                figures.append({"series": f"relay_account_low_balance{labels}", "values": f"{limit}x10"})
        fired = {
            "exp_labels": {"severity": "ticket", "account": "poor", "currency": "EUR", "instance": "r"},
            "exp_annotations": {
                "summary": "The balance of poor is 9.5 EUR, below its low_balance.",
                "action": "Tell the customer; when they have paid: python -m relay balance.",
            },
        }
        expected: list[tuple[str, list[Any]]] = [("0m", []), ("5m", [fired])]
        test = {
            "interval": "1m",
            "input_series": figures,
            "alert_rule_test": [
                {"eval_time": at, "alertname": "RelayBalanceLow", "exp_alerts": alerts} for at, alerts in expected
            ],
        }
        run_rules(self, "1m", test)


def run_rules(case: SynchronousTestCase, interval: str, test: dict[str, Any]) -> None:
    """Has promtool run the rules on figures, and compares what fires."""
    with tempfile.TemporaryDirectory() as directory:
        # JSON is YAML, too.
        path = Path(directory, "tests.yaml")
        rules = str(ROOT / "etc" / "alerts.yaml")
        path.write_text(json.dumps({"rule_files": [rules], "evaluation_interval": interval, "tests": [test]}))
        done = subprocess.run(["promtool", "test", "rules", path], check=False, capture_output=True, text=True)
    case.assertEqual(done.returncode, 0, done.stdout + done.stderr)
