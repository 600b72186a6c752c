"""Reads the configuration file that a command's option names."""

import os
from collections.abc import Iterable
from pathlib import Path

from relay.app.load_config import Check, ConfigError, load
from relay.config.model import Config


def read_config(file: str, further_checks: Iterable[Check] = ()) -> Config:
    """Reads a configuration file, with this process's environment and files of secrets.

    :param further_checks: as those of `relay.app.load_config.load`.
    :raises ConfigError: it can't be used; the exception has all problems.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError([f"{file}: can't be read: {problem.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: can't be read: it is not UTF-8 text"]) from None
    return load(
        text,
        name=file,
        environ=os.environ,
        read_file=lambda path: Path(path).read_text(encoding="utf-8"),
        further_checks=further_checks,
    )
