"""`python -m relay journal DIR`: prints a journal, or repairs a damaged one."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from relay.cli.command_parser import CommandParser, command_parser
from relay.cli.progress import Progress
from relay.store.journal.journal_format import JournalError, dump

_EPILOG = """\
examples:
  python -m relay journal var/relay | jq -c 'select(.record == "Message")'
  python -m relay journal var/relay | wc -l
  python -m relay journal var/relay --repair

You may print a journal while the relay runs. docs/journal.md explains every record. Without --texts, message texts
are left out, and the last digits of numbers are masked.

Use --repair if the relay refuses to start with the journal. Stop the relay first. The command keeps a copy of every
file that it changes, and says what it dropped.

exit status:
  0  printed, or repaired, or nothing to repair
  1  can't be read, is damaged, or can't be repaired: the reason is on standard error
  2  wrong use of the command line
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "journal",
        "Prints a journal, one JSON object a line and record; or repairs a damaged one.",
        _EPILOG,
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="data_dir of the configuration, or its journal/")
    parser.add_argument("--repair", action="store_true", help="drop what is damaged, and keep a copy")
    parser.add_argument("--texts", action="store_true", help="print message texts, and numbers in full")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Prints or repairs the journal that the arguments name."""
    options = make_parser().parse_args(arguments)
    try:
        return _repair(options.directory) if options.repair else _print(options.directory, options.texts)
    except JournalError as problem:
        print(problem.operator_message, file=sys.stderr)
    except OSError as problem:
        if isinstance(problem, BrokenPipeError):
            raise
        print(f"{problem.filename or options.directory}: {problem.strerror or problem}", file=sys.stderr)
    return 1


def _print(directory: Path, texts: bool) -> int:
    encode = msgspec.json.Encoder().encode
    damaged = 0
    write = sys.stdout.buffer.write
    for record in dump(directory, texts=texts):
        write(encode(record) + b"\n")
        if record["record"] == "damaged":
            damaged += 1
            print(
                f"{record['segment']}: damaged at byte {record['offset']}: {record['bytes']} bytes can't be read "
                "(of the newest segment: a crash has torn it, or the running relay is just writing it)",
                file=sys.stderr,
            )
    sys.stdout.buffer.flush()
    return 1 if damaged else 0


def _repair(directory: Path) -> int:
    from relay.store.journal.files import Locked
    from relay.store.journal.repair import repair

    progress: Progress | None = None

    def show(done: int, total: int) -> None:
        nonlocal progress
        progress = progress or Progress("repairing", total, "octets")
        progress.at(done)

    try:
        done = repair(str(directory), progress=show)
    except Locked as lock:
        print(f"{directory}: a relay is running there ({lock}); stop it first", file=sys.stderr)
        return 1
    if progress is not None:
        progress.end()
    print("\n".join(done) if done else f"{directory}: nothing is damaged; nothing was changed")
    return 0
