"""Which node has an older configuration file than the others.

Theory of operation: the database has the digest of the latest file, with a generation that counts up, and the digest of
the file that each node had last. A node whose file has changed since then has a new file: it becomes the latest, with
the next generation. A node whose file has not changed, and isn't the latest, has an older file. So nobody compares
times of files.
"""

import hashlib
from typing import Any, Final

import msgspec

from relay.config.model import Config
from relay.values.secret import Secret

#: Keys that differ from node to node although the file is the same: their values come from the environment.
_OF_A_NODE: Final = ("data_dir", "http.listen", "smpp.listen", "admin.listen", "cluster.node", "demo", "logs")


class FileGeneration(msgspec.Struct, frozen=True):
    """A configuration file: its digest, and the how-manieth it is. 0: there has been none."""

    number: int
    digest: bytes


NO_FILE: Final = FileGeneration(0, b"")


class FileVerdict(msgspec.Struct, frozen=True):
    """What a node's file is among the others.

    :ivar file: the node's file, with its generation.
    :ivar is_new: whether it becomes the latest now.
    :ivar older: whether another node has a later file, so that this one takes nothing over.
    """

    file: FileGeneration
    is_new: bool
    older: bool


def config_digest(config: Config) -> bytes:
    """A digest of a configuration, without what differs between nodes. Only digests of secrets go into it."""
    plain = msgspec.to_builtins(config, enc_hook=_digest_of_secret)
    for key in _OF_A_NODE:
        *tables, last = key.split(".")
        table = plain
        for name in tables:
            table = table[name]
        del table[last]
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).digest()


def _digest_of_secret(value: Any) -> str:
    assert isinstance(value, Secret)
    return hashlib.sha256(value.reveal().encode()).hexdigest()


def judge(digest: bytes, latest: FileGeneration, before: FileGeneration, *, accepted: bool = False) -> FileVerdict:
    """Says what a file is.

    :param digest: of the node's file.
    :param latest: the cluster's latest file.
    :param before: the file that this node had when it looked the last time.
    :param accepted: whether an operator says that this is the file to use.
    """
    if digest == latest.digest:
        return FileVerdict(latest, is_new=False, older=False)
    changed = before.number > 0 and digest != before.digest
    if accepted or changed or latest.number == 0:
        return FileVerdict(FileGeneration(latest.number + 1, digest), is_new=True, older=False)
    return FileVerdict(FileGeneration(before.number, digest), is_new=False, older=True)
