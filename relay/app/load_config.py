"""Turns the text of a configuration file into a `Config`, or into a list of all its problems.

Theory of operation: `yaml.compose` makes nodes, which know their lines. It makes no objects and runs no constructors.
`relay.config.yaml_reader` converts the nodes to the types of `relay.config.model`. `relay.app.config_checks` checks
rules that types can't express, such as that a route names an existing carrier. They note problems and go on, so that an
operator sees all five mistakes of a file at once.
"""

from collections.abc import Callable, Iterable, Mapping

import yaml

from relay.app.config_checks import check
from relay.config.model import Config
from relay.config.schema import struct_type
from relay.config.yaml_reader import ConfigReader, Path, Problem, dotted

#: A further check of a configuration. Each problem is a key, and a text that says what is wrong.
Check = Callable[[Config], Iterable[tuple[Path, str]]]


class ConfigError(Exception):
    """The file can't be used.

    :ivar problems: all its problems, one line each, in the order of the file:
        `etc/relay.yaml:31: carriers.tier1.window: expected an integer from 1 to 10000, got 'ten'`. No line shows a
        secret.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(
    text: str,
    *,
    name: str,
    environ: Mapping[str, str],
    read_file: Callable[[str], str],
    further_checks: Iterable[Check] = (),
) -> Config:
    """Makes a configuration of the text of a file. It may be called at any time, and reads only its arguments.

    :param text: the file's text.
    :param name: the file's name, for problems.
    :param environ: the values of `${NAME}`. `$${` is a plain `${`.
    :param read_file: returns the text of a file, for `{file: PATH}`. Newlines at its end are removed. It may raise
        OSError or ValueError.
    :param further_checks: checks that only the caller can make, such as that of endpoint descriptions.
    :raises ConfigError: the file can't be used. It has all problems.
    """
    try:
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, text, name)]) from None
    except RecursionError:
        raise ConfigError([f"{name}:1: nested too deeply to be a configuration"]) from None
    reader = ConfigReader(environ, read_file)
    try:
        config = reader.read(top, struct_type(Config), ())
    except RecursionError:
        raise ConfigError([f"{name}:1: a table is merged (<<) into itself"]) from None
    for some_check in (check, *further_checks):
        for path, problem in some_check(config):
            # The operator didn't write the stand-in, so its problems aren't the operator's mistakes.
            if not reader.is_bad(path):
                reader.note(path, problem)
    if reader.problems:
        in_order = sorted(reader.problems, key=lambda problem: problem.line)
        raise ConfigError(_written(problem, name) for problem in in_order)
    made: Config = config
    return made


def _written(problem: Problem, name: str) -> str:
    where = f"{name}:{problem.line}: "
    return where + (f"{dotted(problem.path)}: " if problem.path else "") + problem.text


def _syntax_problem(error: yaml.YAMLError, text: str, name: str) -> str:
    """Says where and why the text isn't YAML. It doesn't repeat the text, because that may be a secret."""
    if isinstance(error, yaml.reader.ReaderError):
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        return f"{name}:{line}: a character that YAML doesn't allow (code {error.character}); remove it"
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{name}:1: the text is not YAML"
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    said = error.problem or "is not YAML"
    if "alias" in said:
        said = "an alias that nothing defines; put a value that begins with * in quotes"
    elif "anchor" in said:
        said = "two anchors of one name; put a value that begins with & in quotes"
    elif "tag" in said or "directive" in said:
        said = "a tag or directive; put a value that begins with ! or % in quotes"
    elif "\\t" in said:
        said = "a tab where YAML wants spaces; indent with spaces"
    elif "cannot start any token" in said:
        said = "a value that begins with a character that has a meaning in YAML (such as @, ` or %); put it in quotes"
    elif "but got '{'" in said:
        said = 'a { within a value in { } or [ ]; put the value, such as "${NAME}", in quotes'
    elif error.context == "while scanning a quoted scalar" and error.context_mark is not None:
        line = error.context_mark.line + 1
        return f"{name}:{line}: a value begins with a quote here, and no such quote ends it"
    elif "mapping values are not allowed" in said:
        said = "a colon and a space within a value, or wrong indentation; put the value in quotes or indent it"
    elif "another document" in said:
        said = "a second document (---) begins here; a configuration is one document"
    context = f", {error.context}" if error.context and "while" in error.context and "alias" not in said else ""
    return f"{name}:{line}: {said}{context}"
