"""Reads a configuration file from the disk, and checks it: for a start, a reload, `relay check` and other commands.

`load_config` has what turns the text into a `Config`. This module gives it what is outside: the file, this process's
environment, and files of secrets.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from relay.app.cluster_checks import driver_problems
from relay.app.endpoint_check import endpoint_problems
from relay.app.file_check import file_problems
from relay.app.load_config import Check, ConfigError, load
from relay.config.model import Config


def start_checks(reactor: Any) -> list[Check]:
    """The checks that a file must pass before the relay starts with it, or reloads it.

    That of the lists is not among them: it takes seconds if they are long, and a reload makes it in a thread.

    :param reactor: as for `endpoint_problems`; nothing listens.
    """
    return [lambda config: endpoint_problems(config, reactor), file_problems, driver_problems]


def read_config(file: str | Path, further_checks: Iterable[Check] = ()) -> Config:
    """Reads the configuration in a file.

    :param further_checks: as those of `load_config.load`.
    :raises ConfigError: it can't be used; the exception has all problems.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError([f"{file}: can't be read: {problem.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: can't be read: it is not UTF-8 text"]) from None
    return config_of(text, str(file), further_checks)


def config_of(text: str, name: str, further_checks: Iterable[Check] = ()) -> Config:
    """Makes a configuration of the text of a file, with this process's environment and files of secrets.

    :param name: the file's name, for problems.
    :raises ConfigError: it can't be used; the exception has all problems.
    """
    return load(
        text,
        name=name,
        environ=os.environ,
        read_file=lambda path: Path(path).read_text(encoding="utf-8"),
        further_checks=further_checks,
    )
