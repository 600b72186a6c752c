"""Every public module and class says in its first line what it is for, so that hover help is never empty."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
#: It begins with a capital letter or a name in backticks, and ends in the same line.
SENTENCE = re.compile(r"[A-Z0-9`].* .*[.:?]")


def documented() -> Iterator[tuple[str, ast.Module | ast.ClassDef]]:
    """The modules and public classes under relay/, each with its place in the source."""
    for path in sorted((ROOT / "relay").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        place = str(path.relative_to(ROOT))
        if module.body:
            yield place, module
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield f"{place}:{node.lineno} {node.name}", node


class DocstringTests(SynchronousTestCase):
    def test_the_first_line_of_every_module_and_public_class_is_a_sentence(self) -> None:
        first_lines = {place: (ast.get_docstring(node) or "").partition("\n")[0] for place, node in documented()}
        self.assertGreater(len(first_lines), 300)
        self.assertEqual([], [place for place, line in first_lines.items() if not SENTENCE.fullmatch(line)])

    def test_no_docstring_only_sends_the_reader_to_the_module(self) -> None:
        elsewhere = [place for place, node in documented() if "See the module" in (ast.get_docstring(node) or "")]
        self.assertEqual([], elsewhere)
