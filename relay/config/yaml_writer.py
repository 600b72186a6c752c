"""Writes values as YAML that the relay's own reader takes for the same values."""

from typing import Final

import yaml

#: What YAML takes for the end of a line. In a text without double quotes, it would become a space.
_LINE_ENDS: Final = frozenset("\n\r\x85\u2028\u2029")


def yaml_of(value: object) -> str:
    """The YAML of a tree of dicts, lists and single values. Its texts are literals: `${` is written as `$${`."""
    return yaml.dump(_escaped(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines in double quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if _LINE_ENDS.isdisjoint(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _escaped(value: object) -> object:
    """The value, with `${` written so that the relay doesn't take it for an environment variable."""
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return value.replace("${", "$${") if isinstance(value, str) else value
