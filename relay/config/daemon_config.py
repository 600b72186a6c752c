"""The keys of the daemon itself: its journal, its limits, logs, history, cluster and traces."""

from typing import Annotated, Literal

from msgspec import Meta, field

from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import about
from relay.values.secret import Secret


class Journal(ConfigStruct, frozen=True):
    """Where and how accepted messages are made durable."""

    sync: Annotated[
        Literal["always", "interval", "never"],
        about(
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


class Logs(ConfigStruct, frozen=True):
    """What is logged and how."""

    format: Annotated[Literal["text", "json"], about("Format of the log; one line an event in both.")] = "text"
    log_numbers: Annotated[bool, about("Log whole phone numbers; if off, two digits are masked.")] = False
    message_records: Annotated[str, about("File that gets one JSON line for each finished message; empty = none.")] = ""


class History(ConfigStruct, frozen=True):
    """What the relay keeps of every message, to be searched, never with its text.

    It is in `data_dir/history.sqlite3`, or in the database of a cluster. All keys are taken up at a start.
    """

    days: Annotated[
        float, Meta(ge=0, description="How many days a message is kept there; 0 = there is no history.")
    ] = 0.0
    numbers: Annotated[
        Literal["full", "masked", "hashed"],
        about(
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
        about(
            "The database, without its password: `postgresql://relay@db1,db2/relay?sslrootcert=/etc/relay/ca.pem`. "
            "Name all servers; the one that takes writes is used. Off loopback, the certificates are verified. "
            "Empty = no cluster: the state is in data_dir."
        ),
    ] = ""
    password: Annotated[Secret | None, about("The database user's password.")] = None
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
        about(
            "Accept messages although no second server has them. For tests, and for databases that are replicated "
            "below PostgreSQL. If off, nothing is accepted without a synchronous standby."
        ),
    ] = False


class Tracing(ConfigStruct, frozen=True):
    """See docs/tracing.md: traces of messages for OpenTelemetry. All keys are taken up at a start."""

    endpoint: Annotated[
        str,
        about(
            "Where the collector takes OTLP over HTTP: `http://127.0.0.1:4318/v1/traces`. It needs the packages of "
            "`sms-receipt-relay[opentelemetry]`. Empty = there are no traces."
        ),
    ] = ""
    headers: Annotated[dict[str, Secret], about("Headers that the collector asks for, such as a key.")] = field(
        default_factory=dict
    )
    sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="The share of messages whose traces are recorded; 1 = all.")
    ] = 0.01
    follow_accounts: Annotated[
        list[str],
        about(
            "Accounts that decide themselves which of their messages are recorded, by the flag `sampled` of their "
            "header traceparent."
        ),
    ] = field(default_factory=list)
    service_name: Annotated[str, Meta(min_length=1, description="This relay's name in traces.")] = "relay"


class Demo(ConfigStruct, frozen=True):
    """Helpers for the demonstration. They are refused if another machine can reach a listener."""

    receiver: Annotated[str, about("Endpoint of a small receiver that prints the notifications it gets.")] = ""
