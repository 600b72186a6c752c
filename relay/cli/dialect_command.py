"""`python -m relay dialect`: finds a carrier's dialect, from pairs on its input or a running relay's orphans."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from relay.cli import dialect_finder
from relay.cli.admin_client import NO_ANSWER, NoAnswer, Refused, add_arguments, ask

_EPILOG = """\
exit status:
  0  a dialect would match, or nothing waits for its message
  1  receipts wait, and no dialect matches them
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def main(arguments: Sequence[str]) -> int:
    """Reads pairs on standard input, or asks a running relay, and prints the settings that fit."""
    if "--orphans" not in arguments:
        # Octets that are no UTF-8 are a text in another alphabet, which no dialect looks at.
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
        return dialect_finder.main(arguments, sys.stdin, sys.stdout)
    parser = argparse.ArgumentParser(
        prog="python -m relay dialect --orphans",
        description="Asks a running relay's admin listener for the receipts that found no message, and says which "
        "dialect would have matched them with the ids that wait for a receipt.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--orphans", action="store_true", required=True, help="ask a running relay")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        review = ask(options, "/receipts")
    except (NoAnswer, Refused) as problem:
        print(problem, file=sys.stderr)
        return NO_ANSWER
    sys.stdout.write(report(review))
    return 1 if review["orphans"] and not review["advice"] else 0


def report(review: Any) -> str:
    """The admin listener's advice about orphans, as YAML with comments."""
    orphans = review["orphans"]
    if not orphans:
        return "# No receipt waits for its message: nothing to find.\n"
    lines = [f"# {len(orphans)} receipts found no message."]
    for advice in review["advice"]:
        lines.append(f"# {advice['matched']} of {advice['tried']} of {advice['carrier']}'s match with this:")
        lines.append(advice["yaml"].rstrip("\n"))
        if advice["presets"]:
            lines.append(f"# These presets have the same settings of ids: {', '.join(advice['presets'])}")
    if not review["advice"]:
        lines.append("# No setting matches them with the ids that wait: did this relay send these messages?")
    return "\n".join(lines) + "\n"
