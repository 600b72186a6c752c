"""The keys of carriers: their connections, their dialects, and simulated ones."""

from typing import Annotated, Literal

from msgspec import Meta, field

from relay.config.api_config import Api
from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import Seconds, about
from relay.config.tls_config import CarrierTls
from relay.text.carrier_form import LongMessages, NumberForm
from relay.text.text_form import Alphabet
from relay.values.secret import Secret


class IdForm(ConfigStruct, frozen=True):
    """How a carrier writes its message ids, in submit_sm_resp or in receipts."""

    base: Annotated[Literal["as-is", "decimal", "hex"], about("Numeric ids are compared as numbers.")] = "as-is"
    fold_case: Annotated[bool, about("Ignore case.")] = True
    strip_zeros: Annotated[bool, about("Ignore leading zeros.")] = False
    strip_prefix: Annotated[str, about("Cut this from the start of the id.")] = ""
    strip_suffix: Annotated[str, about("Cut this from the end of the id.")] = ""
    truncate: Annotated[int, Meta(ge=0, description="Compare the first N characters; 0 = all.")] = 0
    low_32_bits: Annotated[bool, about("Compare the number's low 32 bits (with base decimal or hex).")] = False


class Dialect(ConfigStruct, frozen=True):
    """How a carrier writes receipts."""

    preset: Annotated[str, about("Begin with the settings of a known carrier or gateway; see docs/carriers.md.")] = ""
    response_id: Annotated[IdForm | None, about("Ids in submit_sm_resp.")] = None
    receipt_id: Annotated[IdForm | None, about("How ids are written in the text of receipts.")] = None
    tlv_id: Annotated[IdForm | None, about("Ids in receipted_message_id; if absent, as receipt_id.")] = None
    prefer_text_id: Annotated[bool | None, about("Look up the id in the text before the id in the TLV.")] = None
    states: Annotated[dict[str, str] | None, about("What the carrier's words mean: `FAILED: UNDELIV`.")] = None
    accepted_is_final: Annotated[bool | None, about("ACCEPTD ends a message as delivered.")] = None
    unmarked_receipts: Annotated[
        bool | None, about("Also read receipts without a mark in esm_class. A handset can forge these.")
    ] = None
    receipt_marks: Annotated[
        list[int] | None,
        about(
            "Further message types in esm_class (under mask 0x3C, such as 8) that this carrier marks receipts with. "
            "Other senders on the carrier can forge these."
        ),
    ] = None
    fields_after_text: Annotated[
        bool | None, about("Also read fields after `text:`. A message's text can forge these.")
    ] = None
    columns: Annotated[
        list[str] | None,
        about(
            "For receipts in comma-separated columns: what each column holds (id, stat, err, sub, dlvrd, "
            "submit date, done date, or an empty string)."
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        about(
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

    listen: Annotated[str, about("Where it listens; port 0 = any free port.")] = "tcp:0:interface=127.0.0.1"
    seed: Annotated[int, about("Seed of its random choices, which makes them repeatable.")] = 1
    receipt_delay_seconds: Annotated[Seconds, about("Time from the response to the receipt.")] = 0.5
    states: Annotated[dict[str, float], about("Share of each final state, `DELIVRD: 0.9`.")] = field(
        default_factory=lambda: {"DELIVRD": 1.0}
    )
    response_id: Annotated[IdWriting, about("Ids in responses.")] = "decimal"
    receipt_id: Annotated[IdWriting | Literal["same"], about("Ids in receipts.")] = "same"
    throttle_share: Annotated[float, Meta(ge=0, le=1, description="Share of submit_sm answered ESME_RTHROTTLED.")] = 0.0
    reject_share: Annotated[float, Meta(ge=0, le=1, description="Share of submit_sm that are refused for good.")] = 0.0
    tlv_only: Annotated[bool, about("Receipts without text.")] = False
    receipt_first: Annotated[bool, about("Sends receipts before their responses.")] = False
    duplicate_share: Annotated[float, Meta(ge=0, le=1, description="Share of receipts that are sent twice.")] = 0.0
    drop_share: Annotated[float, Meta(ge=0, le=1, description="Chance that a submit_sm drops the connection.")] = 0.0
    silent_share: Annotated[float, Meta(ge=0, le=1, description="Share of messages that never get a receipt.")] = 0.0
    parts_receipted: Annotated[
        Literal["all", "first", "last", "any"], about("Which parts of a long message get receipts; any: one of them.")
    ] = "all"
    intermediate: Annotated[bool, about("Sends an ENROUTE notification before each receipt.")] = False
    refuse_questions: Annotated[bool, about("Answers query_sm and cancel_sm with ESME_RINVCMDID.")] = False
    default_alphabet: Annotated[
        Literal["any", "gsm", "latin1", "ascii", "ucs2"],
        about(
            "What it takes data_coding 0 for, in the `text:` of receipts; it refuses what can't be that. any: it "
            "doesn't look."
        ),
    ] = "any"
    long_messages: Annotated[
        Literal["any", "udh", "sar", "payload"], about("Refuses long messages in another form.")
    ] = "any"
    service_type: Annotated[str, Meta(max_length=5, description="Refuses another one; empty = takes all.")] = ""
    source_ton: Annotated[TypeOfNumber | None, about("Refuses messages with another type of number.")] = None
    source_npi: Annotated[TypeOfNumber | None, about("Refuses messages with another numbering plan.")] = None
    destination_ton: Annotated[TypeOfNumber | None, about("Refuses messages with another type of number.")] = None
    destination_npi: Annotated[TypeOfNumber | None, about("Refuses messages with another numbering plan.")] = None
    source_begins: Annotated[str, about("Refuses senders that don't begin so, such as `+`.")] = ""
    destination_begins: Annotated[str, about("Refuses numbers that don't begin so, such as `+`.")] = ""
    tlvs: Annotated[list[str], about("Optional parameters without which it refuses a message, such as `0x1400`.")] = (
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
        str, about("The number that the handset sent to: `12345`, or `4477*` for all that begin so; empty = all.")
    ] = ""
    keyword: Annotated[
        str,
        about(
            "The first word of the message, in upper or lower case: `STOP`, or `STOP*` for all words that begin so; "
            "empty = all."
        ),
    ] = ""
    over: Annotated[
        Literal["auto", "http", "smpp", "both"],
        about("auto: http if the account has an inbound_url, otherwise smpp."),
    ] = "auto"


class Carrier(ConfigStruct, frozen=True):
    """A carrier: where it is, how the relay logs in, and how it behaves."""

    kind: Annotated[
        Literal["smpp", "simulator", "http", "api"],
        about("How the relay talks to the carrier; http: it is another relay, api: it has an HTTP API of its own."),
    ] = "smpp"
    connect: Annotated[str, about("Twisted client endpoint (smpp), or base URL (http, api).")] = ""
    tls: Annotated[CarrierTls | None, about("Only with a tls: endpoint.")] = None
    system_id: Annotated[
        str, Meta(max_length=64, description="The relay's login name at the carrier; over SMPP at most 15 characters.")
    ] = "relay"
    password: Annotated[Secret, about("The relay's password at the carrier; for kind http the API key.")] = field(
        default_factory=lambda: Secret("")
    )
    system_type: Annotated[str, Meta(max_length=12, description="Some carriers want one in the bind.")] = ""
    addr_ton: Annotated[int, Meta(ge=0, le=255, description="addr_ton of the bind; most carriers ignore it.")] = 0
    addr_npi: Annotated[int, Meta(ge=0, le=255, description="addr_npi of the bind; most carriers ignore it.")] = 0
    address_range: Annotated[
        str, Meta(max_length=40, description="address_range of the bind: the numbers whose messages we take.")
    ] = ""
    interface_version: Annotated[int, Meta(ge=0x33, le=0x50, description="interface_version of the bind.")] = 0x34
    bind: Annotated[Literal["transceiver", "transmitter+receiver"], about("The kind of binds.")] = "transceiver"
    binds: Annotated[int, Meta(ge=1, le=100, description="How many binds are made.")] = 1
    window: Annotated[int, Meta(ge=1, le=10_000, description="Unanswered submit_sm of a bind.")] = 100
    rate: Annotated[float, Meta(ge=0, description="submit_sm a second over all binds; 0 = no limit.")] = 0.0
    queue: Annotated[int, Meta(ge=1, description="Messages that may wait for this carrier.")] = 1_000_000
    enquire_link_seconds: Annotated[Seconds, about("Silence after which the relay sends enquire_link.")] = 30.0
    response_timeout_seconds: Annotated[Seconds, about("How long a submit_sm waits for its response.")] = 60.0
    bind_timeout_seconds: Annotated[Seconds, about("How long a bind may take.")] = 30.0
    reconnect_min_seconds: Annotated[Seconds, about("First pause before binding again.")] = 1.0
    reconnect_max_seconds: Annotated[Seconds, about("Longest pause before binding again.")] = 60.0
    throttle_seconds: Annotated[Seconds, about("Pause after ESME_RTHROTTLED, ESME_RMSGQFUL, ESME_RSYSERR.")] = 1.0
    in_doubt: Annotated[
        Literal["resend", "end"],
        about("If the link ends before a submit_sm is answered: send it again, or end UNKNOWN."),
    ] = "resend"
    receipt_hours: Annotated[float, Meta(gt=0, description="Added to the validity: how long a receipt is awaited.")] = (
        73.0
    )
    parts_receipted: Annotated[
        Literal["all", "first", "last", "any"], about("Which parts of a message get receipts.")
    ] = "all"
    compare_numbers: Annotated[
        NumberComparison,
        about(
            "If several messages have one carrier message id, the receipt's number decides. ending: the last digits "
            "are compared; exact: all digits, without plus and leading zeros; never: for carriers that rewrite numbers."
        ),
    ] = "ending"
    query_sm: Annotated[
        bool, about("Before a message with an overdue receipt is given up, ask the carrier about it (query_sm).")
    ] = False
    cancel_sm: Annotated[
        bool, about("Pass a customer's cancel_sm on if the carrier has the message; if off, refuse it.")
    ] = False
    scheduled_delivery: Annotated[
        Literal["refuse", "pass"],
        about(
            "pass: the carrier keeps SMPP customers' messages until their schedule_delivery_time, if all carriers of "
            "the route do so. refuse: the messages wait in the relay."
        ),
    ] = "refuse"
    mobile_originated: Annotated[str, about("The account that gets messages from handsets, or `refuse`.")] = "refuse"
    default_alphabet: Annotated[
        Alphabet,
        about(
            "What data_coding 0 means to the carrier. A text that it can't write goes as UCS-2; ucs2: all do. This and "
            "the next ten keys are for messages that came over HTTP; those of SMPP customers are passed on as they are."
        ),
    ] = "gsm"
    long_messages: Annotated[
        LongMessages,
        about(
            "How a text that needs several parts goes. udh: parts with a user data header; sar: parts with the sar "
            "parameters; payload: one submit_sm with message_payload, if the carrier is the first of the route."
        ),
    ] = "udh"
    service_type: Annotated[str, Meta(max_length=5, description="service_type of messages that have none.")] = ""
    source_ton: Annotated[
        TypeOfNumber | dict[str, TypeOfNumber] | None,
        about(
            "Type of number of senders: one for all, or by kind: `{number: 1, short_code: 3, name: 5}`, which is what "
            "they have if this is absent."
        ),
    ] = None
    source_npi: Annotated[
        TypeOfNumber | dict[str, TypeOfNumber] | None,
        about("Numbering plan of senders; if absent `{number: 1, short_code: 0, name: 0}`."),
    ] = None
    source_form: Annotated[
        NumberForm, about("How a sender's number is written: digits, with a plus, or national (see country_code).")
    ] = "digits"
    destination_ton: Annotated[
        TypeOfNumber | None, about("Type of number of the recipient; if absent 1, or 2 in national form.")
    ] = None
    destination_npi: Annotated[TypeOfNumber | None, about("Numbering plan of the recipient; if absent 1.")] = None
    destination_form: Annotated[NumberForm, about("How the recipient's number is written, as source_form.")] = "digits"
    country_code: Annotated[
        str, Meta(pattern="^[0-9]{0,4}$", description="For form national: numbers with it are written without it.")
    ] = ""
    trunk_prefix: Annotated[
        str, Meta(pattern="^[0-9]{0,4}$", description="For form national: what stands before the number instead.")
    ] = ""
    tlvs: Annotated[
        dict[str, str],
        about(
            'Optional parameters that every message gets which has none with the tag: `{"0x1400": "31303031"}`, the '
            "value in hexadecimal."
        ),
    ] = field(default_factory=dict)
    inbound: Annotated[
        list[InboundRule],
        about("Which account gets which messages from handsets; the others follow `mobile_originated`."),
    ] = field(default_factory=list)
    replace_sender: Annotated[
        str,
        about(
            "The carrier gets this sender (from) instead of the customer's or the route's `replace_sender`; empty = "
            "theirs."
        ),
    ] = ""
    dialect: Dialect = field(default_factory=Dialect)
    simulator: Annotated[Simulator, about("For kind simulator.")] = field(default_factory=Simulator)
    signing_secret: Annotated[
        Secret | None, about("For kinds http and api: the secret, key or token that proves that receipts are its.")
    ] = None
    api: Annotated[Api, about("For kind api.")] = field(default_factory=Api)
