"""Which entries of a configuration come from which file: the main file, or a file of conf.d in the data directory.

Each file of conf.d has one account, carrier or route. Its name is the entry's: `conf.d/accounts/acme.yaml`.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from relay.config.account_config import Account
from relay.config.carrier_config import Carrier
from relay.config.config_struct import ConfigStruct
from relay.config.model import Config
from relay.config.route_config import Route
from relay.config.yaml_reader import Path

#: The kinds of entries, as the tables of the configuration.
Table = Literal["accounts", "carriers", "routes"]
ENTRY_TYPES: Final[Mapping[Table, type[ConfigStruct]]] = {"accounts": Account, "carriers": Carrier, "routes": Route}


class Part(msgspec.Struct, frozen=True):
    """A file of conf.d.

    :ivar name: the name of its account, carrier or route.
    :ivar file: its path, for problems.
    :ivar version: another one after each change of the file. It says nothing about the contents.
    """

    table: Table
    name: str
    file: str
    text: str
    version: str = ""


class PartFiles(msgspec.Struct, frozen=True):
    """The files of conf.d.

    :ivar problems: what can't be read, one line each.
    """

    parts: Sequence[Part] = ()
    problems: Sequence[str] = ()


class Place(msgspec.Struct, frozen=True):
    """Where an entry is written.

    :ivar version: that of the file, if it is one of conf.d; "": it is the main file.
    :ivar name: the entry's name; "": a route of the main file, which has none.
    """

    file: str
    line: int
    name: str
    version: str = ""

    @property
    def in_part(self) -> bool:
        """Whether the entry is in a file of conf.d."""
        return bool(self.version)


class Places(msgspec.Struct, frozen=True):
    """Where the entries of a configuration are written.

    :ivar entries: by table and name, for routes by table and index.
    :ivar outside: keys of the main file whose values come from the environment or from a file of a secret.
    """

    entries: Mapping[Path, Place] = {}
    outside: frozenset[Path] = frozenset()

    def of(self, table: Table) -> dict[Path, Place]:
        """The entries of one table."""
        return {path: place for path, place in self.entries.items() if path[0] == table}

    def compared(self, config: Config) -> Config:
        """The part of a configuration that each relay of a cluster has for itself, and which must be the same there.

        With the admin API, the database has the entries of conf.d for all of them.
        """
        if not config.admin.api:
            return config
        parts = {path for path, _ in self.parts()}
        return msgspec.structs.replace(
            config,
            accounts={name: each for name, each in config.accounts.items() if ("accounts", name) not in parts},
            carriers={name: each for name, each in config.carriers.items() if ("carriers", name) not in parts},
            routes=[each for index, each in enumerate(config.routes) if ("routes", index) not in parts],
        )

    def parts(self) -> list[tuple[Path, Place]]:
        """The entries that are in files of conf.d."""
        return [(path, place) for path, place in self.entries.items() if place.in_part]


class LoadedConfig(msgspec.Struct, frozen=True):
    """A configuration, and where its entries are written."""

    config: Config
    places: Places = Places()
