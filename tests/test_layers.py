"""The four layers: core, edges, services, root. Imports go downward only, and the core knows no world outside."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import HUNG_SECONDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "relay"
LAYERS = {"core": 0, "edges": 1, "services": 2}
TOP = 3

#: What the core may not import: where time, randomness, files, processes, logs and the network come from.
BANNED_IN_CORE = {
    "asyncio", "logging", "multiprocessing", "os", "random", "secrets", "select", "selectors", "signal", "socket",
    "subprocess", "threading", "time", "treq", "twisted", "uuid",
}  # fmt: skip
#: Methods that ask for the time without saying so.
CLOCK_READINGS = {"now", "utcnow", "today"}


def sources(folder: Path = PACKAGE) -> Iterator[tuple[Path, ast.Module]]:
    """Every module below a folder, parsed."""
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it; not what only type checkers see."""
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for branch in node.body
        for inner in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def layer_of(module: str) -> int:
    """0 for relay.core... and what relay/__init__.py holds, 3 for relay.tap and its like."""
    if module.rpartition(".")[2].startswith("__version"):
        return LAYERS["core"]
    return LAYERS.get(module.split(".")[1] if "." in module else "", TOP)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


class LayersTests(SynchronousTestCase):
    def test_imports_go_downward_only(self) -> None:
        upward = [
            f"{where(path, line)} imports {name}"
            for path, tree in sources()
            for line, name in imports(tree)
            if name.startswith("relay.")
            and layer_of(name) > layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        ]
        self.assertEqual(upward, [])

    def test_only_the_root_imports_the_reactor(self) -> None:
        importers = {
            str(path.relative_to(ROOT))
            for path, tree in sources()
            for _, name in imports(tree)
            if name.startswith("twisted.internet.reactor")
        }
        self.assertEqual(importers, {"relay/tap.py"})


class CoreTests(SynchronousTestCase):
    def test_the_core_imports_nothing_that_reaches_outside(self) -> None:
        found = [
            f"{where(path, line)} imports {name}"
            for path, tree in sources(PACKAGE / "core")
            for line, name in imports(tree)
            if name.split(".")[0] in BANNED_IN_CORE
        ]
        self.assertEqual(found, [])

    def test_the_core_asks_no_clock(self) -> None:
        found = [
            f"{where(path, node.lineno)}: {ast.unparse(node)}"
            for path, tree in sources(PACKAGE / "core")
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CLOCK_READINGS
            and ast.unparse(node.func.value).rpartition(".")[2] in ("datetime", "date")
        ]
        self.assertEqual(found, [])

    def test_the_core_opens_no_files(self) -> None:
        found = [
            f"{where(path, node.lineno)}: {ast.unparse(node)}"
            for path, tree in sources(PACKAGE / "core")
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print")
        ]
        self.assertEqual(found, [])

    def test_importing_the_core_brings_in_no_twisted(self) -> None:
        modules = [
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for path in sorted((PACKAGE / "core").rglob("*.py"))
        ]
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
