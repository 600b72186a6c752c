"""Finds the shell commands of the documentation: in blocks, and within sentences."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "SECURITY.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)

#: What a command may begin with that this machine need not have.
_PROGRAMS = frozenset(
    {"adduser", "apt-get", "curl", "install", "journalctl", "kill", "make", "openssl", "pip", "podman", "promtool",
     "python", "python3", "relay", "systemctl", "twist", "twistd"}
)  # fmt: skip


class Command(NamedTuple):
    """A command as a reader would type it.

    :ivar page: a page at the top of the checkout, or docs/NAME.md.
    """

    page: str
    text: str


def commands() -> list[Command]:
    """Every command of every page, in their order; each once a page."""
    found: dict[Command, None] = {}
    for page in PAGES:
        for text in commands_of((ROOT / page).read_text(encoding="utf-8")):
            found[Command(page, text)] = None
    return list(found)


def commands_of(markdown: str) -> list[str]:
    """The commands of one page: fenced blocks of sh (whole, for they share variables), indented lines, and what stands
    between backticks in a sentence."""
    found: list[str] = []
    fences = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
    found += [match[2].strip() for match in fences.finditer(markdown) if match[1] == "sh"]
    rest = fences.sub("", markdown)
    blocks = re.sub(r"\\\n +", "", rest)
    found += [_typed(line) for line in re.findall(r"^ {4,}(\S.*)$", blocks, re.M) if _is_command(_typed(line))]
    found += [text for text in re.findall(r"`([^`\n]+)`", rest) if " " in text and _is_command(text)]
    return found


def _typed(line: str) -> str:
    """Without the prompt, and without the remark behind it."""
    return re.sub(r" {2,}#.*$", "", line.removeprefix("$ ")).strip()


def _is_command(text: str) -> bool:
    first = text.split()[0]
    if "/" in first:
        return first.startswith(("/opt/relay/bin/", ".venv/bin/", ".ci/", "./"))
    return first in _PROGRAMS or (first.islower() and first.isalpha() and shutil.which(first) is not None)
