"""Reads a configuration file from the disk, and checks it: for a start, a reload, `relay check` and other commands.

`load_config` has what turns the text into a `Config`. This module gives it what is outside: the file, the files of
conf.d in the data directory (`conf_d`), this process's environment, and files of secrets.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from relay.app.cluster_checks import driver_problems
from relay.app.conf_d import read_parts
from relay.app.endpoint_check import endpoint_problems
from relay.app.file_check import file_problems
from relay.app.load_config import Check, ConfigError, MainFile, WholeConfig
from relay.config.config_entries import LoadedConfig, PartFiles
from relay.config.model import Config


def start_checks(reactor: Any) -> list[Check]:
    """The checks that a file must pass before the relay starts with it, or reloads it.

    That of the lists is not among them: it takes seconds if they are long, and a reload makes it in a thread.

    :param reactor: as for `endpoint_problems`; nothing listens.
    """
    return [lambda config: endpoint_problems(config, reactor), file_problems, driver_problems]


def load_file(file: str | Path, further_checks: Iterable[Check] = (), data_dir: str = "") -> LoadedConfig:
    """Reads the configuration in a file, with the entries of conf.d.

    :param further_checks: as those of `load_config.load`.
    :param data_dir: where conf.d is; "": in the data directory that the file names.
    :raises ConfigError: it can't be used; the exception has all problems.
    """
    main = read_main(file)
    return with_parts(main, read_parts(data_dir or main.data_dir)).checked(further_checks)


def read_config(file: str | Path, further_checks: Iterable[Check] = ()) -> Config:
    """Reads the configuration as `load_file` does, for those who needn't know in which file an entry is."""
    return load_file(file, further_checks).config


def read_main(file: str | Path) -> MainFile:
    """Reads a configuration file without the entries of conf.d.

    :raises ConfigError: it can't be read, or isn't YAML.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError([f"{file}: can't be read: {problem.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: can't be read: it is not UTF-8 text"]) from None
    return main_of(text, str(file))


def main_of(text: str, name: str) -> MainFile:
    """Reads the text of a configuration file, with this process's environment and files of secrets."""
    return MainFile(text, name=name, environ=os.environ, read_file=lambda path: Path(path).read_text(encoding="utf-8"))


def with_parts(main: MainFile, files: PartFiles) -> WholeConfig:
    """Adds the entries of conf.d.

    :raises ConfigError: a file of conf.d can't be read.
    """
    if files.problems:
        raise ConfigError(files.problems)
    return main.with_parts(files.parts)
