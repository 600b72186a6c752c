"""docs/architecture.md names every package, and every file and function that it names exists."""

import ast
import re
from itertools import pairwise
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.test_layers import ORDER

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

#: A file and what it defines, as the page writes them: `relay/x/y.py` `Class.method`.
_NAMED = re.compile(r"`(relay/[\w/]+\.py)` `([\w.]+)`")
_FILE = re.compile(r"`(relay/[\w/]+\.py|tests/[\w/]+\.py)`")
_FOLDER = re.compile(r"`(relay/[\w/]+)`")
#: A row of the tables of the two ways that begins a step: its number, then its package.
_STEP = re.compile(r"^\| (\d+) \| (\w+) \|", re.MULTILINE)


def methods_of(trees: dict[str, ast.ClassDef], node: ast.ClassDef) -> set[str]:
    """The names of a class's methods, with those of its bases in the same module."""
    names = {inner.name for inner in node.body if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in trees:
            names |= methods_of(trees, trees[base.id])
    return names


def defined_in(path: Path) -> set[str]:
    """The classes, functions and methods of a file: `Class`, `Class.method`, `function`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    methods = {f"{name}.{method}" for name, node in classes.items() for method in methods_of(classes, node)}
    return {*classes, *functions, *methods}


class ArchitecturePageTests(SynchronousTestCase):
    def test_it_has_a_row_for_every_package_in_the_order_of_imports(self) -> None:
        table = PAGE[PAGE.index("## Packages") : PAGE.index("## Four rules")]
        named = [row.removeprefix("relay/") for row in re.findall(r"^\| `(relay/\w+)` \|", table, re.MULTILINE)]
        self.assertEqual(named, list(ORDER))

    def test_every_file_that_it_names_exists(self) -> None:
        missing = [name for name in _FILE.findall(PAGE) if not (ROOT / name).is_file()]
        missing += [name for name in _FOLDER.findall(PAGE) if not (ROOT / name).is_dir()]
        self.assertEqual(missing, [])

    def test_every_function_that_it_names_is_in_its_file(self) -> None:
        named = _NAMED.findall(PAGE)
        self.assertGreater(len(named), 30)
        wrong = [f"{name} is not in {file}" for file, name in named if name not in defined_in(ROOT / file)]
        self.assertEqual(wrong, [])

    def test_both_ways_change_the_package_nine_times_at_the_most(self) -> None:
        ways = PAGE.split("## The way of ")[1:3]
        self.assertEqual(len(ways), 2)
        for way in ways:
            steps = _STEP.findall(way)
            self.assertEqual([int(number) for number, _ in steps], list(range(1, len(steps) + 1)))
            packages = [package for _, package in steps]
            self.assertLessEqual(len(packages) - 1, 9)
            self.assertTrue(all(one != other for one, other in pairwise(packages)), packages)
