"""Turns Jasmin's configuration directory into a configuration of the relay."""

import configparser
from collections.abc import Callable
from typing import Any, Final

from relay.importing.imported import Imported, ImportProblem, Unsuitable, listener
from relay.importing.jasmin_carriers import add_carriers
from relay.importing.jasmin_prices import add_charges
from relay.importing.jasmin_routes import JasminUser, add_mo_routes, add_mt_routes, mt_routes, pattern_of
from relay.importing.number_patterns import beginnings_of, matches_all
from relay.importing.pickle_reader import Stored, UnreadablePickle, plain, read_pickle

#: The profile that Jasmin loads when it starts.
PROFILE: Final = "jcli-prod"
_HTTP_PORT: Final = 1401
_SMPP_PORT: Final = 2775
#: Value filters of a user that can't be converted, if they don't match everything.
_VALUE_FILTERS: Final = {
    "source_address": "see senders.allow",
    "content": "the relay doesn't look at texts",
}


def import_jasmin(read: Callable[[str], bytes | None]) -> Imported:
    """Reads Jasmin's files.

    :param read: returns the octets of a file in the configuration directory, such as `jasmin.cfg` or
        `store/jcli-prod.smppccs`; None if there is no such file.
    :raises ImportProblem: a file can't be read, or there are none.
    """
    imported = Imported()
    for table in ("http", "smpp", "accounts", "carriers"):
        imported.table(table)

    def stored(kind: str) -> Any:
        octets = read(place(kind))
        if octets is None:
            return None
        # The first line says when Jasmin wrote the file. Behind it is a pickle.
        try:
            return read_pickle(octets.partition(b"\n")[2])
        except UnreadablePickle as problem:
            raise ImportProblem(f"{place(kind)}: can't be read: {problem}") from None

    def place(kind: str) -> str:
        return f"store/{PROFILE}.{kind}"

    connectors, users = stored("smppccs"), stored("router-users")
    if connectors is None and users is None:
        raise ImportProblem(
            f"there is no {place('smppccs')} and no {place('router-users')} here: name Jasmin's configuration "
            "directory, such as /etc/jasmin, and save the configuration with `persist` in jcli before"
        )
    _listeners(read("jasmin.cfg"), imported)
    try:
        add_carriers(connectors or [], place("smppccs"), imported)
        accounts = [_account(user, place("router-users"), imported) for user in users or []]
        found = [account for account in accounts if account is not None]
        routes = mt_routes(stored("router-mtroutes"), place("router-mtroutes"), imported)
        add_mt_routes(routes, place("router-mtroutes"), found, imported)
        add_charges(routes, place("router-users"), found, imported)
        add_mo_routes(stored("router-moroutes"), place("router-moroutes"), imported)
    except (TypeError, ValueError, AttributeError, LookupError) as problem:
        raise ImportProblem(f"store: a file has something else in it than Jasmin writes: {problem}") from None
    for kind in ("router-mtinterceptors", "router-mointerceptors"):
        table = stored(kind)
        if isinstance(table, Stored) and table.get("table"):
            imported.leave_out(place(kind), "the relay runs no scripts of yours: see routes and lists")
    imported.drop_empty()
    return imported


def _listeners(octets: bytes | None, imported: Imported) -> None:
    """The listeners of jasmin.cfg; Jasmin's own ones if it names none."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string((octets or b"").decode("utf-8", "replace"))
        http, smpp = (
            listener(parser.getint(section, "port", fallback=port), parser.get(section, "bind", fallback=""))
            for section, port in (("http-api", _HTTP_PORT), ("smpp-server", _SMPP_PORT))
        )
    except (configparser.Error, ValueError) as problem:
        raise ImportProblem(f"jasmin.cfg: can't be read: {str(problem).splitlines()[0]}") from None
    imported.table("http").update({"listen": [http], "jasmin": True})
    imported.table("smpp")["listen"] = [smpp]
    if octets is not None:
        imported.leave_out("jasmin.cfg", "only the ports of http-api and smpp-server are taken: the relay has its own "
                           "settings for the rest")  # fmt: skip


def _account(user: Stored, place: str, imported: Imported) -> JasminUser | None:
    name = str(user.get("username"))
    here = f"{place}: user {name}"
    group = user.get("group")
    if not user.get("enabled", True) or (isinstance(group, Stored) and not group.get("enabled", True)):
        imported.leave_out(here, "is disabled")
        return None
    messages, smpp = (_credential(user.get(key)) for key in ("mt_credential", "smpps_credential"))
    account = imported.table("accounts", name)
    login = "write api_key"
    if smpp["authorizations"].get("bind", True) and messages["authorizations"].get("smpps_send", True):
        binds = smpp["quotas"].get("max_bindings")
        login += f", and smpp: {{system_id: {name}, password: ...{f', max_binds: {binds}' if binds else ''}}}"
    imported.leave_out(here, f"Jasmin keeps no password, only a digest of it: {login}")
    quotas = messages["quotas"]
    rates = [quotas[key] for key in ("http_throughput", "smpps_throughput") if quotas.get(key)]
    if rates:
        account["rate"] = plain(max(rates))
        if len(set(rates)) > 1:
            imported.leave_out(here, "http_throughput and smpps_throughput differ: the relay has one rate for both")
    if quotas.get("early_decrement_balance_percent") is not None:
        imported.leave_out(here, "early_decrement_balance_percent: the relay takes the whole price when it accepts the "
                           "message")  # fmt: skip
    if sender := messages["defaults"].get("source_address"):
        account["senders"] = {"default": plain(sender)}
    filters = messages["value_filters"]
    for key, reason in _VALUE_FILTERS.items():
        if not matches_all(pattern_of(filters.get(key))):
            imported.leave_out(here, f"value filter {key}: {reason}")
    allowed = [""]
    try:
        allowed = beginnings_of(pattern_of(filters.get("destination_address")))
    except Unsuitable as problem:
        imported.leave_out(here, f"value filter dst_addr: {problem}: write the routes of the account")
    group_id = str(group.get("gid")) if isinstance(group, Stored) else ""
    balance, count = quotas.get("balance"), quotas.get("submit_sm_count")
    return JasminUser(
        name,
        str(user.get("uid")),
        group_id,
        tuple(allowed),
        None if balance is None else float(balance),
        None if count is None else int(count),
    )


def _credential(stored: Any) -> dict[str, dict[str, Any]]:
    """The tables of a credential; empty ones if something is missing."""
    found = stored.state if isinstance(stored, Stored) else {}
    tables = ("authorizations", "value_filters", "defaults", "quotas")
    return {key: value if isinstance(value := found.get(key), dict) else {} for key in tables}
