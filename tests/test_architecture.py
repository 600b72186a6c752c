"""docs/architecture.md has every package, and every file and function that the documentation names exists."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.test_layers import ORDER

ROOT = Path(__file__).resolve().parents[1]
#: The pages of the documentation that somebody writes; configuration.md is generated.
WRITTEN = (
    *(path.name for path in ROOT.glob("*.md") if path.name != "NEWS.md"),
    *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if path.name != "configuration.md"),
    "newsfragments/README.md",
)
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

#: A file and what it defines, as the page writes them: `relay/x/y.py` `Class.method`.
_NAMED = re.compile(r"`(relay/[\w/]+\.py)` `([\w.]+)`")
_FILE = re.compile(r"`(relay/[\w/]+\.py|tests/[\w/]+\.py)`")
_FOLDER = re.compile(r"`(relay/[\w/]+)`")
#: A row of the tables of the two ways that begins a step: its number, then its package.
_STEP = re.compile(r"^\| (\d+) \| (\w+) \|", re.MULTILINE)
#: Any row of these tables: its package, which is empty if it is that of the row above, and its file.
_ROW = re.compile(r"^\| \d* ?\| (\w*) ?\| `relay/(\w+)/", re.MULTILINE)
#: What the pages say of a file or folder of the checkout, whichever it is.
_PATH = re.compile(r"`((?:relay|tests|benchmarks|docs|etc|newsfragments|\.ci)/[\w./-]*)`")
_PYTHON_FILE = re.compile(r"`([\w/]+\.py)`")


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

    def test_every_step_is_in_the_package_of_its_file(self) -> None:
        rows = _ROW.findall(PAGE)
        self.assertGreater(len(rows), 20)
        package = ""
        for named, folder in rows:
            package = named or package
            self.assertEqual(package, folder)

    def test_both_ways_change_the_package_nine_times_at_the_most(self) -> None:
        ways = PAGE.split("## The way of ")[1:3]
        self.assertEqual(len(ways), 2)
        for way in ways:
            # The table for customers with a URL stands for the last steps of the first table.
            steps = _STEP.findall(way.split("For a customer with a notification URL")[0])
            self.assertEqual([int(number) for number, _ in steps], list(range(1, len(steps) + 1)))
            packages = [package for _, package in steps]
            self.assertLessEqual(len(packages) - 1, 9)
            self.assertTrue(all(one != other for one, other in pairwise(packages)), packages)


class OtherPagesTests(SynchronousTestCase):
    def test_every_file_that_a_page_names_exists(self) -> None:
        python_files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/**/*.py")}
        missing = []
        for page in WRITTEN:
            text = (ROOT / page).read_text(encoding="utf-8")
            # PACKAGE, NUMBER and the like stand for a name.
            paths = [path for path in _PATH.findall(text) if not re.search("[A-Z]{2}", path)]
            missing += [(page, path) for path in paths if not (ROOT / path).exists()]
            for name in _PYTHON_FILE.findall(text):
                if not any(path == name or path.endswith(f"/{name}") for path in python_files):
                    missing.append((page, name))
        self.assertEqual(missing, [])

    def test_the_readme_links_to_every_page(self) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")]
        self.assertEqual([page for page in pages if f"({page})" not in readme], [])

    def test_every_yaml_block_of_a_page_can_be_read(self) -> None:
        blocks = 0
        for page in WRITTEN:
            for block in re.findall(r"^```yaml\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S):
                self.assertIsInstance(yaml.safe_load(block), dict, page)
                blocks += 1
        self.assertGreater(blocks, 3)

    def test_every_module_in_the_flame_graph_exists(self) -> None:
        graph = (ROOT / "docs" / "images" / "flame-smpp.svg").read_text(encoding="utf-8")
        named = set(re.findall(r"\((relay/[\w/]+\.py)\)", graph))
        self.assertGreater(len(named), 10)
        self.assertEqual([name for name in sorted(named) if not (ROOT / name).is_file()], [])

    def test_every_link_to_a_page_leads_to_a_file_and_a_heading(self) -> None:
        wrong = []
        for page in WRITTEN:
            text = (ROOT / page).read_text(encoding="utf-8")
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if ":" in target:
                    continue
                name, _, heading = target.partition("#")
                path = (ROOT / page).parent / name if name else ROOT / page
                if not path.exists() or (heading and heading not in anchors(path.read_text(encoding="utf-8"))):
                    wrong.append((page, target))
        self.assertEqual(wrong, [])


def anchors(markdown: str) -> set[str]:
    """The names by which links reach the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
