"""Makes SMPP logins of Kannel's SMPP server (`group = opensmppbox`) and its file of logins."""

from typing import Final, cast

from relay.importing.imported import Imported, ImportProblem, Table, listener
from relay.importing.kannel_file import Group, ReadFiles

_DEFAULT_PORT: Final = 2345
_ANY_ADDRESS: Final = "*.*.*.*"
#: SMPP's limit.
_LONGEST_SYSTEM_ID: Final = 15


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
        lines = [(f"{file}:{number}", line.split()) for file, text in texts
                 for number, line in enumerate(text.splitlines(), 1)]  # fmt: skip
        further = [place for place, words in lines if _add_login(place, words, imported)]
        # Now all names are known, so that none is given a second time.
        for place, words in lines:
            if place in further:
                _add_further_login(place, words, imported)
    group.leave_out("the relay's own routes choose the carrier", "route-to-smsc")
    group.finish()


def _add_login(place: str, words: list[str], imported: Imported) -> bool:
    """Adds the login of a line: system_id, password, system_type (which the relay doesn't compare), allowed addresses.

    :return: whether the name has a login with another password already. Then nothing is added.
    """
    if not words:
        return False
    if len(words) < 3:
        imported.leave_out(place, "is no login: expected system_id, password, system_type and allowed addresses")
        return False
    account = imported.table("accounts", words[0])
    if "smpp" not in account:
        account["smpp"] = _login(place, words, imported)
        return False
    return not _joins(account, words, _login(place, words, imported))


def _login(place: str, words: list[str], imported: Imported) -> Table:
    networks = _networks(place, words[0], words[3].split(";") if len(words) > 3 else [], imported)
    return {"system_id": words[0], "password": words[1], **({"allow_from": networks} if networks else {})}


def _add_further_login(place: str, words: list[str], imported: Imported) -> None:
    name, login = words[0], _login(place, words, imported)
    if _joins(imported.table("accounts", name), words, login):
        return
    further = imported.table("accounts", name, "smpp_logins")
    own = f"login{len(further) + 2}"
    login["system_id"] = _free_system_id(name, imported)
    further[own] = login
    imported.leave_out(
        place,
        f"{name} has a further password. The relay needs a system_id for each login: this one is "
        f"accounts.{name}.smpp_logins.{own}, with the system_id {login['system_id']}. Tell the customer",
    )


def _logins_of(account: Table) -> list[Table]:
    """The SMPP logins of an account, the first one first."""
    further = cast(dict[str, Table], account.get("smpp_logins", {}))
    return [cast(Table, account["smpp"]), *further.values()] if "smpp" in account else []


def _joins(account: Table, words: list[str], login: Table) -> bool:
    """Lets a login of the account with the same password come from the networks of another line, too.

    :return: False: there is no login with this password.
    """
    same = next((known for known in _logins_of(account) if known["password"] == login["password"]), None)
    if same is None:
        return False
    if len(words) < 4 or _ANY_ADDRESS in words[3].split(";"):
        same.pop("allow_from", None)
    elif "allow_from" in same:
        networks = [*cast(list[str], same["allow_from"]), *cast(list[str], login.get("allow_from", []))]
        same["allow_from"] = list(dict.fromkeys(networks))
    return True


def _free_system_id(name: str, imported: Imported) -> str:
    """A system_id that no login has."""
    accounts = cast(dict[str, Table], imported.table("accounts"))
    taken = {*accounts, *(login["system_id"] for account in accounts.values() for login in _logins_of(account))}
    number = 2
    while (made := f"{name[: _LONGEST_SYSTEM_ID - len(str(number)) - 1]}-{number}") in taken:
        number += 1
    return made


def _networks(place: str, name: str, addresses: list[str], imported: Imported) -> list[str]:
    """The networks from which a login may come; none: from everywhere."""
    networks: list[str] = []
    for address in addresses:
        network = _network(address)
        if network is None:
            imported.leave_out(place, f"{address!r}: write the networks of {name} into allow_from")
        elif network:
            networks.append(network)
    return networks


def _network(pattern: str) -> str | None:
    """The network of Kannel's pattern, such as 192.0.2.*; "" for all addresses; None if there is no such network."""
    if pattern == _ANY_ADDRESS:
        return ""
    octets = pattern.split(".")
    known = [octet for octet in octets if octet != "*"]
    if len(octets) != 4 or octets[: len(known)] != known or not all(octet.isdigit() for octet in known):
        return None
    return f"{'.'.join(known + ['0'] * (4 - len(known)))}/{8 * len(known)}"
