"""Checks of entries that are in files of conf.d, beside those for all entries.

The admin API writes these files, so that whoever may configure carriers and accounts need not have a login on the
machine. So an entry must not lead to the machine's files, sockets and ports. An entry that needs a file belongs into
the main file.
"""

from collections.abc import Iterator

from relay.config.account_config import Account
from relay.config.carrier_config import Carrier, Simulator
from relay.config.config_struct import ConfigStruct
from relay.config.endpoint_text import is_loopback, split_description
from relay.config.tls_config import TlsFiles
from relay.config.yaml_reader import Path

Finding = tuple[Path, str]

#: Client endpoints that lead to another host, and their arguments.
_CLIENTS = ("tcp", "tls")
_CLIENT_ARGUMENTS = ("host", "port", "timeout", "bindAddress")
_INSTEAD = "put the entry into the main configuration file"


def entry_problems(path: Path, entry: ConfigStruct) -> Iterator[Finding]:
    """Finds what an entry of conf.d may not have.

    :param path: the entry's place, such as ("accounts", "acme").
    """
    if isinstance(entry, Account):
        yield from _files((*path, "notification_tls"), entry.notification_tls)
    elif isinstance(entry, Carrier):
        yield from _files((*path, "tls"), entry.tls)
        if entry.kind == "smpp" and entry.connect and not _leads_to_a_host(entry.connect):
            yield (
                (*path, "connect"),
                f"in conf.d this must be tcp:HOST:PORT or tls:HOST:PORT; for another endpoint, {_INSTEAD}",
            )
        listen = entry.simulator.listen
        if listen != Simulator().listen and not (split_description(listen)[0] == "tcp" and is_loopback(listen)):
            yield (
                (*path, "simulator", "listen"),
                f"in conf.d this must be tcp:PORT:interface=127.0.0.1; for another endpoint, {_INSTEAD}",
            )


def _files(path: Path, files: TlsFiles | None) -> Iterator[Finding]:
    for key in ("ca_file", "certificate_file", "key_file") if files is not None else ():
        if getattr(files, key):
            yield (*path, key), f"in conf.d no entry may name a file of this machine; {_INSTEAD}"


def _leads_to_a_host(description: str) -> bool:
    scheme, *arguments = split_description(description)
    names = {argument.partition("=")[0] for argument in arguments if "=" in argument}
    # A fifth argument without a name would be a file of certificates.
    plain = sum("=" not in argument for argument in arguments) <= len(_CLIENT_ARGUMENTS)
    return scheme in _CLIENTS and plain and names <= set(_CLIENT_ARGUMENTS)
