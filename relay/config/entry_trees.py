"""An entry of the configuration as a tree of dicts, lists and single values: for the admin API, which speaks JSON.

Secrets are never shown. In their place stands `IS_SET`, and whoever sends it back keeps the secret.
"""

from collections.abc import Container
from typing import Any, Final

import msgspec

from relay.config.yaml_reader import Path, dotted
from relay.values.secret import Secret

#: Stands in the place of a value that isn't shown.
IS_SET: Final = {"is_set": True}
#: Keys whose values are text, but may hold a secret: headers of a carrier's API.
_HIDDEN_TABLES: Final = (("api", "headers"),)
#: Trees from outside are refused if they are deeper. The deepest entry has five levels.
_DEEPEST: Final = 20


class TreeProblem(Exception):
    """A tree can't be used.

    :ivar key: where, dotted, from the top of the entry.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.key = dotted(path)


def tree_of(
    entry: msgspec.Struct,
    path: Path,
    *,
    given: Container[Path] | None = None,
    outside: Container[Path] = (),
    reveal: bool = False,
) -> dict[str, Any]:
    """The tree of an entry.

    :param path: the entry's place in the configuration, which begins the paths of the other parameters.
    :param given: the keys that the tree has; None: those that differ from their default.
    :param outside: keys whose values come from elsewhere and aren't shown.
    :param reveal: whether secrets are shown. Only for what is written to the disk.
    """
    tree: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(entry)):
        value, here = getattr(entry, field.name), (*path, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if (value != default) if given is None else (here in given):
            tree[field.name] = _shown(value, here, given, outside, reveal=reveal)
    return tree


def _shown(value: Any, path: Path, given: Container[Path] | None, outside: Container[Path], *, reveal: bool) -> Any:
    if isinstance(value, msgspec.Struct):
        return tree_of(value, path, given=given, outside=outside, reveal=reveal)
    if isinstance(value, dict):
        return {name: _shown(each, (*path, name), given, outside, reveal=reveal) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(each, (*path, index), given, outside, reveal=reveal) for index, each in enumerate(value)]
    if not reveal and _is_hidden(value, path, outside):
        return IS_SET
    return value.reveal() if isinstance(value, Secret) else value


def _is_hidden(value: Any, path: Path, outside: Container[Path]) -> bool:
    # Some URLs hold a user name and a password.
    in_url = isinstance(value, str) and "://" in value and "@" in value
    return isinstance(value, Secret) or in_url or path[-3:-1] in _HIDDEN_TABLES or path in outside


def merge_patch(target: Any, patch: Any) -> Any:
    """What RFC 7396 makes of a tree: a null removes a key, a table is merged, every other value replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def with_secrets(tree: Any, current: Any, path: Path = ()) -> Any:
    """The tree with the current values in the places of `IS_SET`.

    :param current: the entry's present tree, with its secrets; None: there is none.
    :raises TreeProblem: there is no such value, or the tree is too deep.
    """
    if len(path) > _DEEPEST:
        raise TreeProblem(path[:3], "nested too deeply")
    if tree == IS_SET:
        if isinstance(current, (dict, list)) or current is None:
            raise TreeProblem(path, "has no value that could be kept; write the value itself")
        return current
    if isinstance(tree, dict):
        of = current if isinstance(current, dict) else {}
        return {key: with_secrets(value, of.get(key), (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        items = current if isinstance(current, list) else []
        return [
            with_secrets(value, items[index] if index < len(items) else None, (*path, index))
            for index, value in enumerate(tree)
        ]
    return tree
