"""Reads a pickle as plain data. Nothing in it is imported or called, so a hostile pickle does no harm.

Jasmin keeps its configuration as pickles. Python's own reader of pickles runs whatever the file says. This one knows
the opcodes, and makes an inert `Stored` of everything that would be an object or a call.
"""

import pickletools
from collections.abc import Callable, Iterable
from typing import Any, Final

#: Opcodes whose argument is the value.
_VALUES: Final = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
     "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
     "BINUNICODE8"}
)  # fmt: skip
_CONSTANTS: Final[dict[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple,
    # A list will do: what is in a set need not be hashable here.
    "EMPTY_SET": list,
}  # fmt: skip
#: Tuples of the last values, and how many.
_SHORT_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED: Final = frozenset({"PROTO", "FRAME"})
_MARK: Final = object()


class Stored:
    """Stands for an object, or for the result of a call, in a pickle.

    :ivar name: the class's or function's name, without its module; of a class itself, its name.
    :ivar arguments: what it would have been called with.
    :ivar state: its attributes.
    """

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.state: dict[str, Any] = {}

    def get(self, attribute: str, default: Any = None) -> Any:
        """Returns an attribute; the default if it isn't there."""
        return self.state.get(attribute, default)


class UnreadablePickle(ValueError):
    """The octets are no pickle, or one with opcodes that a configuration doesn't have."""


def read_pickle(octets: bytes) -> Any:
    """Returns the value of a pickle: numbers, texts, lists, tuples and dicts, and `Stored` for everything else.

    :raises UnreadablePickle: the octets can't be read.
    """
    try:
        return _Machine().run((opcode.name, argument) for opcode, argument, _ in pickletools.genops(octets))
    except (ValueError, LookupError, TypeError, UnicodeError) as problem:
        raise UnreadablePickle(str(problem) or type(problem).__name__) from None


def plain(value: Any) -> str | int | float:
    """Returns a text or number of a pickle; octets as text.

    :raises ValueError: the value is something else.
    """
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str | int | float):
        raise ValueError(f"a {type(value).__name__} in the place of a text or number")
    return value


class _Machine:
    """The stack machine of pickles, with inert results."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, steps: Iterable[tuple[str, Any]]) -> Any:
        for name, argument in steps:
            if name == "STOP":
                break
            if name in _VALUES:
                self._stack.append(argument)
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            elif name in _EMPTY:
                self._stack.append(_EMPTY[name]())
            elif name in _SHORT_TUPLES:
                self._stack.append(tuple(reversed([self._stack.pop() for _ in range(_SHORT_TUPLES[name])])))
            elif name not in _IGNORED:
                self._other(name, argument)
        return self._stack.pop()

    def _other(self, name: str, argument: Any) -> None:
        match name:
            case "MARK":
                self._stack.append(_MARK)
            case "POP":
                self._stack.pop()
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "TUPLE":
                self._stack.append(tuple(self._marked()))
            case "APPEND":
                self._extend([self._stack.pop()])
            case "LIST" | "FROZENSET":
                self._stack.append(self._marked())
            case "DICT":
                items = self._marked()
                self._stack.append({})
                self._update(items)
            case "APPENDS" | "ADDITEMS":
                self._extend(self._marked())
            case "SETITEM":
                value, key = self._stack.pop(), self._stack.pop()
                self._update([key, value])
            case "SETITEMS":
                self._update(self._marked())
            case _:
                self._object(name, argument)

    def _object(self, name: str, argument: Any) -> None:
        """Opcodes that import, call or fill objects."""
        match name:
            case "GLOBAL":
                self._stack.append(Stored(str(argument).rpartition(" ")[2]))
            case "STACK_GLOBAL":
                made = Stored(str(self._stack.pop()))
                self._stack[-1] = made
            case "REDUCE" | "NEWOBJ":
                arguments, called = self._stack.pop(), self._stack.pop()
                self._stack.append(_called(called, arguments))
            case "BUILD":
                state = self._stack.pop()
                target = self._stack[-1]
                if isinstance(target, Stored) and isinstance(state, dict):
                    target.state |= {key: value for key, value in state.items() if isinstance(key, str)}
            case _:
                raise UnreadablePickle(f"the opcode {name} is not one of a configuration")

    def _marked(self) -> list[Any]:
        """Takes what stands above the last mark, and the mark."""
        found = []
        while (value := self._stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise UnreadablePickle("items for something that is no list")
        target.extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise UnreadablePickle("keys for something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Other keys than these could take long to hash.
            if not isinstance(key, str | int | bytes):
                raise UnreadablePickle("a key that is neither text nor number")
            target[key] = value


def _called(called: Any, arguments: Any) -> Any:
    """The result of a call. Octets are known, because protocol 2 writes them as a call."""
    if not isinstance(called, Stored) or not isinstance(arguments, tuple):
        raise UnreadablePickle("a call of something that has no name")
    if called.name == "encode" and len(arguments) == 2 and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")
    if called.name == "bytes" and not arguments:
        return b""
    if called.name == "_reconstructor" and arguments and isinstance(arguments[0], Stored):
        return Stored(arguments[0].name)
    return Stored(called.name, arguments)
