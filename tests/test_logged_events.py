"""docs/logging.md has every event that the code logs, with its fields, and no others."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from relay.app.logging import FORBIDDEN_FIELDS

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "error": "error", "failure": "critical"}
_LOGGERS = {"log", "_log", "logger", "_logger"}
_EVENT = re.compile(r"([a-z][a-z0-9]*(?:_[a-z0-9]+)+): ")
_ROW = re.compile(r"^\| `([a-z0-9_]+)` \| (\w+) \| ([^|]*) \|", re.M)


class Event(NamedTuple):
    name: str
    level: str
    fields: frozenset[str]


class Call(NamedTuple):
    where: str
    event: Event
    keywords: frozenset[str]


def logger_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def calls() -> Iterator[Call]:
    """Every call of a logger in the package."""
    for path in sorted((ROOT / "relay").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and logger_name(node.func.value) in _LOGGERS
            ):
                template = text_of(node.args[0]) if node.args else ""
                found = _EVENT.match(template)
                fields = frozenset(name for _, name, _, _ in Formatter().parse(template) if name)
                yield Call(
                    f"{path.relative_to(ROOT)}:{node.lineno}",
                    Event(found[1] if found else "", LEVELS[node.func.attr], fields),
                    frozenset(keyword.arg or "**" for keyword in node.keywords) - {"failure"},
                )


def documented() -> dict[str, Event]:
    rows = _ROW.findall((ROOT / "docs" / "logging.md").read_text())
    return {name: Event(name, level, frozenset(re.findall(r"`(\w+)`", fields))) for name, level, fields in rows}


class LoggedEventsTests(SynchronousTestCase):
    def test_every_call_begins_with_a_literal_event_name(self) -> None:
        self.assertEqual([], [call.where for call in calls() if not call.event.name])

    def test_every_field_of_a_format_is_given_and_every_given_one_is_in_the_format(self) -> None:
        wrong = [call.where for call in calls() if call.event.name and call.keywords != call.event.fields]
        self.assertEqual([], wrong)

    def test_an_event_name_always_means_the_same(self) -> None:
        known: dict[str, Event] = {}
        for call in calls():
            self.assertEqual(known.setdefault(call.event.name, call.event), call.event, call.where)

    def test_every_event_is_documented_with_its_level_and_fields(self) -> None:
        rows = documented()
        missing = [f"{call.where}: {call.event}" for call in calls() if rows.get(call.event.name) != call.event]
        self.assertEqual([], missing, "docs/logging.md lacks these, or says them otherwise")

    def test_nothing_is_documented_that_is_not_logged(self) -> None:
        self.assertEqual(set(), set(documented()) - {call.event.name for call in calls()})

    def test_no_event_has_a_field_in_which_a_text_or_a_secret_would_stand(self) -> None:
        wrong = [call.where for call in calls() if (call.event.fields | call.keywords) & FORBIDDEN_FIELDS]
        self.assertEqual([], wrong)

    def test_the_events_are_listed_in_alphabetical_order(self) -> None:
        names = [name for name, _, _ in _ROW.findall((ROOT / "docs" / "logging.md").read_text())]
        self.assertEqual(sorted(names), names)
