"""Makes carriers of Kannel's connections (`group = smsc`) that speak SMPP."""

from typing import Final

from relay.importing.imported import Imported, Table, endpoint
from relay.importing.kannel_file import Group
from relay.importing.kannel_routes import SmscRules

_DEFAULT_PORT: Final = 2775
#: Kannel's default for max-pending-submits. The relay's own is 100, and not every carrier allows that.
_DEFAULT_WINDOW: Final = 10
_ALPHABETS: Final = {
    "gsm": "gsm", "gsm-7": "gsm", "gsm0338": "gsm", "gsm-03.38": "gsm", "latin1": "latin1", "latin-1": "latin1",
    "iso-8859-1": "latin1", "ascii": "ascii", "us-ascii": "ascii", "ucs2": "ucs2", "ucs-2": "ucs2", "utf-16be": "ucs2",
}  # fmt: skip
#: Rules about numbers that can't be made into routes. Without its rules a connection could get any message.
_UNROUTABLE: Final = (
    "allowed-prefix-regex", "denied-prefix-regex", "allowed-smsc-id-regex", "denied-smsc-id-regex",
)  # fmt: skip
_REASONS: Final = {
    "the relay has its own settings for logs": ("log-file", "log-level", "log-format"),
    "the relay chooses the local port": ("our-port", "our-receiver-port"),
    "the relay takes receipts of all its carriers": ("no-dlr", "reroute-dlr"),
    "write an inbound rule for messages from handsets": ("my-number",),
    "messages from handsets don't go out again": (
        "reroute", "reroute-smsc-id", "reroute-receiver", "reroute-receiver-regex",
    ),
    "write the routes for it": ("preferred-prefix-regex", "preferred-smsc-id-regex"),
    "write numbers with their country code": ("unified-prefix",),
    "hold the carrier on the operator's page": ("dead-start",),
    "set `priority` of the accounts": ("priority",),
    "addresses of names are ASCII here": ("alt-addr-charset",),
    "the relay tries again by itself": ("retry",),
    "`enquire_link_seconds` finds dead connections": ("connection-timeout",),
}  # fmt: skip


class SmppCarriers:
    """Collects the carriers, and the rules by which Kannel chooses among them.

    :ivar names: the carriers of each smsc-id: an smsc-id may have several connections.
    """

    def __init__(self, imported: Imported) -> None:
        self._imported = imported
        self._receivers: dict[tuple[str, str], Group] = {}
        self._validities: list[tuple[Group, float | None]] = []
        self.names: dict[str, list[str]] = {}
        self.rules: list[SmscRules] = []

    def add_all(self, groups: list[Group]) -> None:
        """Makes carriers of the groups, in their order."""
        smpp = [group for group in groups if group.text("smsc") == "smpp"]
        for group in groups:
            if group not in smpp:
                group.remark(f"smsc = {group.text('smsc')}: the relay connects to carriers over SMPP only")
        for group in smpp:
            if _only_receives(group):
                self._receivers[_login(group)] = group
        used: set[tuple[str, str]] = set()
        for group in smpp:
            if not _only_receives(group):
                self._add(group, used)
        for login, group in self._receivers.items():
            if login not in used:
                group.remark(
                    "receive-port: no other group sends to this host as the same user, and the relay has no carrier "
                    "that only receives"
                )
        self._set_validity()
        for carrier in self._imported.table("carriers").values():
            assert isinstance(carrier, dict)
            for key, default in (("binds", 1), ("rate", 0)):
                if carrier[key] == default:
                    del carrier[key]

    def _set_validity(self) -> None:
        """Kannel has a validity for each connection, the relay one for all messages that name none."""
        minutes = {value for _, value in self._validities}
        if len(minutes) == 1 and (only := minutes.pop()):
            self._imported.tables["validity_seconds"] = only * 60
        for group, _ in self._validities if minutes else ():
            group.leave_out("is not the same for all carriers: set validity_seconds", "validityperiod")

    def _add(self, group: Group, used: set[tuple[str, str]]) -> None:
        identifier = group.text("smsc-id")
        carrier = self._connection(group, used)
        self._messages(group, carrier)
        instances = int(group.number("instances") or 1)
        rate = group.number("throughput") or 0
        name = _name(identifier or group.text("host"))
        carriers = self._imported.table("carriers")
        same = carriers.get(name)
        if isinstance(same, dict) and {**same, "binds": 1, "rate": 0} == {**carrier, "binds": 1, "rate": 0}:
            same["binds"] += instances
            same["rate"] += rate * instances
        else:
            number = 2
            while name in carriers:
                name, number = f"{_name(identifier)[:60]}-{number}", number + 1
            # Kannel's throughput is that of one connection.
            carriers[name] = carrier | {"binds": instances, "rate": rate * instances}
            self.names.setdefault(identifier, []).append(name)
            self.rules.append(self._rules(group, name))
        self._validities.append((group, group.number("validityperiod")))
        for reason, keys in _REASONS.items():
            group.leave_out(reason, *keys)
        group.finish()

    def _connection(self, group: Group, used: set[tuple[str, str]]) -> Table:
        port = int(group.number("port") or _DEFAULT_PORT)
        tls = group.flag("use-ssl")
        carrier: Table = {"connect": endpoint(group.text("host"), port, tls=tls)}
        key_file = group.text("ssl-client-certkey-file")
        if tls:
            self._imported.leave_out(
                group.place, f"group smsc: use-ssl: the relay verifies the certificate of {group.text('host')}, which "
                "Kannel may not do. If its authority is a private one, set tls: {ca_file: ...}",
            )  # fmt: skip
            if key_file:
                carrier["tls"] = {"certificate_file": key_file, "key_file": key_file}
        login = _login(group)
        carrier["system_id"] = login[1]
        carrier["password"] = group.text("smsc-password")
        if group.text("system-type"):
            carrier["system_type"] = group.text("system-type")
        if group.flag("transceiver-mode"):
            group.text("receive-port")
        else:
            carrier["bind"] = "transmitter+receiver"
            receiver = group if group.number("receive-port") else self._receivers.get(login)
            if receiver is None:
                group.remark(
                    "Kannel only sends over this connection. The relay also binds as a receiver, which gets the "
                    "receipts: ask the carrier whether it allows that, or for a transceiver"
                )
            else:
                used.add(login)
                if receiver.number("receive-port") != port:
                    receiver.leave_out(f"the relay binds as receiver at port {port}, too", "receive-port")
        # Kannel writes 0x33 as 33.
        if (version := group.text("interface-version", "34")) != "34":
            carrier["interface_version"] = f"0x{version}"
        for key, old in (("addr_ton", "bind-addr-ton"), ("addr_npi", "bind-addr-npi")):
            if value := group.number(old):
                carrier[key] = value
        if group.text("address-range"):
            carrier["address_range"] = group.text("address-range")
        carrier |= {"binds": 1, "rate": 0}
        carrier["window"] = int(group.number("max-pending-submits") or _DEFAULT_WINDOW)
        for key, old in (("enquire_link_seconds", "enquire-link-interval"), ("response_timeout_seconds", "wait-ack")):
            if value := group.number(old):
                carrier[key] = value
        if (delay := group.number("reconnect-delay")) is not None:
            carrier["reconnect_min_seconds"] = delay
            carrier["reconnect_max_seconds"] = max(60, delay)
        if group.text("wait-ack-expire", "1") != "1":
            group.leave_out("a message without a response goes out again (`in_doubt`)", "wait-ack-expire")
        return carrier

    def _messages(self, group: Group, carrier: Table) -> None:
        """The form of messages and receipts."""
        if (ids := group.number("msg-id-type")) is not None:
            carrier["dialect"] = {"preset": f"kannel-{int(ids)}"}
        if charset := group.text("alt-charset"):
            if charset.lower() in _ALPHABETS:
                carrier["default_alphabet"] = _ALPHABETS[charset.lower()]
            else:
                group.leave_out(f"{charset}: the relay has gsm, latin1, ascii and ucs2; see `default_alphabet`",
                                "alt-charset")  # fmt: skip
        if group.text("service-type"):
            carrier["service_type"] = group.text("service-type")
        # Kannel takes a type and a plan only together.
        source = group.number("source-addr-ton"), group.number("source-addr-npi")
        detects = group.flag("source-addr-autodetect", default=True)
        if None not in source:
            for key, value, of_names in (("source_ton", source[0], 5), ("source_npi", source[1], 0)):
                carrier[key] = {"number": value, "short_code": value, "name": of_names} if detects else value
        elif not detects:
            carrier |= {"source_ton": 2, "source_npi": 1}
        destination = group.number("dest-addr-ton"), group.number("dest-addr-npi")
        if None not in destination:
            carrier["destination_ton"], carrier["destination_npi"] = destination

    def _rules(self, group: Group, name: str) -> SmscRules:
        unroutable = [key for key in _UNROUTABLE if key in group]
        if unroutable:
            group.leave_out(f"no route names carriers.{name}, because the relay has no patterns for numbers: write its "
                            "routes", *unroutable)  # fmt: skip
        return SmscRules(
            name,
            group.items("allowed-smsc-id"),
            group.items("denied-smsc-id"),
            group.items("preferred-smsc-id"),
            group.prefixes("allowed-prefix"),
            group.prefixes("denied-prefix"),
            group.prefixes("preferred-prefix"),
            bool(unroutable),
        )


def _only_receives(group: Group) -> bool:
    return "receive-port" in group and "port" not in group and not group.flag("transceiver-mode")


def _login(group: Group) -> tuple[str, str]:
    return group.text("host"), group.text("smsc-username") or group.text("system-id")


def _name(text: str) -> str:
    """A name as the relay allows it: other characters become hyphens."""
    name = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._+@-") else "-" for letter in text)
    return name[:64] if name[:1].isalnum() else f"carrier{name}"[:64]
