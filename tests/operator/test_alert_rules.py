"""The alert rules that compare figures over time, run by Prometheus's own tool on made-up figures."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

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
        with tempfile.TemporaryDirectory() as directory:
            # JSON is YAML, too.
            path = Path(directory, "tests.yaml")
            rules = str(ROOT / "etc" / "alerts.yaml")
            path.write_text(json.dumps({"rule_files": [rules], "evaluation_interval": "15m", "tests": [test]}))
            done = subprocess.run(["promtool", "test", "rules", path], check=False, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
