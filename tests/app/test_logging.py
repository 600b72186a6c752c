"""Log lines: one line per event, with a stable name, and nothing in it that a peer could forge."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import Application, MultiService
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relay.app.logging import LineObserver, LoggedService, observer
from relay.config.daemon_config import Logs
from relay.values.masking import masked


class LoggedServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []

    def test_the_application_logs_through_the_relay_s_observer(self) -> None:
        line_observer = LineObserver(self.lines.append, Logs())
        application = Application("relay")
        LoggedService(line_observer).setServiceParent(application)
        self.assertIs(line_observer, application.getComponent(ILogObserver))

    def test_under_another_service_nothing_is_changed(self) -> None:
        parent = MultiService()
        service = LoggedService(LineObserver(self.lines.append, Logs()))
        service.setServiceParent(parent)
        self.assertEqual([service], list(parent))


class LineObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []

    def logger(self, **settings: Any) -> Logger:
        return Logger("relay.tests", observer=LineObserver(self.lines.append, Logs(**settings)))

    def json(self) -> dict[str, Any]:
        [line] = self.lines
        value: dict[str, Any] = json.loads(line)
        return value

    def test_a_text_line_has_time_level_name_and_sentence(self) -> None:
        self.logger().warn("carrier_lost: a connection to {carrier} ended: {reason}", carrier="tier1", reason="reset")
        [line] = self.lines
        self.assertRegex(
            line,
            r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 warn carrier_lost: a connection to tier1 ended: reset\n\Z",
        )

    def test_a_json_line_has_the_fields_by_name_and_type(self) -> None:
        self.logger(format="json").info("carrier_bound: {carrier} is bound ({bound} of {wanted})",
                                        carrier="tier1", bound=1, wanted=2)  # fmt: skip
        line = self.json()
        del line["at"]
        self.assertEqual(
            {"level": "info", "event": "carrier_bound", "text": "tier1 is bound (1 of 2)", "carrier": "tier1",
             "bound": 1, "wanted": 2},
            line,
        )  # fmt: skip

    def test_fields_that_the_format_does_not_name_are_left_out(self) -> None:
        self.logger(format="json").info("carrier_bound: {carrier} is bound", carrier="tier1", secret="hush")
        self.assertNotIn("hush", self.lines[0])

    def test_the_last_two_digits_of_numbers_are_masked(self) -> None:
        self.logger(format="json").info("number_seen: to {to}", to=b"447700900123")
        self.assertEqual(("4477009001xx", "to 4477009001xx"), (self.json()["to"], self.json()["text"]))

    def test_phone_numbers_are_logged_in_full_if_log_numbers_is_set(self) -> None:
        self.logger(log_numbers=True).info("number_seen: to {to}", to="447700900123")
        self.assertIn("to 447700900123", self.lines[0])

    def test_masking_leaves_characters_that_are_no_digits(self) -> None:
        given_and_masked = {"+4477009001": "+44770090xx", "7": "x", "1 2": "x x", "INFO": "INFO", "": "", "12-": "xx-"}
        self.assertEqual(given_and_masked, {number: masked(number) for number in given_and_masked})

    @given(st.text())
    def test_a_masked_number_has_lost_exactly_its_last_two_digits(self, number: str) -> None:
        result = masked(number)
        self.assertEqual(len(number), len(result))
        digits = [index for index, character in enumerate(number) if character.isdecimal()]
        for index in range(len(number)):
            self.assertEqual("x" if index in digits[-2:] else number[index], result[index])

    @given(st.text(), st.sampled_from(["text", "json"]))
    def test_text_from_a_peer_stays_in_one_line(self, sent: str, format: str) -> None:
        self.lines.clear()
        self.logger(format=format).info("customer_bind_refused: {system_id}", system_id=sent)
        [line] = self.lines
        self.assertEqual(1, len(line.splitlines()))

    def test_braces_in_what_a_peer_sends_are_not_read_as_fields(self) -> None:
        self.logger().info("customer_bind_refused: {system_id}", system_id="{log_source}")
        self.assertIn("customer_bind_refused: {log_source}\n", self.lines[0])

    def test_a_long_field_is_cut(self) -> None:
        self.logger().info("customer_bind_refused: {system_id}", system_id="x" * 70_000)
        self.assertLess(len(self.lines[0]), 700)

    def test_a_failure_brings_its_traceback_in_the_same_line(self) -> None:
        for format in ("text", "json"):
            self.lines.clear()
            try:
                raise RuntimeError("no\nluck")
            except RuntimeError:
                self.logger(format=format).failure("task_failed: an operation failed", failure=Failure())
            [line] = self.lines
            self.assertEqual(1, line.count("\n"))
            self.assertIn("task_failed", line)
            self.assertIn("RuntimeError", line)

    def test_events_of_libraries_have_the_name_library(self) -> None:
        self.logger(format="json").warn("Can't resolve {name}", name="example")
        self.assertEqual(
            ("library", "Can't resolve example", "relay.tests"),
            (self.json()["event"], self.json()["text"], self.json()["from"]),
        )

    def test_info_lines_of_libraries_are_left_out(self) -> None:
        self.logger().info("Starting factory {factory}", factory="<Factory>")
        self.assertEqual([], self.lines)

    def test_printed_lines_stay_as_they_are_in_text_and_are_events_in_json(self) -> None:
        for logs, expected in (
            (Logs(format="text"), "curl -u demo\n"),
            (Logs(format="json"), '"text":"curl -u demo"'),
        ):
            self.lines.clear()
            line_observer = LineObserver(self.lines.append, logs)
            line_observer({"log_namespace": "stdout", "log_io": "curl -u demo", "log_format": "{log_io}"})
            self.assertIn(expected, self.lines[0])

    def test_an_event_that_can_not_be_written_is_logged_as_such(self) -> None:
        class Awkward:
            def __str__(self) -> str:
                raise RuntimeError("no")

        self.logger().info("task_failed: {what}", what=Awkward())
        self.assertEqual(["log_line_failed: relay.tests: RuntimeError\n"], self.lines)

    def test_a_reload_changes_the_format(self) -> None:
        line_observer = LineObserver(self.lines.append, Logs())
        line_observer.reconfigure(Logs(format="json"))
        Logger("x", observer=line_observer).info("relay_ready: taking messages")
        self.assertEqual("relay_ready", self.json()["event"])

    def test_lines_go_to_a_file_at_once(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "relay.log"
            log = Logger("x", observer=observer(Logs(), str(path)))
            log.info("relay_ready: taking messages")
            self.assertIn("relay_ready: taking messages\n", path.read_text())
