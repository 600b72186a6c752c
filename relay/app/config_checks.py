"""Checks of a configuration that go beyond the type of each value.

Theory of operation: each check reads the whole `Config` and yields problems: the key, what is wrong, and what to do. No
check raises, and none shows a secret. The reader has put stand-ins in the place of values that it could not read. The
caller drops problems with stand-ins. So a check must skip them only if it compares keys with each other.

`advice` finds values that are allowed but probably a mistake.
"""

from collections.abc import Iterator

from relay.accounts.receiver_headers import header_problem, token_problem
from relay.accounts.signing import secret_key
from relay.app.charging_checks import check_charging
from relay.app.cluster_checks import check_cluster
from relay.app.login_checks import (
    NO_NAME,
    Finding,
    check_ascii,
    check_logins,
    check_network,
    is_name,
    secrets_of_logins,
)
from relay.app.route_checks import check_routes, replaced_sender
from relay.app.tracing_checks import check_tracing
from relay.carriers.api_adapter import ApiAdapter, resolve_api
from relay.carriers.api_receipts import ApiReceiptReader
from relay.config.account_config import Account, Senders
from relay.config.carrier_config import SENDER_KINDS, Carrier, Dialect, InboundRule
from relay.config.endpoint_text import is_loopback
from relay.config.model import Config
from relay.config.password_hash import is_password_hash
from relay.config.sender_patterns import AllowedSenders, SenderPattern
from relay.config.service_urls import service_url
from relay.config.tls_config import TlsFiles
from relay.config.urls import UrlProblem, check_url
from relay.config.yaml_reader import Path, did_you_mean, dotted
from relay.receipts.dialects import resolve
from relay.simulator.decisions import WORDS as SIMULATED_WORDS
from relay.text.compose import InvalidText, destination_address, source_address
from relay.text.tlv_text import read_tag, read_tlvs
from relay.values.messages import source_of

#: SMPP 3.4 section 5.2.1, without the NUL.
_LONGEST_SYSTEM_ID = 15


def check(config: Config) -> Iterator[Finding]:
    """Finds all problems of a configuration, in no particular order."""
    yield from _basics(config)
    yield from _listeners(config)
    yield from _operators(config)
    yield from _exposure(config)
    yield from check_logins(config)
    for name, account in config.accounts.items():
        yield from _account(("accounts", name), account)
    for name, carrier in config.carriers.items():
        yield from _carrier(("carriers", name), carrier, config)
    for name, numbers in config.lists.items():
        if not numbers.file:
            yield ("lists", name, "file"), "must not be empty: it is the file with the numbers"
        if numbers.tag_column == "0":
            yield ("lists", name, "tag_column"), "columns are counted from 1"
        if numbers.tag_column and numbers.on_match == "refuse":
            yield ("lists", name, "tag_column"), "has no effect with on_match: refuse; leave one of them out"
    try:
        if config.decisions.url:
            service_url(config.decisions.url)
    except UrlProblem as problem:
        yield ("decisions", "url"), str(problem)
    yield from check_routes(config)
    yield from check_cluster(config)
    yield from check_charging(config)
    yield from check_tracing(config)


def advice(config: Config) -> list[str]:
    """Finds values that are allowed but probably a mistake. Returns one sentence for each."""
    notes = []
    if not config.accounts:
        notes.append("accounts: there are none, so nobody can submit messages")
    if not config.routes:
        notes.append("routes: there are none, so every message ends as REJECTD")
    notes += [
        f"accounts.{name}: has neither api_key nor smpp, so it can't log in"
        for name, account in config.accounts.items()
        if account.api_key is None and account.smpp is None
    ]
    used = {carrier for route in config.routes for carrier in route.carrier_names}
    notes += [f"carriers.{name}: no route names it" for name in config.carriers if name not in used]
    if config.routes and not any(route.prefix == "" for route in config.routes):
        notes.append("routes: every route has a prefix; messages to other numbers end as REJECTD")
    if config.journal.sync != "always":
        notes.append(f"journal.sync: {config.journal.sync}: a crash may lose messages that were accepted")
    return notes


def _basics(config: Config) -> Iterator[Finding]:
    if not config.data_dir:
        yield ("data_dir",), "must not be empty: it is the directory of the journal"
    if config.validity_seconds == 0:
        yield ("validity_seconds",), "must be above 0, or every message ends before it is sent"
    for index, network in enumerate(config.trusted_proxies):
        yield from check_network(("trusted_proxies", index), network)
    for path, description in _listening(config):
        if description.startswith("haproxy:") and not config.trusted_proxies:
            yield path, f"{description!r}: put the addresses from which the proxy connects into trusted_proxies"
    for table, names in (("accounts", config.accounts), ("carriers", config.carriers)):
        for name in names:
            if not is_name(name):
                # Names are used in logins (NAME:KEY), paths (/carriers/NAME/...) and metrics.
                yield (table, name), NO_NAME


# Listeners


def _listening(config: Config) -> list[tuple[Path, str]]:
    """All endpoints on which the relay listens: the key, and the endpoint's description."""
    places: list[tuple[Path, str]] = [
        ((table, "listen", index), description)
        for table in ("http", "smpp", "admin")
        for index, description in enumerate(getattr(config, table).listen)
    ]
    if config.demo.receiver:
        places.append((("demo", "receiver"), config.demo.receiver))
    places += [
        (("carriers", name, "simulator", "listen"), carrier.simulator.listen)
        for name, carrier in config.carriers.items()
        if carrier.kind == "simulator"
    ]
    return places


def _listeners(config: Config) -> Iterator[Finding]:
    taken: dict[str, Path] = {}
    for path, description in _listening(config):
        if not description:
            yield path, 'must not be empty; write an endpoint such as "tcp:8080:interface=127.0.0.1"'
        elif description in taken and not description.startswith("tcp:0"):
            yield path, f"the same endpoint as {dotted(taken[description])}; give each listener its own port"
        taken.setdefault(description, path)


def _operators(config: Config) -> Iterator[Finding]:
    if config.admin.api and not config.admin.users:
        yield (
            ("admin", "api"),
            "needs admin.users, so that the record of changes names a person: add a user with the role configure",
        )
    for name, user in config.admin.users.items():
        path = ("admin", "users", name)
        if not is_name(name):
            yield path, NO_NAME
        if name == "operator":
            yield path, "is the user of admin.password: choose another name"
        if not is_password_hash(user.password.reveal()):
            yield (*path, "password"), "expected a hash: python -m relay password prints it for a password"


def _exposure(config: Config) -> Iterator[Finding]:
    """Refuses listeners without a password, and keys from the documentation, if other machines can reach them."""
    exposed = [path for path, description in _listening(config) if description and not is_loopback(description)]
    if not exposed:
        return
    admin = next((path for path in exposed if path[0] == "admin"), None)
    if admin is not None and config.admin.password is None and not config.admin.users:
        yield admin, "is reachable from other machines: set admin.password or admin.users, or add interface=127.0.0.1"
    where = dotted(exposed[0])
    for path, secret in secrets_of_logins(config):
        if secret.reveal().lower().startswith("demo"):
            yield path, f"a demo key or password, and {where} is reachable from other machines: choose another secret"
    if config.demo.receiver:
        yield ("demo", "receiver"), f"is for loopback only, and {where} is reachable from other machines: leave it out"


# Accounts


def _account(path: Path, account: Account) -> Iterator[Finding]:
    for key in ("notification_url", "notification_fallback_url", "inbound_url"):
        url: str | None = getattr(account, key)
        if url is not None:
            try:
                check_url(url, allow_private=account.allow_private_urls)
            except UrlProblem as problem:
                hint = "" if account.allow_private_urls or "leads to" not in str(problem) else _PRIVATE_HINT
                yield (*path, key), f"{problem}{hint}"
    if account.notification_secret is not None:
        try:
            secret_key(account.notification_secret.reveal())
        except ValueError as problem:
            yield (*path, "notification_secret"), str(problem)
    yield from _receiver_headers(path, account)
    if account.notification_tls is not None:
        yield from _tls_files((*path, "notification_tls"), account.notification_tls)
    yield from _senders((*path, "senders"), account.senders)
    for number in account.test_numbers:
        try:
            destination_address(number)
        except InvalidText as problem:
            yield (*path, "test_numbers", number), problem.reason


def _receiver_headers(path: Path, account: Account) -> Iterator[Finding]:
    names: dict[str, str] = {}
    for name, value in account.notification_headers.items():
        here = (*path, "notification_headers", name)
        problem = header_problem(name, value.reveal())
        if problem is not None:
            yield here, problem
        elif names.setdefault(name.lower(), name) != name:
            yield here, f"is the same header as {names[name.lower()]}; leave one out"
    if account.notification_token is not None:
        problem = token_problem(account.notification_token.reveal())
        if problem is not None:
            yield (*path, "notification_token"), problem
        elif "authorization" in names:
            yield (*path, "notification_token"), "and the header Authorization exclude each other; leave one out"


def _tls_files(path: Path, files: TlsFiles) -> Iterator[Finding]:
    if bool(files.certificate_file) != bool(files.key_file):
        yield path, "certificate_file and key_file go together: give both or neither"


def _senders(path: Path, senders: Senders) -> Iterator[Finding]:
    readable = True
    for index, text in enumerate(senders.allow):
        try:
            SenderPattern(text)
        except ValueError as problem:
            readable = False
            yield (*path, "allow", index), str(problem)
    if not senders.default:
        return
    try:
        sender = source_of(source_address(senders.default) + b"\0\0\0")
    except InvalidText as problem:
        yield (*path, "default"), problem.reason
        return
    if readable and senders.allow and not AllowedSenders(senders.allow).allow(sender):
        yield (*path, "default"), "`allow` doesn't allow this sender; add it there"


_PRIVATE_HINT = " If you want that, set allow_private_urls: true."


# Carriers


def _carrier(path: Path, carrier: Carrier, config: Config) -> Iterator[Finding]:
    connect = carrier.connect
    if carrier.kind == "smpp" and not connect:
        yield (*path, "connect"), 'missing; write a client endpoint such as "tcp:smpp.example.net:2775"'
    if carrier.kind == "simulator" and connect:
        yield (*path, "connect"), "has no effect with kind: simulator, which runs inside the relay; leave it out"
    if carrier.kind == "http":
        try:
            check_url(connect, allow_private=True)
        except UrlProblem as problem:
            yield (*path, "connect"), f"with kind: http this is the other relay's URL. {problem}"
        if carrier.signing_secret is None:
            yield (
                (*path, "signing_secret"),
                "missing; with kind: http the relay uses it to check that notifications are from the carrier",
            )
    if carrier.kind == "api":
        yield from _api(path, carrier)
    elif carrier.signing_secret is not None:
        try:
            secret_key(carrier.signing_secret.reveal())
        except ValueError as problem:
            yield (*path, "signing_secret"), str(problem)
    for key in ("query_sm", "cancel_sm"):
        if carrier.kind in ("http", "api") and getattr(carrier, key):
            yield (*path, key), f"doesn't work with kind: {carrier.kind}, which has no such request; leave it out"
    if carrier.kind in ("http", "api") and not _is_plain(carrier):
        yield (
            path,
            "has keys for the form of messages, which another relay or the carrier chooses itself; leave them out",
        )
    for key in ("source_ton", "source_npi"):
        by_kind = getattr(carrier, key)
        for kind in by_kind if isinstance(by_kind, dict) else ():
            if kind not in SENDER_KINDS:
                yield (*path, key, kind), f"there is no such kind of sender: expected one of {', '.join(SENDER_KINDS)}"
    for side in ("source", "destination"):
        if getattr(carrier, f"{side}_form") == "national" and not carrier.country_code:
            yield (*path, "country_code"), f"missing; {side}_form: national needs it"
    yield from check_ascii((*path, "service_type"), carrier.service_type)
    try:
        read_tlvs(carrier.tlvs)
    except ValueError as problem:
        yield (*path, "tlvs"), str(problem)
    if carrier.tls is not None and not connect.startswith("tls:"):
        yield (*path, "tls"), 'has no effect without TLS: begin connect with "tls:", or leave tls out'
    if carrier.tls is not None:
        yield from _tls_files((*path, "tls"), carrier.tls)
    if carrier.reconnect_max_seconds < carrier.reconnect_min_seconds:
        yield (*path, "reconnect_max_seconds"), "is less than reconnect_min_seconds"
    for key in ("system_id", "system_type", "address_range"):
        yield from check_ascii((*path, key), getattr(carrier, key))
    if carrier.kind not in ("http", "api"):
        if len(carrier.system_id) > _LONGEST_SYSTEM_ID:
            yield (*path, "system_id"), f"expected text of at most {_LONGEST_SYSTEM_ID} characters, as SMPP allows"
        yield from check_ascii((*path, "password"), carrier.password.reveal())
    if carrier.mobile_originated != "refuse":
        yield from _gets_messages((*path, "mobile_originated"), carrier.mobile_originated, config)
    for index, rule in enumerate(carrier.inbound):
        yield from _inbound_rule((*path, "inbound", index), rule, config)
    yield from replaced_sender((*path, "replace_sender"), carrier.replace_sender)
    yield from _dialect((*path, "dialect"), carrier.dialect)
    if carrier.kind == "simulator":
        yield from _simulator((*path, "simulator", "states"), carrier.simulator.states)
        for index, tag in enumerate(carrier.simulator.tlvs):
            try:
                read_tag(tag)
            except ValueError as problem:
                yield (*path, "simulator", "tlvs", index), str(problem)


def _api(path: Path, carrier: Carrier) -> Iterator[Finding]:
    base_url, api = resolve_api(carrier)
    for key, url in (("connect", base_url), ("api.public_url", carrier.api.public_url)):
        try:
            if not url:
                raise UrlProblem("The preset has none, so write one such as https://sms.example.net.")
            check_url(url, allow_private=True)
        except UrlProblem as problem:
            yield (*path, *key.split(".")), f"with kind: api this is a URL. {problem}"
    if api.receipts.verify != "twilio" and (carrier.signing_secret is None or not carrier.signing_secret.reveal()):
        yield (*path, "signing_secret"), f"missing; receipts are verified with it (verify: {api.receipts.verify})"
    if api.receipts.verify == "hmac-sha256" and not api.receipts.signature_header:
        yield (*path, "api", "receipts", "signature_header"), "missing; verify: hmac-sha256 needs it"
    for name in (api.receipts.signature_header or "", *(api.headers or ())):
        if not name.isascii() or not name.isprintable() or " " in name or ":" in name:
            yield (*path, "api"), f"{name!r} is no name of a header"
    for make, table in ((ApiAdapter, ("api",)), (ApiReceiptReader, ())):
        try:
            if table or carrier.signing_secret is not None:
                make("x", carrier)
        except ValueError as problem:
            # The text is like "errors.429: ...": the key within the table, and its problem.
            key, _, what = str(problem).partition(": ")
            yield (*path, *table, *key.split(".", 1)), what


def _is_plain(carrier: Carrier) -> bool:
    """Whether the carrier has none of the keys that `relay.carriers.wanted_form` reads."""
    defaults = Carrier()
    return all(getattr(carrier, key) == getattr(defaults, key) for key in _FORM_KEYS)


_FORM_KEYS = (
    "default_alphabet", "long_messages", "service_type", "source_ton", "source_npi", "source_form", "destination_ton",
    "destination_npi", "destination_form", "country_code", "trunk_prefix", "tlvs",
)  # fmt: skip


def _gets_messages(path: Path, name: str, config: Config, over: str = "auto") -> Iterator[Finding]:
    """Whether an account can get messages from handsets in this way."""
    account = config.accounts.get(name)
    if account is None:
        yield path, f"there is no account {name!r}{did_you_mean(name, ['refuse', *config.accounts])}"
    elif over == "auto" and account.smpp is None and account.inbound_url is None:
        yield path, f"accounts.{name} has no inbound_url and no smpp login, so nobody could receive them"
    elif over in ("http", "both") and account.inbound_url is None:
        yield path, f"accounts.{name} has no inbound_url"
    elif over in ("smpp", "both") and account.smpp is None:
        yield path, f"accounts.{name} has no smpp login"


def _inbound_rule(path: Path, rule: InboundRule, config: Config) -> Iterator[Finding]:
    yield from _gets_messages((*path, "account"), rule.account, config, rule.over)
    number = rule.to.removeprefix("+").removesuffix("*")
    if "*" in number or not number.isascii() or not number.isprintable() or " " in number:
        yield (*path, "to"), f"{rule.to!r} is no number; write one such as 12345, or the beginning of some as 4477*"
    word = rule.keyword.removesuffix("*")
    if "*" in word or len(word.split()) > 1 or word != word.strip():
        yield (
            (*path, "keyword"),
            f"{rule.keyword!r} is no word; write one such as STOP, or the beginning of some as ST*",
        )


def _dialect(path: Path, dialect: Dialect) -> Iterator[Finding]:
    try:
        resolve(dialect)
    except ValueError as problem:
        # The text is like "states.FAILED: there is no ...": the key within the dialect, and its problem.
        key, _, what = str(problem).partition(": ")
        table, _, word = key.partition(".")
        yield (*path, table, word) if word else (*path, table), what


def _simulator(path: Path, shares: dict[str, float]) -> Iterator[Finding]:
    for word, share in shares.items():
        if word not in SIMULATED_WORDS:
            known = ", ".join(SIMULATED_WORDS)
            yield (*path, word), f"there is no such state: expected one of {known}"
        elif share < 0:
            yield (*path, word), "expected a share of 0 or more"
    if not any(share > 0 for share in shares.values()):
        yield path, "the shares must add up to more than 0"
