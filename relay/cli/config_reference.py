"""Writes docs/configuration.md and etc/relay.yaml from the configuration's types, so that both agree with them.

`python -m relay.cli.config_reference` prints the reference; `--sample` the sample; `--write` writes both files (in a
checkout). A test fails if either file differs from the types.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from relay.cli.config_examples import EXAMPLES, Example
from relay.cli.config_recipes import RECIPES
from relay.config.model import Config
from relay.config.schema import Key, describe, expectation, first_sentence, keys, plain, struct_type
from relay.values.secret import Secret

REFERENCE_FILE: Final = "docs/configuration.md"
SAMPLE_FILE: Final = "etc/relay.yaml"
_WIDTH: Final = 110

_INTRODUCTION = """\
# Configuration

<!-- Written by `make docs` from the types in relay/config/*_config.py. Change those, not this page. -->

The relay reads one YAML file: `twistd -n relay --config etc/relay.yaml`. [etc/relay.yaml](../etc/relay.yaml) is a
sample with every key in it. `python -m relay check FILE` lists everything that is wrong with a file, one problem a
line, with the line and the key:

    etc/relay.yaml:31: carriers.tier1.window: expected an integer from 1 to 10000, got 'ten'

The relay doesn't start with a file that has a problem. Unknown keys, and keys that are given twice, are problems.

## How values are written

* A key that is left out has its default. So has an empty table or list.
* `${NAME}` anywhere in a value stands for the environment variable NAME, which must be set. `$${` is a plain `${`.
* `{file: PATH}` instead of a value stands for the text of that file, without the newline at its end. PATH is relative
  to the directory in which the relay was started.
* Text needs quotes in three cases: it begins with a character such as `* & ! % @ # { [`, it contains `: ` or ` #`, or
  it is a `${NAME}` within `{ }`. A key that wants text takes `12` or `on` as text, too.
* Write numbers as `1000000`, `1_000_000` or `1e6`, integers also as `0x34`. Write `true` or `false` (or `on`, `yes`,
  `off`, `no`).
* `<<: *name` copies the keys of a table that was marked with `&name` earlier.
* The end of a duration's key is its unit. Sizes are in bytes.
* NAME on this page is a name that you choose for an account or a carrier: letters, digits and `. _ + @ -`.

## What else is refused

* A listener that other machines can reach, together with a key or password that begins with `demo`, with
  `demo.receiver`, or, on the admin listener, without a password.
* Two accounts with one API key or one SMPP system_id; an empty key or password.
* A route to a carrier or from an account that doesn't exist, two routes for the same messages, and a route that no
  message can take, because others take all that it is for.
"""

_SAMPLE_HEAD = """\
# A sample with every key of the configuration, its meaning and its default.
# Written by `make docs` from the types in relay/config/*_config.py.
#
# A key that is left out has its default, so a real file is short: see etc/demo.yaml. Copy only what you change.
# ${NAME} stands for an environment variable, {file: PATH} for the text of a file.
# Check a file: python -m relay check FILE          Start: twistd -n relay --config FILE
"""

_RECIPES_HEAD = """\
# What routes, accounts and carriers can do, in short. Take the "# " away, and merge the lines with yours: a file
# has each key once."""


# Values, as YAML


def written(value: Any) -> str:
    """Writes a default as in the file."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
        case Secret():
            return '""'
        case str():
            bare = value and value[0].isalnum() and all(letter.isalnum() or letter in "_-+./" for letter in value)
            return value if bare and not value.replace(".", "").isdigit() else '"' + value.replace('"', '\\"') + '"'
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{written(name)}: {written(item)}" for name, item in value.items()) + "}"
    raise TypeError(f"no way to write {value!r}")


def _default_in_words(field: inspect.Field) -> str:
    if field.required:
        return "required"
    factory = field.default_factory
    value = factory() if factory is not msgspec.NODEFAULT else field.default
    return written(value) or "none"


# The reference


def reference() -> str:
    """The text of docs/configuration.md."""
    lines = [_INTRODUCTION, "## The top of the file", "", *_rows(struct_type(Config))]
    for key in keys():
        if key.table is None:
            continue
        opened = plain(key.field.type)
        name = key.dotted
        if isinstance(opened, inspect.DictType):
            name += ".NAME"
        elif isinstance(opened, inspect.ListType):
            name += "[]"
        lines += ["", f"## {name}", "", _described(key), "", *_rows(struct_type(key.table))]
    return "\n".join(lines) + "\n"


def _described(key: Key) -> str:
    assert key.table is not None
    sentences = [first_sentence(key.table), describe(key.field.type)]
    if plain(key.field.type) is not None and key.default is None:
        sentences.append("Left out by default.")
    return " ".join(dict.fromkeys(filter(None, sentences)))


def _rows(table: inspect.StructType) -> Iterator[str]:
    """The keys of one table. Keys that open tables have sections of their own."""
    fields = [field for field in table.fields if not _opens_table(field.type)]
    if not fields:
        return
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for field in fields:
        cells = (f"`{field.name}`", _expected(field.type), _cell(_default_in_words(field)), describe(field.type))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _expected(kind: inspect.Type) -> str:
    return expectation(kind).removeprefix("an ").removeprefix("a ")


def _cell(default: str) -> str:
    return default if default in ("required", "none") else f"`{default}`"


def _opens_table(kind: inspect.Type) -> bool:
    kind = plain(kind)
    if isinstance(kind, inspect.DictType):
        kind = plain(kind.value_type)
    elif isinstance(kind, inspect.ListType):
        kind = plain(kind.item_type)
    return isinstance(kind, inspect.StructType)


# The sample


def sample() -> str:
    """The text of etc/relay.yaml."""
    lines = [*_Sample().table(struct_type(Config), (), 0), "", *_recipes()]
    return _SAMPLE_HEAD + "\n" + "\n".join(lines) + "\n"


def _recipes() -> Iterator[str]:
    """The short examples, as comments."""
    yield from _RECIPES_HEAD.splitlines()
    for recipe in RECIPES:
        yield "#"
        yield f"## {recipe.title} See {recipe.page}."
        yield from (f"# {line}" for line in recipe.lines)


class _Sample:
    """Writes the sample, and explains each key once."""

    def __init__(self) -> None:
        self._explained: set[tuple[type, str]] = set()

    def table(self, table: inspect.StructType, path: tuple[str, ...], depth: int) -> Iterator[str]:
        """The lines of one table."""
        example = EXAMPLES.get(path, Example())
        for field in table.fields:
            if example.only and field.name not in example.only:
                continue
            here = (*path, field.name)
            opens = _opens_table(field.type)
            if depth == 0 and opens:
                yield ""
            yield from self._comment(table.cls, field, depth)
            name = "  " * depth + field.name
            if field.name in example.values:
                yield f"{name}: {example.values[field.name]}"
            elif opens:
                yield from self._opened(name, plain(field.type), here, depth)
            else:
                default = field.default
                if field.default_factory is not msgspec.NODEFAULT:
                    default = field.default_factory()
                yield f"{name}: {written(default)}".rstrip()

    def _opened(self, name: str, kind: inspect.Type, path: tuple[str, ...], depth: int) -> Iterator[str]:
        yield f"{name}:"
        if isinstance(kind, inspect.StructType):
            yield from self.table(kind, path, depth + 1)
            return
        item = plain(kind.item_type if isinstance(kind, inspect.ListType) else kind.value_type)  # type: ignore[attr-defined]
        assert isinstance(item, inspect.StructType)
        if isinstance(kind, inspect.ListType):
            yield from self._comments_of_item(item, depth + 1)
        for example_path, example in EXAMPLES.items():
            if example_path[:-1] != path:
                continue
            if isinstance(kind, inspect.ListType):
                pairs = ", ".join(f"{key}: {value}" for key, value in example.values.items())
                yield f"{'  ' * (depth + 1)}- {{{pairs}}}" + (f"  # {example.remark}" if example.remark else "")
                continue
            if example.remark:
                yield f"{'  ' * (depth + 1)}# {example.remark}"
            yield f"{'  ' * (depth + 1)}{example_path[-1]}:"
            yield from self.table(item, example_path, depth + 2)

    def _comments_of_item(self, item: inspect.StructType, depth: int, before: str = "") -> Iterator[str]:
        """The explanations of a table that stands on one line. Those of its own tables' keys follow these tables."""
        for field in item.fields:
            yield from self._comment(item.cls, field, depth, f"{before}{field.name}: ")
            inner = plain(field.type)
            if isinstance(inner, inspect.StructType):
                yield from self._comments_of_item(inner, depth, f"{before}{field.name}.")

    def _comment(self, owner: type, field: inspect.Field, depth: int, prefix: str = "") -> Iterator[str]:
        if (owner, field.name) in self._explained:
            return
        self._explained.add((owner, field.name))
        opened = plain(field.type)
        said = describe(field.type)
        if _opens_table(field.type):
            if isinstance(opened, inspect.DictType):
                opened = plain(opened.value_type)
            elif isinstance(opened, inspect.ListType):
                opened = plain(opened.item_type)
            assert isinstance(opened, inspect.StructType)
            said = " ".join(dict.fromkeys(filter(None, (first_sentence(opened.cls), said))))
            ending = ""
        else:
            default = _default_in_words(field)
            ending = "Required." if field.required else f"Default: {default}"
        text = prefix + " ".join(filter(None, (said, ending)))
        indent = "  " * depth + "# "
        yield from textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


# Command line


def main(arguments: Sequence[str]) -> int:
    """Prints or writes what the arguments ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m relay.cli.config_reference",
        description="Prints the configuration reference, from the configuration's types.",
    )
    parser.add_argument("--sample", action="store_true", help=f"print the sample ({SAMPLE_FILE}) instead")
    parser.add_argument("--write", action="store_true", help=f"write {REFERENCE_FILE} and {SAMPLE_FILE} in a checkout")
    options = parser.parse_args(arguments)
    if not options.write:
        sys.stdout.write(sample() if options.sample else reference())
        return 0
    root = Path(__file__).resolve().parents[2]
    files: Mapping[str, str] = {REFERENCE_FILE: reference(), SAMPLE_FILE: sample()}
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
        print(f"wrote {root / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
