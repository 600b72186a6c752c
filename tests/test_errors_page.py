"""docs/errors.md has every error that a customer can get, with its right number."""

import re

from twisted.trial.unittest import SynchronousTestCase

from relay.http.problems import PROBLEM_KINDS, STATUS_MEANINGS, kind_of_status
from relay.values import smpp_constants
from tests.documented import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "errors.md").read_text(encoding="utf-8")
#: What the relay answers carriers only, or customers' programs answer the relay; and the answer that is no error.
NOT_FOR_CUSTOMERS = {"ESME_ROK", "ESME_RX_T_APPN", "ESME_RX_P_APPN", "ESME_RX_R_APPN"}


def section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}")[1].split("\n## ")[0]


class ErrorsPageTests(SynchronousTestCase):
    def test_every_final_state_has_the_row_of_the_readme(self) -> None:
        readme = section((ROOT / "README.md").read_text(encoding="utf-8"), "What a notification says")
        states = re.findall(r"\| (\w+) \| [\w-]+ \| (\d+) \|", readme)
        rows = re.findall(r"^\| (\w+) \| (\d+) \|", section(PAGE, "The message was accepted"), re.M)
        self.assertEqual(len(states), 6)
        # Error 002 is the only other one.
        self.assertEqual(set(rows), {*states, ("DELIVRD", "002")})

    def test_every_kind_of_problem_has_a_row_with_its_status(self) -> None:
        rows = re.findall(r"^\| (\d+) \| (.+?) \|", section(PAGE, "The HTTP API refused"), re.M)
        kinds = {kind: int(status) for status, cell in rows for kind in re.findall(r"`([\w-]+)`", cell)}
        by_status = {kind_of_status(status): status for status in STATUS_MEANINGS}
        self.assertEqual(set(kinds), {*PROBLEM_KINDS, *by_status})
        self.assertEqual({kind: kinds[kind] for kind in by_status}, by_status)

    def test_every_smpp_status_of_the_page_about_smpp_has_a_row_with_its_number(self) -> None:
        smpp = (DOCS / "smpp.md").read_text(encoding="utf-8")
        named = {*re.findall(r"ESME_\w+", section(smpp, "Framing") + section(smpp, "Customers: we are the SMSC"))}
        rows = re.findall(r"^\| (ESME_.+?) \| (.+?) \|", section(PAGE, "The SMPP server refused"), re.M)
        numbers = {
            name: int(number, 16)
            for names, cells in rows
            for name, number in zip(names.split(", "), cells.split(", "), strict=True)
        }
        self.assertEqual(set(numbers), named - NOT_FOR_CUSTOMERS)
        self.assertEqual(numbers, {name: getattr(smpp_constants, name) for name in numbers})
