"""The glossary has one meaning for one term."""

import re
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.documented import ROOT


class GlossaryTests(SynchronousTestCase):
    def test_each_term_is_defined_once_and_has_a_meaning(self) -> None:
        text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (?!term \||--- \|)(.*?) \| (.*) \|$", text, re.M)
        self.assertEqual(len(rows), len(re.findall(r"^\|", text, re.M)) - 2 * text.count("| term | meaning |"))
        terms = Counter(term.lower() for names, _ in rows for term in re.sub(r" \(.*\)", "", names).split(", "))
        self.assertEqual([term for term, times in terms.items() if times > 1], [])
        self.assertEqual([names for names, meaning in rows if len(meaning) < 10], [])
