"""Describes the configuration's keys in words, for the reference, the sample, and hints in error messages.

Theory of operation: `relay.config.model` and the modules of its tables have everything about a key (type, meaning,
default, bounds). This module makes words of it, so that nobody has to keep a second list of keys.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from relay.config.model import Config
from relay.values.amounts import AMOUNT_PATTERN
from relay.values.secret import Secret

#: Stands for a name that the operator chooses, such as that of an account or a carrier.
NAME = "NAME"


class Key(msgspec.Struct, frozen=True):
    """One key of the file.

    :ivar path: from the top of the file; `NAME` stands for a name that the operator chooses, `[]` for a list's items.
    :ivar table: the type of its table, if it opens one.
    """

    path: tuple[str, ...]
    field: inspect.Field
    owner: type[msgspec.Struct]
    table: type[msgspec.Struct] | None

    @property
    def dotted(self) -> str:
        """`carriers.NAME.window`, `routes[].prefix`."""
        return ".".join(self.path).replace(".[]", "[]")

    @property
    def description(self) -> str:
        """The meaning of the key, or of the table, in a sentence."""
        said = describe(self.field.type)
        return said or (first_sentence(self.table) if self.table is not None else "")

    @property
    def expected(self) -> str:
        """The values that the key accepts, in words."""
        return expectation(self.field.type)

    @property
    def default(self) -> Any:
        """The default as a value; `msgspec.NODEFAULT` if there is none."""
        if self.field.default_factory is not msgspec.NODEFAULT:
            return self.field.default_factory()
        return self.field.default


def first_sentence(owner: type) -> str:
    """The first line of a type's docstring."""
    return (owner.__doc__ or "").strip().partition("\n")[0]


@cache
def struct_type(owner: type) -> inspect.StructType:
    """A table's type, inspected. To inspect it takes half a millisecond, and each file of `conf.d` needs it."""
    inspected = inspect.type_info(owner)
    assert isinstance(inspected, inspect.StructType)
    return inspected


def plain(kind: inspect.Type) -> inspect.Type:
    """The type without its annotations, and without the None of an optional type."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        present = [plain(member) for member in kind.types if not isinstance(member, inspect.NoneType)]
        if len(present) == 1:
            return present[0]
        if any(isinstance(member, inspect.DictType) for member in present):
            # The key accepts a text or a table: one carrier, or several with their weights.
            return kind
        literals = [member for member in present if isinstance(member, inspect.LiteralType)]
        # The model has no other unions. A new kind would need code here.
        assert len(literals) == len(present), f"can't read {kind}"
        return inspect.LiteralType(tuple(value for member in literals for value in member.values))
    return kind


def optional(kind: inspect.Type) -> bool:
    """Whether a key may be written without a value."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return isinstance(kind, inspect.UnionType) and any(isinstance(member, inspect.NoneType) for member in kind.types)


def describe(kind: inspect.Type) -> str:
    """The sentence in the type's annotation."""
    said = ""
    while isinstance(kind, inspect.Metadata):
        said = (kind.extra_json_schema or {}).get("description", "") or said
        kind = kind.type
    return said


def expectation(kind: inspect.Type) -> str:
    """Describes a value of the type, in words that can follow "expected"."""
    kind = plain(kind)
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return one_of([str(value) for value in kind.values])
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
        case inspect.StrType():
            return _text(kind)
        case inspect.ListType():
            return f"a list, each item {expectation(kind.item_type)}"
        case inspect.DictType() if isinstance(plain(kind.value_type), inspect.StructType):
            return "a table of tables, by name"
        case inspect.DictType():
            return f"a table, each value {expectation(kind.value_type)}"
        case inspect.StructType():
            return "a table"
        case inspect.CustomType() if kind.cls is Secret:
            return "text"
        case inspect.UnionType():
            return " or ".join(expectation(member) for member in kind.types if not isinstance(member, inspect.NoneType))
    raise TypeError(f"no words for {kind}")


def one_of(words: list[str]) -> str:
    """`a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    noun = "an integer" if isinstance(kind, inspect.IntType) else "a number"
    if kind.ge is not None and kind.le is not None:
        return f"{noun} from {kind.ge} to {kind.le}"
    if kind.gt is not None:
        return f"{noun} above {kind.gt}"
    if kind.ge is not None:
        return f"{noun} of at least {kind.ge}" if kind.ge else f"{noun}, 0 or more"
    return noun


def _text(kind: inspect.StrType) -> str:
    if kind.pattern == "^[0-9]*$":
        return "text of digits only"
    if kind.pattern == AMOUNT_PATTERN:
        return "an amount such as 0.035, with at most six decimals"
    if kind.pattern == "^[A-Z]{3}$":
        return "three capital letters"
    least, most = kind.min_length or 0, kind.max_length
    if most is not None:
        return f"text of {least} to {most} characters" if least else f"text of at most {most} characters"
    return f"text of at least {least} characters" if least else "text"


def keys(owner: type[msgspec.Struct] = Config, path: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every key below `owner`, tables before what they hold, in the order of the types."""
    for field in struct_type(owner).fields:
        kind = plain(field.type)
        here = (*path, field.name)
        below = here
        if isinstance(kind, inspect.DictType):
            kind, below = plain(kind.value_type), (*here, NAME)
        elif isinstance(kind, inspect.ListType):
            kind, below = plain(kind.item_type), (*here, "[]")
        table = kind.cls if isinstance(kind, inspect.StructType) else None
        yield Key(here, field, owner, table)
        if table is not None:
            yield from keys(table, below)


@cache
def tables_with(name: str) -> tuple[str, ...]:
    """The tables that have a key of this name, to help an operator who wrote it in a wrong place."""
    return tuple(sorted({".".join(key.path[:-1]).replace(".[]", "[]") for key in keys() if key.path[-1] == name}))
