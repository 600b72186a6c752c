"""The configuration as types: every key of the YAML file, its meaning, its default and its bounds.

No other module knows a default. The loader (`relay.app.load_config`) converts YAML to these types and reports values
that don't fit. The configuration reference in docs/ is generated from them.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from relay.config.api_settings import Api
from relay.config.config_struct import ConfigStruct
from relay.text.carrier_form import LongMessages, NumberForm
from relay.text.text_form import Alphabet
from relay.values.amounts import AMOUNT_PATTERN
from relay.values.secret import Secret


def _text(description: str) -> Meta:
    return Meta(description=description)


_LISTEN = _text("Twisted server endpoints; with TLS: `ssl:PORT:privateKey=FILE:certKey=FILE`.")

Seconds = Annotated[float, Meta(ge=0)]


class Journal(ConfigStruct, frozen=True):
    """Where and how accepted messages are made durable."""

    sync: Annotated[
        Literal["always", "interval", "never"],
        _text(
            "always: fdatasync before each answer; interval: fdatasync once a second; never: the kernel decides when "
            "to write."
        ),
    ] = "always"
    segment_bytes: Annotated[int, Meta(ge=65536, description="A new segment file begins at this size.")] = 16_777_216
    segment_seconds: Annotated[float, Meta(ge=1, description="A new segment file begins at this age.")] = 3600.0
    text_hours: Annotated[
        float, Meta(gt=0, description="A segment is compacted after so many hours, so that texts leave the disk.")
    ] = 24.0


class Limits(ConfigStruct, frozen=True):
    """Bounds on memory. At a bound the relay refuses more, tells the sender why, and keeps running."""

    messages: Annotated[
        int, Meta(ge=1, description="Messages that have not ended; at the bound, new ones are refused as 'queue full'.")
    ] = 5_000_000
    scheduled: Annotated[
        int,
        Meta(
            ge=0,
            description="Messages of one account that wait for their time (`send_at`, schedule_delivery_time); at the "
            "bound new ones get 'queue full'.",
        ),
    ] = 100_000
    finished: Annotated[int, Meta(ge=0, description="Ended messages kept for queries and late receipts.")] = 200_000
    finished_hours: Annotated[float, Meta(gt=0, description="Hours for which ended messages are kept.")] = 168.0
    orphans: Annotated[
        int,
        Meta(
            ge=0,
            description="Orphans kept: receipts whose carrier message id is not known yet. As many again are kept of "
            "those that found no message in time, of carriers whose receipts match too few messages.",
        ),
    ] = 100_000
    orphan_seconds: Annotated[float, Meta(gt=0, description="How long an orphan waits for its message.")] = 600.0
    unreadable: Annotated[int, Meta(ge=0, description="Unreadable receipts kept for the operator.")] = 1_000
    queue_bytes: Annotated[
        int, Meta(ge=65536, description="Texts of one carrier's queue kept in memory; others stay in the journal.")
    ] = 67_108_864
    request_bytes: Annotated[int, Meta(ge=1024, description="Largest HTTP request body.")] = 1_048_576
    connections: Annotated[int, Meta(ge=1, description="Connections that a listener serves at once.")] = 2_000
    connections_per_address: Annotated[
        int, Meta(ge=1, description="Connections that one address (IPv6: one /64) may hold.")
    ] = 200
    connections_before_login: Annotated[
        int,
        Meta(
            ge=1,
            description="HTTP connections of one address without a login; at the bound the longest idle one is closed.",
        ),
    ] = 100
    requests_before_login: Annotated[
        float, Meta(ge=0, description="HTTP requests a second that one address may make without a login; 0 = no limit.")
    ] = 100.0
    bytes_before_login: Annotated[
        int, Meta(ge=65536, description="Octets of HTTP bodies under way from one address without a login.")
    ] = 4_194_304
    pdu_bytes: Annotated[int, Meta(ge=1024, le=16_777_216, description="Largest SMPP PDU (command_length).")] = 65_536
    idempotency_keys: Annotated[int, Meta(ge=0, description="Idempotency-Keys remembered; each for 24 hours.")] = (
        200_000
    )
    quality_groups: Annotated[
        int,
        Meta(
            ge=10,
            le=20_000,
            description="Groups of carrier, country code and account for which delivered messages are counted; further "
            "ones are counted together, for each carrier.",
        ),
    ] = 1_000
    inbound_parts: Annotated[
        int, Meta(ge=1, description="Parts of long messages from handsets that wait for the other parts.")
    ] = 10_000
    inbound_part_seconds: Annotated[
        float,
        Meta(gt=0, description="How long they wait. After that the account gets the message without the other parts."),
    ] = 3600.0


class HttpListener(ConfigStruct, frozen=True):
    """The customers' HTTP API and account page."""

    listen: Annotated[list[str], _LISTEN] = field(default_factory=lambda: ["tcp:8080:interface=127.0.0.1"])
    kannel: Annotated[bool, _text("Serve Kannel's GET /cgi-bin/sendsms as well.")] = False
    jasmin: Annotated[bool, _text("Serve Jasmin's /send as well.")] = False
    failed_logins_a_minute: Annotated[
        int,
        Meta(
            ge=0,
            description="Wrong API keys in a minute, from one address and for one account; 0 = no limit.",
        ),
    ] = 60


class SmppListener(ConfigStruct, frozen=True):
    """The customers' SMPP server."""

    listen: Annotated[list[str], _LISTEN] = field(default_factory=lambda: ["tcp:2775:interface=127.0.0.1"])
    system_id: Annotated[str, Meta(max_length=15, description="The relay's system_id in bind responses.")] = "relay"
    window: Annotated[int, Meta(ge=1, le=10_000, description="Unanswered deliver_sm of a session.")] = 100
    pending_requests: Annotated[
        int, Meta(ge=1, description="Unanswered requests of a session; further ones get ESME_RTHROTTLED.")
    ] = 1_000
    bind_timeout_seconds: Annotated[Seconds, _text("How long a connection may stay unbound.")] = 10.0
    enquire_link_seconds: Annotated[Seconds, _text("Silence after which the relay sends enquire_link.")] = 30.0
    response_timeout_seconds: Annotated[Seconds, _text("How long a deliver_sm waits for its response.")] = 60.0
    inactivity_seconds: Annotated[Seconds, _text("Silence after which a session is ended; 0 = never.")] = 0.0
    failed_binds_a_minute: Annotated[int, Meta(ge=1, description="Failed binds allowed to one address.")] = 20


#: What a user of the admin listener may do; each may do what the ones before it may.
Role = Literal["view", "act", "configure"]


class AdminUser(ConfigStruct, frozen=True):
    """A user of the operator's page. The name is in the record of what operators did."""

    password: Annotated[Secret, _text("What `python -m relay password` prints for the user's password.")]
    role: Annotated[
        Role,
        _text(
            "`view` looks at everything; `act` also holds, unbinds, resends and tops balances up; `configure` also "
            "reloads."
        ),
    ] = "view"


class AdminListener(ConfigStruct, frozen=True):
    """Metrics, health and the operator's page. Not for customers."""

    listen: Annotated[list[str], _LISTEN] = field(default_factory=lambda: ["tcp:9090:interface=127.0.0.1"])
    password: Annotated[
        Secret | None, _text("The password of user 'operator'. Off loopback, set it or have `users`.")
    ] = None
    users: dict[str, AdminUser] = field(default_factory=dict)
    api: Annotated[
        bool,
        _text(
            "Lets users with the role configure change accounts, carriers and routes over HTTP (docs/admin-api.md). "
            "Needs `users`. What it changes is in `data_dir`/conf.d, which the relay reads in any case."
        ),
    ] = False


class AccountSmpp(ConfigStruct, frozen=True):
    """An SMPP login of an account."""

    system_id: Annotated[str, Meta(min_length=1, max_length=15, description="The login name.")]
    password: Annotated[Secret, _text("SMPP 3.4 allows eight characters; longer passwords are accepted.")]
    old_password: Annotated[
        Secret | None, _text("The password before. It is valid, too, until `old_password_until`.")
    ] = None
    old_password_until: Annotated[
        str,
        _text(
            "An instant such as `2026-12-24T12:00:00Z`, with its time zone. Sessions that bound with the old password "
            "end then."
        ),
    ] = ""
    max_binds: Annotated[int, Meta(ge=1, description="Sessions that may be bound at once.")] = 4
    allow_from: Annotated[list[str], _text("Networks that may bind; empty = any.")] = field(default_factory=list)
    receipts: Annotated[
        Literal["own", "first"],
        _text(
            "Which sessions get the receipts of the messages that this login submits. own: those of this login; first: "
            "those of the account's first login, `smpp`."
        ),
    ] = "own"


class TlsFiles(ConfigStruct, frozen=True):
    """Files for connections over TLS."""

    ca_file: Annotated[str, _text("CA certificates; empty = the system's.")] = ""
    certificate_file: Annotated[str, _text("Our client certificate.")] = ""
    key_file: Annotated[str, _text("Its key; must not be readable by others.")] = ""


class CarrierTls(TlsFiles, frozen=True):
    """Files for SMPP over TLS. The relay always verifies the carrier's certificate."""


class NotificationTls(TlsFiles, frozen=True):
    """Files for webhooks over TLS. The relay always verifies the receiver's certificate."""


class Senders(ConfigStruct, frozen=True):
    """The senders (from) of an account's messages."""

    allow: Annotated[
        list[str],
        _text(
            'Senders that the account may use, each as in a route\'s `sender`: `[ACME, "4477*", numeric]`; empty = all.'
        ),
    ] = field(default_factory=list)
    default: Annotated[
        str, _text("The sender of messages that name none, over every interface; empty = the customer must name one.")
    ] = ""


class Quota(ConfigStruct, frozen=True):
    """How many messages an account may send. Counted are accepted messages, except those to test numbers."""

    daily: Annotated[int, Meta(ge=0, description="Messages a day; 0 = no limit.")] = 0
    monthly: Annotated[int, Meta(ge=0, description="Messages a calendar month; 0 = no limit.")] = 0
    time_zone: Annotated[
        str, _text("Where days and months begin at midnight: a name such as `Europe/London`, or `UTC`.")
    ] = "UTC"


#: An amount of money as text: never a float.
Amount = Annotated[str, Meta(pattern=AMOUNT_PATTERN)]


class PriceTable(ConfigStruct, frozen=True):
    """What an SMS costs the accounts that have these prices. See docs/charging.md."""

    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="The currency, in three capital letters: `EUR`.")]
    by_prefix: Annotated[
        dict[str, Amount],
        _text(
            'The price of one SMS by the beginning of the number: `{"": 0.05, "44": 0.035}`. The longest match wins; '
            '`""` is for all others. A number that matches nothing is refused.'
        ),
    ]


class Account(ConfigStruct, frozen=True):
    """A customer."""

    api_key: Annotated[Secret | None, _text("HTTP: Basic account:key, or Bearer key.")] = None
    smpp: Annotated[AccountSmpp | None, _text("Without it the account can't use SMPP.")] = None
    smpp_logins: Annotated[
        dict[str, AccountSmpp],
        _text("Further ones by name, for other programs of the customer; see docs/smpp.md. They need `smpp`."),
    ] = field(default_factory=dict)
    notification_url: Annotated[str | None, _text("Where webhooks go. The customer can set another URL.")] = None
    notification_fallback_url: Annotated[str | None, _text("Tried if the first URL fails.")] = None
    notification_format: Annotated[Literal["json", "form"], _text("How the five fields are written.")] = "json"
    notification_secret: Annotated[Secret | None, _text("Standard Webhooks secret, whsec_...; signs every POST.")] = (
        None
    )
    sign: Annotated[
        bool,
        _text(
            "true: an account without a notification_secret gets one, and My Account shows it. false: its webhooks "
            "aren't signed."
        ),
    ] = True
    notification_headers: Annotated[
        dict[str, Secret], _text("Headers that this account's receivers ask for; every webhook and callback has them.")
    ] = field(default_factory=dict)
    notification_token: Annotated[
        Secret | None, _text("A token that the receivers ask for; sent as `Authorization: Bearer TOKEN`.")
    ] = None
    notification_tls: Annotated[
        NotificationTls | None, _text("For receivers that ask for a client certificate or have a private authority.")
    ] = None
    notification_batch: Annotated[
        int, Meta(ge=1, le=1000, description="Notifications in one POST (an array above 1).")
    ] = 1
    notification_concurrency: Annotated[int, Meta(ge=1, le=1000, description="POSTs under way at once to one URL.")] = 8
    notify: Annotated[
        Literal["final", "all", "progress"],
        _text(
            "all: also ENROUTE and ACCEPTD, where a carrier reports them; progress: also ENROUTE when a carrier has "
            "taken the message."
        ),
    ] = "final"
    error_codes: Annotated[
        Literal["standard", "carrier"], _text("carrier: `error` is the carrier's err, verbatim.")
    ] = "standard"
    unanswered: Annotated[Literal["notify", "silent"], _text("How a message without any receipt ends.")] = "notify"
    allow_private_urls: Annotated[bool, _text("Allows webhooks to loopback and private addresses.")] = False
    rate: Annotated[float, Meta(ge=0, description="Messages a second; 0 = no limit.")] = 0.0
    burst: Annotated[
        int, Meta(ge=0, description="Messages that may exceed the rate at once; 0 = as many as in one second.")
    ] = 0
    weight: Annotated[
        int,
        Meta(ge=1, le=100, description="Messages in one turn, when several accounts wait for a carrier."),
    ] = 1
    priority: Annotated[
        int, Meta(ge=0, le=3, description="Priority of messages that name none. Higher ones leave a queue first.")
    ] = 0
    highest_priority: Annotated[
        int,
        Meta(
            ge=0,
            le=3,
            description="The highest priority with which a message overtakes those of other accounts (at least "
            "`priority`). With a higher one it only overtakes messages of its own account.",
        ),
    ] = 0
    receipt_hours: Annotated[float, Meta(gt=0, description="How long SMPP receipts wait for a bind.")] = 72.0
    senders: Senders = field(default_factory=Senders)
    quota: Quota = field(default_factory=Quota)
    prices: Annotated[
        str, _text("The table of `prices` that says what its messages cost; empty = they have no price.")
    ] = ""
    prepaid: Annotated[
        bool, _text("Refuse messages that the account's balance doesn't pay for. `relay balance` tops it up.")
    ] = False
    refund: Annotated[
        list[Literal["EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD"]],
        _text("The final states after which a message's price is given back: `[REJECTD]`; empty = none."),
    ] = field(default_factory=list)
    low_balance: Annotated[
        Amount,
        _text(
            "Below this balance of a prepaid account, My Account and the operator's page show that it is low, and the "
            "alert RelayBalanceLow fires; 0 = never."
        ),
    ] = "0"
    test_numbers: Annotated[
        dict[str, Literal["DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD"]],
        _text(
            'Numbers, and how messages to them end: `{"15005550001": DELIVRD}`. No carrier sees these messages, and no '
            "route is needed."
        ),
    ] = field(default_factory=dict)
    inbound_url: Annotated[
        str | None, _text("Where messages from handsets go, as POSTs; see docs/http-api.md. Null = not by HTTP.")
    ] = None
    inbound_format: Annotated[
        Literal["json", "kannel", "jasmin", "jasmin-get"],
        _text(
            "json: this relay's own; kannel: GET of the URL with Kannel's escapes filled in (`%p`, `%P`, `%a`); "
            "jasmin: Jasmin's form as POST; jasmin-get: the same as GET."
        ),
    ] = "json"


class IdForm(ConfigStruct, frozen=True):
    """How a carrier writes its message ids, in submit_sm_resp or in receipts."""

    base: Annotated[Literal["as-is", "decimal", "hex"], _text("Numeric ids are compared as numbers.")] = "as-is"
    fold_case: Annotated[bool, _text("Ignore case.")] = True
    strip_zeros: Annotated[bool, _text("Ignore leading zeros.")] = False
    strip_prefix: Annotated[str, _text("Cut this from the start of the id.")] = ""
    strip_suffix: Annotated[str, _text("Cut this from the end of the id.")] = ""
    truncate: Annotated[int, Meta(ge=0, description="Compare the first N characters; 0 = all.")] = 0
    low_32_bits: Annotated[bool, _text("Compare the number's low 32 bits (with base decimal or hex).")] = False


class Dialect(ConfigStruct, frozen=True):
    """How a carrier writes receipts."""

    preset: Annotated[str, _text("Begin with the settings of a known carrier or gateway; see docs/carriers.md.")] = ""
    response_id: Annotated[IdForm | None, _text("Ids in submit_sm_resp.")] = None
    receipt_id: Annotated[IdForm | None, _text("How ids are written in the text of receipts.")] = None
    tlv_id: Annotated[IdForm | None, _text("Ids in receipted_message_id; if absent, as receipt_id.")] = None
    prefer_text_id: Annotated[bool | None, _text("Look up the id in the text before the id in the TLV.")] = None
    states: Annotated[dict[str, str] | None, _text("What the carrier's words mean: `FAILED: UNDELIV`.")] = None
    accepted_is_final: Annotated[bool | None, _text("ACCEPTD ends a message as delivered.")] = None
    unmarked_receipts: Annotated[
        bool | None, _text("Also read receipts without a mark in esm_class. A handset can forge these.")
    ] = None
    receipt_marks: Annotated[
        list[int] | None,
        _text(
            "Further message types in esm_class (under mask 0x3C, such as 8) that this carrier marks receipts with. "
            "Other senders on the carrier can forge these."
        ),
    ] = None
    fields_after_text: Annotated[
        bool | None, _text("Also read fields after `text:`. A message's text can forge these.")
    ] = None
    columns: Annotated[
        list[str] | None,
        _text(
            "For receipts in comma-separated columns: what each column holds (id, stat, err, sub, dlvrd, "
            "submit date, done date, or an empty string)."
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        _text(
            "The time zone of the dates in receipts: a name such as Asia/Kolkata, or an offset such as '+05:30'. "
            "UTC if absent."
        ),
    ] = None


#: How a receipt's number is compared with messages' destinations; see `Carrier.compare_numbers`.
NumberComparison = Literal["ending", "exact", "never"]

#: How the simulated carrier writes the number of a message. All ids of a message write the same number.
IdWriting = Literal["decimal", "hex", "upper_hex", "padded", "low_32", "prefixed", "suffixed", "uuid"]


#: A type of number or a numbering plan, SMPP 3.4 sections 5.2.5 and 5.2.6.
TypeOfNumber = Annotated[int, Meta(ge=0, le=255)]
#: What kinds of senders there are: numbers with a country code, short codes, and names.
SENDER_KINDS = ("number", "short_code", "name")


class Simulator(ConfigStruct, frozen=True):
    """The behaviour of the simulated carrier."""

    listen: Annotated[str, _text("Where it listens; port 0 = any free port.")] = "tcp:0:interface=127.0.0.1"
    seed: Annotated[int, _text("Seed of its random choices, which makes them repeatable.")] = 1
    receipt_delay_seconds: Annotated[Seconds, _text("Time from the response to the receipt.")] = 0.5
    states: Annotated[dict[str, float], _text("Share of each final state, `DELIVRD: 0.9`.")] = field(
        default_factory=lambda: {"DELIVRD": 1.0}
    )
    response_id: Annotated[IdWriting, _text("Ids in responses.")] = "decimal"
    receipt_id: Annotated[IdWriting | Literal["same"], _text("Ids in receipts.")] = "same"
    throttle_share: Annotated[float, Meta(ge=0, le=1, description="Share of submit_sm answered ESME_RTHROTTLED.")] = 0.0
    reject_share: Annotated[float, Meta(ge=0, le=1, description="Share of submit_sm that are refused for good.")] = 0.0
    tlv_only: Annotated[bool, _text("Receipts without text.")] = False
    receipt_first: Annotated[bool, _text("Sends receipts before their responses.")] = False
    duplicate_share: Annotated[float, Meta(ge=0, le=1, description="Share of receipts that are sent twice.")] = 0.0
    drop_share: Annotated[float, Meta(ge=0, le=1, description="Chance that a submit_sm drops the connection.")] = 0.0
    silent_share: Annotated[float, Meta(ge=0, le=1, description="Share of messages that never get a receipt.")] = 0.0
    parts_receipted: Annotated[
        Literal["all", "first", "last", "any"], _text("Which parts of a long message get receipts; any: one of them.")
    ] = "all"
    intermediate: Annotated[bool, _text("Sends an ENROUTE notification before each receipt.")] = False
    refuse_questions: Annotated[bool, _text("Answers query_sm and cancel_sm with ESME_RINVCMDID.")] = False
    default_alphabet: Annotated[
        Literal["any", "gsm", "latin1", "ascii", "ucs2"],
        _text(
            "What it takes data_coding 0 for, in the `text:` of receipts; it refuses what can't be that. any: it "
            "doesn't look."
        ),
    ] = "any"
    long_messages: Annotated[
        Literal["any", "udh", "sar", "payload"], _text("Refuses long messages in another form.")
    ] = "any"
    service_type: Annotated[str, Meta(max_length=5, description="Refuses another one; empty = takes all.")] = ""
    source_ton: Annotated[TypeOfNumber | None, _text("Refuses messages with another type of number.")] = None
    source_npi: Annotated[TypeOfNumber | None, _text("Refuses messages with another numbering plan.")] = None
    destination_ton: Annotated[TypeOfNumber | None, _text("Refuses messages with another type of number.")] = None
    destination_npi: Annotated[TypeOfNumber | None, _text("Refuses messages with another numbering plan.")] = None
    source_begins: Annotated[str, _text("Refuses senders that don't begin so, such as `+`.")] = ""
    destination_begins: Annotated[str, _text("Refuses numbers that don't begin so, such as `+`.")] = ""
    tlvs: Annotated[list[str], _text("Optional parameters without which it refuses a message, such as `0x1400`.")] = (
        field(default_factory=list)
    )
    reply_share: Annotated[float, Meta(ge=0, le=1, description="Share of messages that the handset replies to.")] = 0.0
    reply_text: Annotated[
        str, Meta(min_length=1, max_length=1000, description="What it replies; a long text comes in parts.")
    ] = "STOP"


class InboundRule(ConfigStruct, frozen=True):
    """Who gets which messages from handsets. The first rule that fits decides. Keys that are left out fit all."""

    account: Annotated[str, Meta(min_length=1, description="The account that gets the message.")]
    to: Annotated[
        str, _text("The number that the handset sent to: `12345`, or `4477*` for all that begin so; empty = all.")
    ] = ""
    keyword: Annotated[
        str,
        _text(
            "The first word of the message, in upper or lower case: `STOP`, or `STOP*` for all words that begin so; "
            "empty = all."
        ),
    ] = ""
    over: Annotated[
        Literal["auto", "http", "smpp", "both"],
        _text("auto: http if the account has an inbound_url, otherwise smpp."),
    ] = "auto"


class Carrier(ConfigStruct, frozen=True):
    """A carrier: where it is, how the relay logs in, and how it behaves."""

    kind: Annotated[
        Literal["smpp", "simulator", "http", "api"],
        _text("How the relay talks to the carrier; http: it is another relay, api: it has an HTTP API of its own."),
    ] = "smpp"
    connect: Annotated[str, _text("Twisted client endpoint (smpp), or base URL (http, api).")] = ""
    tls: Annotated[CarrierTls | None, _text("Only with a tls: endpoint.")] = None
    system_id: Annotated[
        str, Meta(max_length=64, description="The relay's login name at the carrier; over SMPP at most 15 characters.")
    ] = "relay"
    password: Annotated[Secret, _text("The relay's password at the carrier; for kind http the API key.")] = field(
        default_factory=lambda: Secret("")
    )
    system_type: Annotated[str, Meta(max_length=12, description="Some carriers want one in the bind.")] = ""
    addr_ton: Annotated[int, Meta(ge=0, le=255, description="addr_ton of the bind; most carriers ignore it.")] = 0
    addr_npi: Annotated[int, Meta(ge=0, le=255, description="addr_npi of the bind; most carriers ignore it.")] = 0
    address_range: Annotated[
        str, Meta(max_length=40, description="address_range of the bind: the numbers whose messages we take.")
    ] = ""
    interface_version: Annotated[int, Meta(ge=0x33, le=0x50, description="interface_version of the bind.")] = 0x34
    bind: Annotated[Literal["transceiver", "transmitter+receiver"], _text("The kind of binds.")] = "transceiver"
    binds: Annotated[int, Meta(ge=1, le=100, description="How many binds are made.")] = 1
    window: Annotated[int, Meta(ge=1, le=10_000, description="Unanswered submit_sm of a bind.")] = 100
    rate: Annotated[float, Meta(ge=0, description="submit_sm a second over all binds; 0 = no limit.")] = 0.0
    queue: Annotated[int, Meta(ge=1, description="Messages that may wait for this carrier.")] = 1_000_000
    enquire_link_seconds: Annotated[Seconds, _text("Silence after which the relay sends enquire_link.")] = 30.0
    response_timeout_seconds: Annotated[Seconds, _text("How long a submit_sm waits for its response.")] = 60.0
    bind_timeout_seconds: Annotated[Seconds, _text("How long a bind may take.")] = 30.0
    reconnect_min_seconds: Annotated[Seconds, _text("First pause before binding again.")] = 1.0
    reconnect_max_seconds: Annotated[Seconds, _text("Longest pause before binding again.")] = 60.0
    throttle_seconds: Annotated[Seconds, _text("Pause after ESME_RTHROTTLED, ESME_RMSGQFUL, ESME_RSYSERR.")] = 1.0
    in_doubt: Annotated[
        Literal["resend", "end"],
        _text("If the link ends before a submit_sm is answered: send it again, or end UNKNOWN."),
    ] = "resend"
    receipt_hours: Annotated[float, Meta(gt=0, description="Added to the validity: how long a receipt is awaited.")] = (
        73.0
    )
    parts_receipted: Annotated[
        Literal["all", "first", "last", "any"], _text("Which parts of a message get receipts.")
    ] = "all"
    compare_numbers: Annotated[
        NumberComparison,
        _text(
            "If several messages have one carrier message id, the receipt's number decides. ending: the last digits "
            "are compared; exact: all digits, without plus and leading zeros; never: for carriers that rewrite numbers."
        ),
    ] = "ending"
    query_sm: Annotated[
        bool, _text("Before a message with an overdue receipt is given up, ask the carrier about it (query_sm).")
    ] = False
    cancel_sm: Annotated[
        bool, _text("Pass a customer's cancel_sm on if the carrier has the message; if off, refuse it.")
    ] = False
    scheduled_delivery: Annotated[
        Literal["refuse", "pass"],
        _text(
            "pass: the carrier keeps SMPP customers' messages until their schedule_delivery_time, if all carriers of "
            "the route do so. refuse: the messages wait in the relay."
        ),
    ] = "refuse"
    mobile_originated: Annotated[str, _text("The account that gets messages from handsets, or `refuse`.")] = "refuse"
    default_alphabet: Annotated[
        Alphabet,
        _text(
            "What data_coding 0 means to the carrier. A text that it can't write goes as UCS-2; ucs2: all do. This and "
            "the next ten keys are for messages that came over HTTP; those of SMPP customers are passed on as they are."
        ),
    ] = "gsm"
    long_messages: Annotated[
        LongMessages,
        _text(
            "How a text that needs several parts goes. udh: parts with a user data header; sar: parts with the sar "
            "parameters; payload: one submit_sm with message_payload, if the carrier is the first of the route."
        ),
    ] = "udh"
    service_type: Annotated[str, Meta(max_length=5, description="service_type of messages that have none.")] = ""
    source_ton: Annotated[
        TypeOfNumber | dict[str, TypeOfNumber] | None,
        _text(
            "Type of number of senders: one for all, or by kind: `{number: 1, short_code: 3, name: 5}`, which is what "
            "they have if this is absent."
        ),
    ] = None
    source_npi: Annotated[
        TypeOfNumber | dict[str, TypeOfNumber] | None,
        _text("Numbering plan of senders; if absent `{number: 1, short_code: 0, name: 0}`."),
    ] = None
    source_form: Annotated[
        NumberForm, _text("How a sender's number is written: digits, with a plus, or national (see country_code).")
    ] = "digits"
    destination_ton: Annotated[
        TypeOfNumber | None, _text("Type of number of the recipient; if absent 1, or 2 in national form.")
    ] = None
    destination_npi: Annotated[TypeOfNumber | None, _text("Numbering plan of the recipient; if absent 1.")] = None
    destination_form: Annotated[NumberForm, _text("How the recipient's number is written, as source_form.")] = "digits"
    country_code: Annotated[
        str, Meta(pattern="^[0-9]{0,4}$", description="For form national: numbers with it are written without it.")
    ] = ""
    trunk_prefix: Annotated[
        str, Meta(pattern="^[0-9]{0,4}$", description="For form national: what stands before the number instead.")
    ] = ""
    tlvs: Annotated[
        dict[str, str],
        _text(
            'Optional parameters that every message gets which has none with the tag: `{"0x1400": "31303031"}`, the '
            "value in hexadecimal."
        ),
    ] = field(default_factory=dict)
    inbound: Annotated[
        list[InboundRule],
        _text("Which account gets which messages from handsets; the others follow `mobile_originated`."),
    ] = field(default_factory=list)
    replace_sender: Annotated[
        str,
        _text(
            "The carrier gets this sender (from) instead of the customer's or the route's `replace_sender`; empty = "
            "theirs."
        ),
    ] = ""
    dialect: Dialect = field(default_factory=Dialect)
    simulator: Annotated[Simulator, _text("For kind simulator.")] = field(default_factory=Simulator)
    signing_secret: Annotated[
        Secret | None, _text("For kinds http and api: the secret, key or token that proves that receipts are its.")
    ] = None
    api: Annotated[Api, _text("For kind api.")] = field(default_factory=Api)


class NumberListFile(ConfigStruct, frozen=True):
    """A file of numbers: opt-outs, ported numbers. SIGHUP reads it again."""

    file: Annotated[
        str,
        _text(
            "A number, or the beginning of numbers, a line, with the country code. Lines that begin with # are skipped."
        ),
    ]
    on_match: Annotated[
        Literal["tag", "refuse"],
        _text("tag: the number gets a tag, which routes can ask for; refuse: messages to the number are refused."),
    ] = "tag"
    tag_column: Annotated[
        str,
        _text(
            "For a file with columns: the column with the tag, by its name in the first line or its number from 1; "
            "empty = the tag is the name of the list."
        ),
    ] = ""


class Decisions(ConfigStruct, frozen=True):
    """See docs/decision-service.md: a service of yours that is asked about each message before the relay accepts it."""

    url: Annotated[
        str,
        _text(
            "Where it is: `http://127.0.0.1:8900/decide`, or `http://unix:/run/decide.sock:/decide` for a unix socket; "
            "empty = no service is asked."
        ),
    ] = ""
    timeout_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="How long a request may take. If many wait, a message waits twice as long at most.",
        ),
    ] = 2.0
    on_failure: Annotated[
        Literal["pass", "refuse"],
        _text(
            "What happens with messages about which the service says nothing in time. refuse: the customer is told to "
            "try again later; pass: they are accepted as they are."
        ),
    ] = "refuse"
    with_text: Annotated[bool, _text("Give the service the text of each message, too.")] = False
    batch: Annotated[int, Meta(ge=1, le=500, description="Messages in one request.")] = 100
    concurrency: Annotated[
        int,
        Meta(ge=1, le=256, description="Requests under way at once; those of one account may be an eighth of them."),
    ] = 32
    waiting: Annotated[
        int,
        Meta(ge=1, description="Messages of one account that may wait to be asked about; further ones are put off."),
    ] = 2_000
    cache: Annotated[int, Meta(ge=1, description="Answers that are kept, for as long as each allows.")] = 100_000


class Failover(ConfigStruct, frozen=True):
    """After which failures a message goes to the next carrier of the route, although one has taken it."""

    on: Annotated[
        list[Literal["EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD"]],
        Meta(
            description="The final states after which a message goes to the next carrier. With REJECTD it also goes on "
            "after each refusal of its submit_sm.",
        ),
    ] = field(default_factory=lambda: ["UNDELIV", "REJECTD"])
    errors: Annotated[
        list[str], _text("Only after these errors of the carrier, as `carrier_error` shows them; empty = all.")
    ] = field(default_factory=list)
    no_receipt_seconds: Annotated[
        Seconds,
        _text(
            "A message also goes on if no final receipt has come after this time; 0 = no. The first carrier may still "
            "deliver it, so the handset may get it twice, and both carriers may charge for it."
        ),
    ] = 0.0
    times: Annotated[int, Meta(ge=1, le=5, description="How many times a message goes on.")] = 1


class RouteQuality(ConfigStruct, frozen=True):
    """When a route avoids a carrier that delivers too little: it tries it after all other carriers."""

    delivered_share: Annotated[
        float,
        Meta(
            gt=0,
            lt=1,
            description="Avoid a carrier that delivered less than this share of its ended messages: 0.7 is 70 %.",
        ),
    ]
    messages: Annotated[
        int, Meta(ge=10, description="Only if so many of its messages have ended in this span of time.")
    ] = 100
    window_seconds: Annotated[
        float, Meta(ge=300, le=604_800, description="The span of time. A carrier is also avoided at least so long.")
    ] = 3600.0
    back_at_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="The carrier comes back when it delivers at least this share; 0 = a quarter of the way from "
            "`delivered_share` to 1.",
        ),
    ] = 0.0
    trickle: Annotated[
        float,
        Meta(
            gt=0,
            le=0.5,
            description="The share of the numbers whose messages still go to an avoided carrier, so that the relay "
            "sees it recover. Each ten minutes these are other numbers.",
        ),
    ] = 0.05


class Route(ConfigStruct, frozen=True):
    """Which carriers take which messages. Keys that are left out match all messages."""

    carriers: Annotated[
        list[str | dict[str, Annotated[float, Meta(gt=0)]]],
        Meta(
            min_length=1,
            description="The carriers, in order of preference. `{a: 70, b: 30}` in one place of the order divides the "
            "numbers between carriers by weight; the same number always goes to the same carrier.",
        ),
    ]
    prefix: Annotated[
        str, Meta(pattern="^[0-9]*$", description="How the number begins. The longest match wins; empty = all.")
    ] = ""
    account: Annotated[str, _text("The account whose messages take this route; empty = all.")] = ""
    sender: Annotated[
        str,
        _text(
            "The sender (from): `ACME` is this sender only, `ACME*` each that begins with ACME, `numeric` each number, "
            "`alphanumeric` each name; empty = all."
        ),
    ] = ""
    tag: Annotated[
        str,
        _text(
            "A tag that the number has from one of the lists, or the message from the decision service; empty = all."
        ),
    ] = ""
    hours: Annotated[
        str,
        _text(
            "When the message must be accepted, with a time zone: `08:00-20:00 Europe/London` or `Mon-Fri 22:00-06:00 "
            "UTC`; empty = at any time."
        ),
    ] = ""
    spill_over_seconds: Annotated[
        Seconds,
        _text(
            "A message goes to the next carrier if it would wait longer than this for an earlier one; 0 = only if all "
            "earlier ones are down or their queues are full."
        ),
    ] = 0.0
    replace_sender: Annotated[
        str, _text("Carriers get this sender (from) instead of the customer's; empty = the customer's.")
    ] = ""
    failover: Annotated[
        Failover | None,
        _text("Empty = it ends as the carrier that took it says."),
    ] = None
    quality: Annotated[
        RouteQuality | None,
        _text("Avoids carriers that deliver too little; see docs/carriers.md. Empty = the order stays."),
    ] = None

    @property
    def carrier_names(self) -> list[str]:
        """Every carrier of the route, in the order of the file."""
        return [name for place in self.carriers for name in ([place] if isinstance(place, str) else place)]


class Logs(ConfigStruct, frozen=True):
    """What is logged and how."""

    format: Annotated[Literal["text", "json"], _text("Format of the log; one line an event in both.")] = "text"
    log_numbers: Annotated[bool, _text("Log whole phone numbers; if off, two digits are masked.")] = False
    message_records: Annotated[str, _text("File that gets one JSON line for each finished message; empty = none.")] = ""


class History(ConfigStruct, frozen=True):
    """What the relay keeps of every message, to be searched, never with its text.

    It is in `data_dir/history.sqlite3`, or in the database of a cluster. All keys are taken up at a start.
    """

    days: Annotated[
        float, Meta(ge=0, description="How many days a message is kept there; 0 = there is no history.")
    ] = 0.0
    numbers: Annotated[
        Literal["full", "masked", "hashed"],
        _text(
            "Destinations' numbers there. masked: without their last two digits, so a search finds all that differ "
            "only in those, and none by its end; hashed: with a key of the relay's, so only whole numbers are found."
        ),
    ] = "full"


class Cluster(ConfigStruct, frozen=True):
    """Several relays with one state: one of them works, the others stand by. The state is in a PostgreSQL database.

    See docs/cluster.md. All keys are taken up at a start.
    """

    database: Annotated[
        str,
        _text(
            "The database, without its password: `postgresql://relay@db1,db2/relay?sslrootcert=/etc/relay/ca.pem`. "
            "Name all servers; the one that takes writes is used. Off loopback, the certificates are verified. "
            "Empty = no cluster: the state is in data_dir."
        ),
    ] = ""
    password: Annotated[Secret | None, _text("The database user's password.")] = None
    node: Annotated[
        str, Meta(max_length=64, description="This relay's name among the others; empty = the host's name.")
    ] = ""
    lease_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=60,
            description="How long a relay works without a sign of life in the database. Then another takes over.",
        ),
    ] = 5.0
    allow_single_database: Annotated[
        bool,
        _text(
            "Accept messages although no second server has them. For tests, and for databases that are replicated "
            "below PostgreSQL. If off, nothing is accepted without a synchronous standby."
        ),
    ] = False


class Tracing(ConfigStruct, frozen=True):
    """See docs/tracing.md: traces of messages for OpenTelemetry. All keys are taken up at a start."""

    endpoint: Annotated[
        str,
        _text(
            "Where the collector takes OTLP over HTTP: `http://127.0.0.1:4318/v1/traces`. It needs the packages of "
            "`sms-receipt-relay[opentelemetry]`. Empty = there are no traces."
        ),
    ] = ""
    headers: Annotated[dict[str, Secret], _text("Headers that the collector asks for, such as a key.")] = field(
        default_factory=dict
    )
    sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="The share of messages whose traces are recorded; 1 = all.")
    ] = 0.01
    follow_accounts: Annotated[
        list[str],
        _text(
            "Accounts that decide themselves which of their messages are recorded, by the flag `sampled` of their "
            "header traceparent."
        ),
    ] = field(default_factory=list)
    service_name: Annotated[str, Meta(min_length=1, description="This relay's name in traces.")] = "relay"


class Demo(ConfigStruct, frozen=True):
    """Helpers for the demonstration. They are refused if another machine can reach a listener."""

    receiver: Annotated[str, _text("Endpoint of a small receiver that prints the notifications it gets.")] = ""


class Config(ConfigStruct, frozen=True):
    """The whole file."""

    data_dir: Annotated[str, _text("Directory of the journal and its lock; created if missing.")] = "var/relay"
    validity_seconds: Annotated[Seconds, _text("Validity of messages that name none.")] = 172_800.0
    trusted_proxies: Annotated[
        list[str],
        _text(
            "Networks of proxies that the relay trusts to name the client's address: in X-Forwarded-For (or Forwarded "
            "if that is missing), or in the PROXY protocol on a listener that begins with `haproxy:`. Needs a restart."
        ),
    ] = field(default_factory=list)
    shutdown_seconds: Annotated[Seconds, _text("How long a stop waits for outstanding answers.")] = 10.0
    drain_hours: Annotated[
        float,
        Meta(ge=0, description="How long a removed carrier stays bound for outstanding receipts."),
    ] = 72.0
    journal: Journal = field(default_factory=Journal)
    limits: Limits = field(default_factory=Limits)
    http: HttpListener = field(default_factory=HttpListener)
    smpp: SmppListener = field(default_factory=SmppListener)
    admin: AdminListener = field(default_factory=AdminListener)
    logs: Logs = field(default_factory=Logs)
    history: History = field(default_factory=History)
    cluster: Cluster = field(default_factory=Cluster)
    tracing: Tracing = field(default_factory=Tracing)
    demo: Demo = field(default_factory=Demo)
    accounts: dict[str, Account] = field(default_factory=dict)
    prices: dict[str, PriceTable] = field(default_factory=dict)
    carriers: dict[str, Carrier] = field(default_factory=dict)
    lists: dict[str, NumberListFile] = field(default_factory=dict)
    decisions: Decisions = field(default_factory=Decisions)
    routes: list[Route] = field(default_factory=list)
