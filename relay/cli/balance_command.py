"""`python -m relay balance`: shows what an account has used and paid, and tops a prepaid account up."""

import argparse
import secrets
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from relay.cli.admin_client import NoAnswer, add_arguments, ask
from relay.cli.command_parser import CommandParser, command_parser
from relay.cli.text_table import table
from relay.values.amounts import amount_of

_EPILOG: Final = """\
examples:
  python -m relay balance acme
  python -m relay balance acme --add 250.00 --key invoice-2026-117 --reason "paid by bank"
  python -m relay balance acme --add=-12.50 --key correction-4 --reason "counted twice"

A key stands for one payment: if you repeat the command with it, nothing is added a second time. Without --key the
command makes one, and says which if the relay doesn't answer.

exit status:
  0  done
  1  the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    described = (
        "Shows what an account has used and paid. With --add, adds an amount to the balance of a prepaid account."
    )
    parser = command_parser("balance", described, _EPILOG)
    parser.add_argument("account", metavar="ACCOUNT")
    parser.add_argument(
        "--add", metavar="AMOUNT", type=_amount, help="what to add, such as 250.00; below 0 it is a correction"
    )
    parser.add_argument("--key", metavar="TEXT", help="your own name for the payment, so that a repeat does no harm")
    parser.add_argument("--currency", default="", help="refuse if the account's prices are in another currency")
    parser.add_argument("--reason", default="", help="why, for the record of operators' actions")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Shows the balance, or adds to it."""
    options = make_parser().parse_args(arguments)
    path = f"/accounts/{quote(options.account, safe='')}/balance"
    if options.add is None:
        print("\n".join(_lines(ask(options, path))))
        return 0
    key = options.key or secrets.token_hex(8)
    wanted = {"amount": options.add, "key": key, "currency": options.currency, "reason": options.reason}
    try:
        print(ask(options, path, wanted)["done"])
    except NoAnswer as problem:
        raise NoAnswer(f"{problem}\nThe amount may have been added. Repeat the command with --key {key}") from None
    return 0


def _lines(report: Any) -> list[str]:
    lines = []
    if report["prepaid"]:
        lines.append(f"balance     {report['balance']} {report['currency']}")
    elif report["currency"]:
        lines.append(f"balance     none: not prepaid; prices are in {report['currency']}")
    for name, period in (("day", "today"), ("month", "this month")):
        limit, used = report[f"messages_a_{name}"], report["messages_on_day" if name == "day" else "messages_in_month"]
        lines.append(f"{period:<11} {used:,} of {limit:,} messages" if limit else f"{period:<11} {used:,} messages")
    if report["top_ups"]:
        rows = [
            [t["at"], f"{t['amount']} {t['currency']}", t["key"], t["by"], t["reason"]] for t in report["top_ups"][:20]
        ]
        lines += ["", *table([["at", "amount", "key", "by", "reason"], *rows])]
    return lines


def _amount(text: str) -> str:
    try:
        amount_of(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text
