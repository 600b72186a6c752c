"""What a cluster's database answers, and how it fails. Nothing here needs the database's driver."""

import msgspec


class ClusterRefused(Exception):
    """The database can't be used by this relay. It doesn't heal by itself: the text says what to do."""


class DatabaseAway(Exception):
    """The database doesn't answer, or doesn't take writes. Another try may succeed."""


class Renewal(msgspec.Struct, frozen=True):
    """The answer to a renewal.

    :ivar held: whether the shard still belongs to this epoch.
    :ivar database_at: the database's clock.
    """

    held: bool
    database_at: float


class NodeReport(msgspec.Struct, frozen=True):
    """What a node says of itself, for people and for the other nodes."""

    name: str
    relay_version: str = ""
    format_level: int = 0
    address: str = ""
    followed_sequence: int = 0


class ServerState(msgspec.Struct, frozen=True):
    """The server that takes writes, and its standbys.

    :ivar refusals: settings with which the relay doesn't start, each with what to do.
    :ivar requires_standby: whether a commit waits for a standby.
    :ivar advice: settings that slow the relay down, each with what to do.
    :ivar standbys: name, state and kind of each standby, and how many octets it is behind. Kind and octets are None for
        a user who may not see them.
    """

    version: str
    refusals: tuple[str, ...]
    requires_standby: bool
    standbys: tuple[tuple[str, str, str | None, int | None], ...]
    advice: tuple[str, ...] = ()

    @property
    def synchronous(self) -> int:
        """How many standbys are connected that a commit waits for; 0 also if none is required.

        A standby whose kind this user may not see counts.
        """
        if not self.requires_standby:
            return 0
        streaming = [kind for _, state, kind, _ in self.standbys if state in (None, "streaming")]
        return sum(kind in (None, "sync", "quorum") for kind in streaming)
