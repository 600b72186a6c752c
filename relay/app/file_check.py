"""Checks the paths of a configuration against the file system, before anything is opened."""

import os
from collections.abc import Iterator

from relay.config.model import Config
from relay.config.yaml_reader import Path


def file_problems(config: Config) -> Iterator[tuple[Path, str]]:
    """Finds paths that can't be used, by key. It is one of the `further_checks` of `load_config.load`.

    It only looks at the file system. It doesn't make or open files.
    """
    path = config.logs.message_records
    key = ("logs", "message_records")
    if path and (path.endswith(os.sep) or os.path.isdir(path)):
        yield key, f"{path!r} is a directory: name a file in it, such as {os.path.join(path, 'records.jsonl')!r}"
    # The relay makes the file's directories, but it can't do so below a file.
    above = os.path.dirname(path)
    while above and not os.path.exists(above) and above != os.path.dirname(above):
        above = os.path.dirname(above)
    if above and os.path.exists(above) and not os.path.isdir(above):
        yield key, f"{above!r} is not a directory: name a file in a directory"
