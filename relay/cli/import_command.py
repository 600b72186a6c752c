"""`python -m relay import FILE`: turns the configuration of Kannel or Jasmin into one of the relay."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from relay import __version__
from relay.cli.check import Checked, checked
from relay.cli.command_parser import CommandParser, command_parser
from relay.config.yaml_writer import yaml_of
from relay.importing.imported import Imported, ImportProblem
from relay.importing.jasmin_import import import_jasmin
from relay.importing.kannel_import import import_kannel

_EPILOG = """\
examples:
  python -m relay import /etc/kannel/kannel.conf >relay.yaml
  python -m relay import /etc/jasmin >relay.yaml
  python -m relay check relay.yaml

The new configuration goes to standard output. What it doesn't have goes to standard error, one line each: the place,
the setting, and what to do instead. It holds the passwords of the old one, so let only the relay's user read it.
Jasmin keeps only digests of its users' passwords: write their API keys and SMPP passwords yourself.

exit status:
  0  the configuration is complete, but for the lines on standard error
  1  FILE can't be read, or `relay check` would refuse the configuration: the reasons are on standard error
  2  wrong use of the command line
"""

#: No configuration is larger. The limit keeps a wrong FILE from filling the memory.
_MOST_BYTES = 16_777_216


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser("import", "Turns the configuration of Kannel or Jasmin into one of the relay.", _EPILOG)
    parser.add_argument("file", metavar="FILE", help="a kannel.conf, or Jasmin's configuration directory")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Writes the configuration that the arguments ask for; the exit status says how it went."""
    file: str = make_parser().parse_args(arguments).file
    try:
        if Path(file).is_dir():
            imported = import_jasmin(partial(_read_below, Path(file)))
        else:
            imported = import_kannel(file, _read_files)
    except ImportProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    text = yaml_text(imported, file)
    found = checked(text, "relay.yaml")
    sys.stdout.write(text)
    print("\n".join([*imported.left_out, *_told(file, imported, found)]), file=sys.stderr)
    return 1 if found.problems else 0


def _told(file: str, imported: Imported, found: Checked) -> list[str]:
    """The last lines on standard error: what `relay check` says, and a summary."""
    if found.problems:
        return [
            *found.problems,
            f"{file}: the configuration is not complete: save it as relay.yaml, and correct the lines that begin with "
            "relay.yaml",
        ]
    notes = [f"relay.yaml: note: {note}" for note in found.notes]
    return [*notes, f"{file}: imported {found.summary}; lines above: {len(imported.left_out) + len(notes)}"]


def yaml_text(imported: Imported, file: str) -> str:
    """Returns the text of the new configuration, for standard output."""
    dumped = yaml_of(imported.tables)
    # A file's name may have any character, also a newline.
    name = ascii(os.path.basename(os.path.abspath(file)))
    return (
        f"# Made of {name} by relay {__version__}. It holds passwords: let only the relay's user read it.\n"
        f"# etc/relay.yaml has every key with its meaning.\n\n{dumped}"
    )


def _read_files(name: str) -> list[tuple[str, str]]:
    """A file's name and text; those of all files if it is a directory."""
    path = Path(name)
    paths = sorted(inner for inner in path.iterdir() if inner.is_file()) if path.is_dir() else [path]
    return [(str(inner), _read(inner)) for inner in paths]


def _read_below(directory: Path, name: str) -> bytes | None:
    """The octets of a file in a directory; None if it isn't there."""
    path = directory / name
    try:
        return _octets(path)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ImportProblem(f"{path}: can't be read: {problem.strerror or problem}") from None


def _octets(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(0, f"it is larger than {_MOST_BYTES} bytes")
    return content


def _read(path: Path) -> str:
    content = _octets(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # Kannel doesn't say in which character set the file is.
        return content.decode("latin-1")
