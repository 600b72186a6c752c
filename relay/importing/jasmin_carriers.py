"""Makes carriers of Jasmin's SMPP client connectors (`jcli`'s smppccm)."""

from typing import Any, Final

from smpp.pdu import constants, pdu_types

from relay.importing.imported import Imported, Table, endpoint
from relay.importing.pickle_reader import Stored, plain

#: Jasmin sends one message at a time. This is little enough for every carrier that we know.
_WINDOW: Final = 10
#: Attribute of a connector: Jasmin's default, and our key. Jasmin's own defaults are not written out.
_KEYS: Final[dict[str, tuple[Any, str]]] = {
    "systemType": ("", "system_type"),
    "addressRange": (None, "address_range"),
    "service_type": (None, "service_type"),
    "enquireLinkTimerSecs": (30, "enquire_link_seconds"),
    "responseTimerSecs": (120, "response_timeout_seconds"),
    "sessionInitTimerSecs": (30, "bind_timeout_seconds"),
}
#: Attribute: Jasmin's default, the name in jcli, and what to do if it has another value.
_REASONS: Final[dict[str, tuple[Any, str, str]]] = {
    "requeue_delay": (120, "requeue_delay", "see throttle_seconds, which pauses the carrier"),
    "source_addr": (None, "src_addr", "set senders.default of the accounts"),
    "validity_period": (None, "validity", "set validity_seconds"),
    "data_coding": (0, "coding", "texts go in GSM 03.38 or as UCS-2; see default_alphabet"),
    "protocol_id": (None, "proto_id", "customers set it over SMPP"),
    "sm_default_msg_id": (0, "def_msg_id", "has no counterpart here"),
    "dlr_expiry": (86400, "dlr_expiry", "see receipt_hours"),
    "inactivityTimerSecs": (300, "trx_to", "enquire_link_seconds finds dead connections"),
    "pduReadTimerSecs": (10, "pdu_red_to", "enquire_link_seconds finds dead connections"),
    "SSLCertificateFile": (None, "ssl_cert", "see tls, which has the carrier's authority and our certificate"),
}  # fmt: skip
_ADDRESSES: Final = (
    ("addressTon", "UNKNOWN", "addr_ton"),
    ("addressNpi", "UNKNOWN", "addr_npi"),
    ("source_addr_ton", "NATIONAL", "source_ton"),
    ("source_addr_npi", "ISDN", "source_npi"),
    ("dest_addr_ton", "INTERNATIONAL", "destination_ton"),
    ("dest_addr_npi", "ISDN", "destination_npi"),
)


def add_carriers(connectors: Any, place: str, imported: Imported) -> None:
    """Makes carriers of the connectors.

    :param connectors: the value of Jasmin's file.
    :raises ValueError, TypeError, AttributeError, LookupError: the file has another content than Jasmin's.
    """
    found = [entry["config"] for entry in connectors]
    stopped = {entry.get("id") for entry in connectors if not entry.get("service_status")}
    senders = {_login(config) for config in found if config.get("bindOperation") != "receiver"}
    for config in found:
        name = str(config.get("id"))
        if config.get("bindOperation") == "receiver":
            if _login(config) not in senders:
                imported.leave_out(place, f"connector {name}: it only receives, and the relay has no such carrier")
            continue
        imported.table("carriers")[name] = _carrier(config, f"{place}: connector {name}", imported)
        if name in stopped:
            imported.leave_out(place, f"connector {name}: Jasmin doesn't start it; hold the carrier, or leave it out")


def _carrier(config: Stored, place: str, imported: Imported) -> Table:
    host, tls = str(config.get("host")), bool(config.get("useSSL"))
    carrier: Table = {"connect": endpoint(host, int(config.get("port", 2775)), tls=tls)}
    if tls:
        imported.leave_out(place, f"the relay verifies the certificate of {host}, which Jasmin doesn't. If its "
                           "authority is a private one, set tls: {ca_file: ...}")  # fmt: skip
    carrier |= {"system_id": plain(config.get("username")), "password": plain(config.get("password"))}
    if config.get("bindOperation") == "transmitter":
        carrier["bind"] = "transmitter+receiver"
        imported.leave_out(place, "a transmitter. The relay also binds as a receiver, which gets the receipts: ask the "
                           "carrier whether it allows that, or for a transceiver")  # fmt: skip
    if rate := config.get("submit_sm_throughput"):
        carrier["rate"] = plain(rate)
    carrier["window"] = _WINDOW
    for attribute, (default, key) in _KEYS.items():
        if config.get(attribute, default) != default:
            carrier[key] = plain(config.get(attribute))
    delays = [config.get(f"reconnectOnConnection{what}Delay", 10) for what in ("Loss", "Failure")]
    if delays != [10, 10]:
        carrier |= {"reconnect_min_seconds": min(delays), "reconnect_max_seconds": max(60, *delays)}
    if base := config.get("dlr_msg_id_bases"):
        carrier["dialect"] = {"preset": f"jasmin-{base}"}
    for attribute, default, key in _ADDRESSES:
        kind = attribute[-3:].title()
        value = _wire(config.get(attribute), kind)
        if value is not None and value != _NUMBERS[kind][default]:
            carrier[key] = value
    for attribute, (default, name, reason) in _REASONS.items():
        if config.get(attribute, default) != default:
            imported.leave_out(place, f"{name}: {reason}")
    return carrier


#: The numbers in PDUs by the names of SMPP's types and plans.
_NUMBERS: Final[dict[str, dict[str, int]]] = {
    "Ton": dict(constants.addr_ton_name_map),
    "Npi": dict(constants.addr_npi_name_map),
}


def _wire(stored: Any, kind: str) -> int | None:
    """The number of a stored type or plan of addresses; None if it is none."""
    if not isinstance(stored, Stored) or len(stored.arguments) != 1:
        return None
    names = {member.value: member.name for member in getattr(pdu_types, f"Addr{kind}")}
    return _NUMBERS[kind].get(names.get(stored.arguments[0], ""))


def _login(config: Stored) -> tuple[str, str]:
    return str(config.get("host")), str(config.get("username"))
