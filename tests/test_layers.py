"""The order of the packages: imports go one way only, and the pure packages import nothing that reaches outside."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import HUNG_SECONDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "relay"

#: A package may import those that stand before it, and itself. Modules at the top may import everything.
ORDER = (
    "values",
    "runtime",
    "smpp",
    "text",
    "config",
    "receipts",
    "store",
    "tracing",
    "cluster",
    "accounts",
    "history",
    "webhooks",
    "decisions",
    "charging",
    "routing",
    "quality",
    "carriers",
    "customers",
    "http",
    "account_pages",
    "operator",
    "simulator",
    "importing",
    "app",
    "cli",
)

#: Packages and modules that import no Twisted, no clock and no randomness, and open no file.
PURE = (
    "relay.values",
    "relay.text",
    "relay.config",
    "relay.receipts",
    "relay.quality.delivery_quality",
    "relay.quality.quality_rules",
    "relay.store.api",
    "relay.store.store_values",
    "relay.store.table",
    "relay.store.journal.journal_format",
    "relay.store.postgresql.log_schema",
    "relay.smpp.framing",
    "relay.smpp.lifecycle",
    "relay.smpp.liveness",
    "relay.smpp.message_codec",
    "relay.smpp.other_codec",
    "relay.smpp.outgoing",
    "relay.smpp.rules",
    "relay.smpp.session",
    "relay.smpp.times",
    "relay.smpp.window",
    "relay.accounts.account_settings",
    "relay.accounts.signing",
    "relay.account_pages.charts",
    "relay.account_pages.delivery_stats",
    "relay.charging",
    "relay.cluster.cluster_config",
    "relay.cluster.lease",
    "relay.app.config_checks",
    "relay.app.charging_checks",
    "relay.app.load_config",
    "relay.app.cluster_checks",
    "relay.carriers.api_adapter",
    "relay.carriers.api_presets",
    "relay.carriers.api_receipts",
    "relay.carriers.link_state",
    "relay.carriers.read_again",
    "relay.carriers.relay_api",
    "relay.carriers.submit_results",
    "relay.decisions.decision_cache",
    "relay.decisions.decision_format",
    "relay.history.history_entries",
    "relay.history.history_events",
    "relay.history.record_line",
    "relay.importing",
    "relay.operator.time_line",
    "relay.app.route_checks",
    "relay.routing.cancelled",
    "relay.routing.carrier_order",
    "relay.routing.explanation",
    "relay.routing.hours",
    "relay.routing.inbound_rules",
    "relay.routing.number_lists",
    "relay.config.prefix_table",
    "relay.routing.routes",
    "relay.runtime.fair_share",
    "relay.tracing.spans",
    "relay.tracing.tracing",
    "relay.runtime.proxy_header",
    "relay.simulator.decisions",
    "relay.webhooks.answer",
    "relay.webhooks.body",
    "relay.webhooks.callbacks",
    "relay.webhooks.circuit_breaker",
    "relay.webhooks.inbound_request",
    "relay.webhooks.request",
    "relay.webhooks.schedule",
)

#: What pure code may not import: where time, randomness, files, processes, logs and the network come from.
BANNED_IN_PURE = {
    "asyncio", "logging", "multiprocessing", "os", "random", "secrets", "select", "selectors", "signal", "socket",
    "subprocess", "threading", "time", "treq", "twisted", "uuid",
}  # fmt: skip
#: Methods that ask for the time without saying so.
CLOCK_READINGS = {"now", "utcnow", "today"}


def sources() -> Iterator[tuple[str, Path, ast.Module]]:
    """Every module of the relay: its full name, its file, and its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_pure(name: str) -> bool:
    return any(name == pure or name.startswith(f"{pure}.") for pure in PURE)


def pure_sources() -> Iterator[tuple[str, Path, ast.Module]]:
    return ((name, path, tree) for name, path, tree in sources() if is_pure(name))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it, also for type checkers only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def place_of(module: str) -> int:
    """Where a module's package stands in the order; modules at the top of relay/ come last."""
    if module.rpartition(".")[2].startswith("__version"):
        return -1
    parts = module.split(".")
    package = parts[1] if len(parts) > 1 else ""
    return ORDER.index(package) if package in ORDER else len(ORDER)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def imported_modules() -> dict[str, set[str]]:
    """By module: the relay's own modules that it imports."""
    trees = {name: tree for name, _, tree in sources()}
    return {
        name: {
            module
            for _, full in imports(tree)
            for module in ([full] if full in trees else [full.rpartition(".")[0]])
            if module in trees and module not in (name, "relay")
        }
        for name, tree in trees.items()
    }


class OrderTests(SynchronousTestCase):
    def test_every_package_has_a_place_in_the_order(self) -> None:
        packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
        self.assertEqual(packages, set(ORDER))

    def test_a_package_imports_only_packages_that_stand_before_it(self) -> None:
        wrong = [
            f"{where(path, line)} imports {full}"
            for name, path, tree in sources()
            for line, full in imports(tree)
            if full.startswith("relay.") and place_of(full) > place_of(name)
        ]
        self.assertEqual(wrong, [])

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        left = imported_modules()
        # Whoever imports nothing that is left can't be in a circle.
        while free := {name for name, uses in left.items() if not uses & left.keys()}:
            left = {name: uses for name, uses in left.items() if name not in free}
        self.assertEqual({name: sorted(uses & left.keys()) for name, uses in left.items()}, {})

    def test_no_import_is_hidden_behind_type_checking(self) -> None:
        hidden = [str(path.relative_to(ROOT)) for _, path, _ in sources() if "TYPE_CHECKING" in path.read_text("utf-8")]
        self.assertEqual(hidden, [])

    def test_no_name_stands_for_two_modules(self) -> None:
        names = Counter(name.rpartition(".")[2] for name, path, _ in sources() if path.name != "__init__.py")
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_only_the_root_imports_the_reactor(self) -> None:
        importers = {
            str(path.relative_to(ROOT))
            for _, path, tree in sources()
            for _, full in imports(tree)
            if full.startswith("twisted.internet.reactor")
        }
        self.assertEqual(importers, {"relay/tap.py"})


class PureTests(SynchronousTestCase):
    def test_every_name_in_the_list_of_pure_code_exists(self) -> None:
        names = {name for name, _, _ in sources()}
        self.assertEqual([name for name in PURE if name not in names], [])

    def test_pure_code_imports_nothing_that_reaches_outside(self) -> None:
        found = [
            f"{where(path, line)} imports {full}"
            for _, path, tree in pure_sources()
            for line, full in imports(tree)
            if full.split(".")[0] in BANNED_IN_PURE
        ]
        self.assertEqual(found, [])

    def test_pure_code_asks_no_clock(self) -> None:
        found = [
            f"{where(path, node.lineno)}: {ast.unparse(node)}"
            for _, path, tree in pure_sources()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CLOCK_READINGS
            and ast.unparse(node.func.value).rpartition(".")[2] in ("datetime", "date")
        ]
        self.assertEqual(found, [])

    def test_pure_code_opens_no_files(self) -> None:
        found = [
            f"{where(path, node.lineno)}: {ast.unparse(node)}"
            for _, path, tree in pure_sources()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print")
        ]
        self.assertEqual(found, [])

    def test_importing_pure_code_brings_in_no_twisted(self) -> None:
        modules = [name for name, _, _ in pure_sources()]
        # One process for all: the first module after which Twisted is there is the one that brought it.
        script = (
            "import importlib, sys\n"
            "for name in sys.argv[1:]:\n"
            "    importlib.import_module(name)\n"
            "    brought = [m for m in sys.modules if m.partition('.')[0] in ('twisted', 'treq', 'asyncio')]\n"
            "    if brought: sys.exit(f'{name} brings in {brought[0]}')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *modules],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertGreater(len(modules), 10)
