"""Makes SMPP logins of Kannel's SMPP server (`group = opensmppbox`) and its file of logins."""

from typing import Final

from relay.importing.imported import Imported, ImportProblem, listener
from relay.importing.kannel_file import Group, ReadFiles

_DEFAULT_PORT: Final = 2345
_ANY_ADDRESS: Final = "*.*.*.*"


def add_smpp_server(group: Group, read_files: ReadFiles, imported: Imported) -> None:
    """Takes the listener over, and an account for each login. A login of an account that is there already joins it.

    :raises ImportProblem: the file of logins can't be read.
    """
    smpp = imported.table("smpp")
    smpp["listen"] = [listener(int(group.number("opensmppbox-port") or _DEFAULT_PORT))]
    if group.text("our-system-id"):
        smpp["system_id"] = group.text("our-system-id")
    if logins := group.text("smpp-logins"):
        try:
            texts = read_files(logins)
        except OSError as problem:
            raise ImportProblem(f"{group.place}: {logins}: can't be read: {problem.strerror or problem}") from None
        for file, text in texts:
            for number, line in enumerate(text.splitlines(), 1):
                _add_login(f"{file}:{number}", line.split(), imported)
    group.leave_out("the relay's own routes choose the carrier", "route-to-smsc")
    group.finish()


def _add_login(place: str, words: list[str], imported: Imported) -> None:
    """A login: system_id, password, system_type (which the relay doesn't compare), allowed addresses."""
    if not words:
        return
    if len(words) < 3:
        imported.leave_out(place, "is no login: expected system_id, password, system_type and allowed addresses")
        return
    login = {"system_id": words[0], "password": words[1]}
    account = imported.table("accounts", words[0])
    if "smpp" in account:
        imported.leave_out(place, f"{words[0]} has two logins, and the relay takes the first one only")
        return
    account["smpp"] = login
    networks: list[str] = []
    for address in words[3].split(";") if len(words) > 3 else ():
        network = _network(address)
        if network is None:
            imported.leave_out(place, f"{address!r}: write the networks of {words[0]} into allow_from")
        elif network:
            networks.append(network)
    if networks:
        account["smpp"] = {**login, "allow_from": networks}


def _network(pattern: str) -> str | None:
    """The network of Kannel's pattern, such as 192.0.2.*; "" for all addresses; None if there is no such network."""
    if pattern == _ANY_ADDRESS:
        return ""
    octets = pattern.split(".")
    known = [octet for octet in octets if octet != "*"]
    if len(octets) != 4 or octets[: len(known)] != known or not all(octet.isdigit() for octet in known):
        return None
    return f"{'.'.join(known + ['0'] * (4 - len(known)))}/{8 * len(known)}"
