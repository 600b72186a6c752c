"""docs/migration.md names every parameter, escape and call of Kannel's and Jasmin's interfaces that the code knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.config.account_config import Account
from relay.http.migration.jasmin_message import FIELD_NAMES
from relay.values.secret import Secret
from relay.webhooks import callbacks
from tests.http.http_driver import KEY, HttpDriver

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
MIGRATION = ROOT / "relay" / "http" / "migration"

#: What reads a field, by its name in the code.
_READERS = {"text_of", "_number", "get"}


def first_cells(heading: str) -> list[str]:
    """The first column of the tables below a heading, without the tables' heads."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def texts(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def fields_read(path: Path) -> set[str]:
    """The names of the fields that a module of Kannel's interface reads."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in _READERS and node.args:
                found |= set(texts(node.args[0 if called == "get" else 1]))
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "fields":
            found |= set(texts(node.slice))
    return found


class MigrationPageTests(SynchronousTestCase):
    def test_every_parameter_of_kannels_has_a_row_and_every_row_is_read(self) -> None:
        read = fields_read(MIGRATION / "kannel.py") | fields_read(MIGRATION / "kannel_message.py")
        self.assertGreater(len(read), 20)
        rows = {
            name for cell in first_cells("Kannel's sendsms") for name in names(cell) if re.fullmatch("[a-z-]+", name)
        }
        # `smsc` is only logged: its name stands in a list.
        self.assertEqual(rows, read | {"smsc"})

    def test_every_parameter_of_jasmins_has_a_row(self) -> None:
        rows = {
            name for cell in first_cells("Jasmin's /send") for name in names(cell) if re.fullmatch("[a-z_-]+", name)
        }
        self.assertEqual(rows, set(FIELD_NAMES))

    def test_every_escape_of_a_dlr_url_has_a_row(self) -> None:
        rows = [name for cell in first_cells("Kannel's callbacks") for name in names(cell)]
        source = Path(callbacks.__file__).read_text(encoding="utf-8")
        known = set(re.findall(r'^        "(\w)": ', source, re.MULTILINE)) | set("sSr") | set("BDfuvV")
        self.assertEqual({row[1] for row in rows if len(row) == 2}, known | {"%"})
        self.assertIn("%#group#name#", rows)

    def test_every_call_of_jasmins_that_is_named_is_answered(self) -> None:
        http = HttpDriver({"acme": Account(api_key=Secret(KEY))}, kannel=True, jasmin=True)
        calls = [name for cell in first_cells("Jasmin's other calls") for name in names(cell)]
        self.assertGreater(len(calls), 6)
        for call in calls:
            statuses = {http.ask(method, call, {}).status for method in ("GET", "POST")}
            self.assertEqual(404 in statuses, call == "/metrics", call)
