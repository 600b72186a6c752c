"""Turns a kannel.conf into a configuration of the relay."""

from typing import Final

from relay.importing.imported import Imported, Table, Unsuitable, listener, url_needs_private
from relay.importing.kannel_carriers import SmppCarriers
from relay.importing.kannel_file import Group, ReadFiles, read_groups
from relay.importing.kannel_logins import add_smpp_server
from relay.importing.kannel_routes import Sender, add_kannel_routes

_SENDSMS_PORT: Final = 13013
_OWN_SETTINGS: Final = "the relay has its own settings for this"
_BY_ADDRESS: Final = "the relay allows addresses for SMPP logins only (`allow_from`): set a firewall or a reverse proxy"
_BY_NUMBER: Final = "write it as a route of the account, or as a list (`lists` with `on_match: refuse`)"
_LISTS: Final = (
    "white-list", "white-list-regex", "black-list", "black-list-regex", "white-list-sender", "white-list-sender-regex",
    "black-list-sender", "black-list-sender-regex", "white-list-receiver", "white-list-receiver-regex",
    "black-list-receiver", "black-list-receiver-regex",
)  # fmt: skip
_USER_REASONS: Final = {
    _BY_ADDRESS: ("user-deny-ip", "user-allow-ip"),
    _BY_NUMBER: ("denied-prefix", "denied-prefix-regex", "allowed-prefix-regex", *_LISTS),
    "a long text goes in as many parts as it needs": ("max-messages", "concatenation", "split-chars", "split-suffix"),
    "the relay doesn't change texts": ("header", "footer", "omit-empty"),
    "set `notification_url` of the account": ("dlr-url", "dlr-mask"),
    "set `priority` and `highest_priority` of the account": ("forced-priority", "max-priority"),
}
_SERVICE_REASONS: Final = {
    "the relay sends no answers to handsets: the receiver of the message can submit one": (
        "text", "file", "exec", "header", "footer", "prefix", "suffix", "faked-sender", "forced-smsc",
        "default-smsc", "send-sender", "assume-plain-text", "accept-x-kannel-headers", "omit-empty", "concatenation",
        "split-chars", "split-suffix", "dlr-url", "dlr-mask",
    ),
    "the receiver gets the whole text": ("strip-keyword", "catch-all"),
    "an inbound rule has the number and the first word only": (
        "accepted-account", "accepted-account-regex", "accepted-smsc-regex", "allowed-prefix", "allowed-prefix-regex",
        "denied-prefix", "denied-prefix-regex", "allowed-receiver-prefix", "allowed-receiver-prefix-regex",
        "denied-receiver-prefix", "denied-receiver-prefix-regex", *_LISTS,
    ),
}  # fmt: skip


def import_kannel(name: str, read_files: ReadFiles) -> Imported:
    """Reads a kannel.conf, with the files that it includes.

    :param name: the file's name, for `read_files` and for the lines about what was left out.
    :raises ImportProblem: a file can't be read, or isn't a kannel.conf.
    """
    imported = Imported()
    imported.table("http")
    imported.table("smpp")
    imported.table("accounts")
    imported.table("carriers")
    by_kind: dict[str, list[Group]] = {}
    for group in read_groups(name, read_files, imported):
        by_kind.setdefault(group.kind, []).append(group)
    core, boxes = by_kind.pop("core", []), by_kind.pop("smsbox", [])
    sender = _listeners(core, boxes, imported)
    carriers = SmppCarriers(imported)
    carriers.add_all(by_kind.pop("smsc", []))
    users = [_account(group, sender, imported) for group in by_kind.pop("sendsms-user", [])]
    for group in by_kind.pop("opensmppbox", []):
        add_smpp_server(group, read_files, imported)
    senders = {user.account: user for user in users if user is not None}
    # Accounts with an SMPP login only have no rules of their own.
    others = [Sender(account) for account in imported.table("accounts") if account not in senders]
    add_kannel_routes(imported, name, carriers.rules, [*senders.values(), *others])
    for group in by_kind.pop("sms-service", []):
        _service(group, carriers, imported)
    for group in [group for groups in by_kind.values() for group in groups]:
        group.remark("has no counterpart here")
    imported.drop_empty()
    return imported


def _listeners(core: list[Group], boxes: list[Group], imported: Imported) -> str:
    """The listener of sendsms. Returns the sender of messages that name none."""
    sender = ""
    places: list[str] = []
    for box in boxes:
        tls: dict[str, str] = {}
        if box.flag("sendsms-port-ssl"):
            tls = {"key_file": _of(core, "ssl-server-key-file"), "certificate_file": _of(core, "ssl-server-cert-file")}
        port = int(box.number("sendsms-port") or _SENDSMS_PORT)
        places.append(listener(port, box.text("sendsms-interface"), **tls))
        sender = sender or box.text("global-sender")
        if box.text("sendsms-url", "/cgi-bin/sendsms") != "/cgi-bin/sendsms":
            box.leave_out("the path is /cgi-bin/sendsms here", "sendsms-url")
        box.leave_out("applies to all accounts in Kannel; " + _BY_NUMBER, "allowed-prefix", "denied-prefix", *_LISTS)
        box.finish()
    for group in core:
        group.leave_out("write numbers with their country code", "unified-prefix")
        group.leave_out("write the file as a list (`lists` with `on_match: refuse`)", *_LISTS)
        group.finish(_OWN_SETTINGS)
    if places:
        imported.tables["http"] = {"listen": places, "kannel": True}
    return sender


def _of(groups: list[Group], key: str) -> str:
    return next((group.text(key) for group in groups if key in group), "")


def _account(group: Group, global_sender: str, imported: Imported) -> Sender | None:
    name = group.text("username")
    if not name:
        group.remark("it has no username")
        return None
    account = imported.add_account(group.place, name, group.text("password"))
    faked = group.text("faked-sender")
    # Kannel's order: a user's faked-sender, the request's own sender, the user's default, the default of all.
    default = faked or group.text("default-sender") or global_sender
    if default:
        account["senders"] = {"default": default}
    sender = Sender(
        name,
        group.text("forced-smsc") or group.text("default-smsc"),
        group.prefixes("allowed-prefix"),
        faked,
    )
    if "default-smsc" in group and "forced-smsc" not in group:
        group.leave_out("is taken like forced-smsc, because the relay ignores a request's `smsc`", "default-smsc")
    group.text("name")
    for reason, keys in _USER_REASONS.items():
        group.leave_out(reason, *keys)
    group.finish()
    return sender


def _service(group: Group, carriers: SmppCarriers, imported: Imported) -> None:
    """Messages from handsets: an account that gets them, and a rule for each keyword."""
    url = group.text("get-url") or group.text("url")
    words = [group.text("keyword"), *group.items("aliases")]
    if not url or not words[0]:
        missing = "no get-url, and the relay sends no answers to handsets by itself" if words[0] else "no keyword"
        group.remark(f"keyword {words[0] or group.text('keyword-regex')!r}: it has {missing}")
        return
    try:
        private = url_needs_private(url)
    except Unsuitable as problem:
        group.remark(f"keyword {words[0]!r}: get-url: {problem}")
        return
    name = _service_name(group.text("name") or words[0], imported)
    account = imported.table("accounts", name)
    account |= {"inbound_url": url, "inbound_format": "kannel"}
    if private:
        account["allow_private_urls"] = True
    accepted = group.items("accepted-smsc")
    for identifier, names in carriers.names.items():
        if not accepted or identifier in accepted:
            for carrier in names:
                _rules(group, words, name, imported.table("carriers", carrier))
    if group.text("max-messages") != "0":
        group.remark(f"keyword {words[0]!r}: Kannel sends the answer of the URL to the handset, the relay doesn't")
    for reason, keys in _SERVICE_REASONS.items():
        group.leave_out(reason, *keys)
    group.finish()


def _rules(group: Group, words: list[str], account: str, carrier: Table) -> None:
    for word in words:
        if word == "default":
            carrier["mobile_originated"] = account
        elif len(word.split()) > 1 or "*" in word:
            group.leave_out(f"{word!r} is not one word, and a rule compares the first word only", "keyword")
        else:
            rules = carrier.setdefault("inbound", [])
            assert isinstance(rules, list)
            rules.append({"keyword": word, "account": account})


def _service_name(text: str, imported: Imported) -> str:
    """A name for the account of a service that no other account has."""
    letters = "".join(letter for letter in text if letter.isascii() and letter.isalnum())[:40] or "keyword"
    name, number = f"service-{letters}", 2
    while name in imported.table("accounts"):
        name, number = f"service-{letters}-{number}", number + 1
    return name
