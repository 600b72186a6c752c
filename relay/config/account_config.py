"""The keys of accounts: logins, senders, quotas, prices and notifications."""

from typing import Annotated, Literal

from msgspec import Meta, field

from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import about
from relay.config.tls_config import NotificationTls
from relay.values.amounts import AMOUNT_PATTERN
from relay.values.secret import Secret


class AccountSmpp(ConfigStruct, frozen=True):
    """An SMPP login of an account."""

    system_id: Annotated[str, Meta(min_length=1, max_length=15, description="The login name.")]
    password: Annotated[Secret, about("SMPP 3.4 allows eight characters; longer passwords are accepted.")]
    old_password: Annotated[
        Secret | None, about("The password before. It is valid, too, until `old_password_until`.")
    ] = None
    old_password_until: Annotated[
        str,
        about(
            "An instant such as `2026-12-24T12:00:00Z`, with its time zone. Sessions that bound with the old password "
            "end then."
        ),
    ] = ""
    max_binds: Annotated[int, Meta(ge=1, description="Sessions that may be bound at once.")] = 4
    allow_from: Annotated[list[str], about("Networks that may bind; empty = any.")] = field(default_factory=list)
    receipts: Annotated[
        Literal["own", "first"],
        about(
            "Which sessions get the receipts of the messages that this login submits. own: those of this login; first: "
            "those of the account's first login, `smpp`."
        ),
    ] = "own"


class Senders(ConfigStruct, frozen=True):
    """The senders (from) of an account's messages."""

    allow: Annotated[
        list[str],
        about(
            'Senders that the account may use, each as in a route\'s `sender`: `[ACME, "4477*", numeric]`; empty = all.'
        ),
    ] = field(default_factory=list)
    default: Annotated[
        str, about("The sender of messages that name none, over every interface; empty = the customer must name one.")
    ] = ""


class Quota(ConfigStruct, frozen=True):
    """How many messages an account may send. Counted are accepted messages, except those to test numbers."""

    daily: Annotated[int, Meta(ge=0, description="Messages a day; 0 = no limit.")] = 0
    monthly: Annotated[int, Meta(ge=0, description="Messages a calendar month; 0 = no limit.")] = 0
    time_zone: Annotated[
        str, about("Where days and months begin at midnight: a name such as `Europe/London`, or `UTC`.")
    ] = "UTC"


#: An amount of money as text: never a float.
Amount = Annotated[str, Meta(pattern=AMOUNT_PATTERN)]


class PriceTable(ConfigStruct, frozen=True):
    """What an SMS costs the accounts that have these prices. See docs/charging.md."""

    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="The currency, in three capital letters: `EUR`.")]
    by_prefix: Annotated[
        dict[str, Amount],
        about(
            'The price of one SMS by the beginning of the number: `{"": 0.05, "44": 0.035}`. The longest match wins; '
            '`""` is for all others. A number that matches nothing is refused.'
        ),
    ]


class Account(ConfigStruct, frozen=True):
    """A customer."""

    api_key: Annotated[Secret | None, about("HTTP: Basic account:key, or Bearer key.")] = None
    smpp: Annotated[AccountSmpp | None, about("Without it the account can't use SMPP.")] = None
    smpp_logins: Annotated[
        dict[str, AccountSmpp],
        about("Further ones by name, for other programs of the customer; see docs/smpp.md. They need `smpp`."),
    ] = field(default_factory=dict)
    notification_url: Annotated[str | None, about("Where webhooks go. The customer can set another URL.")] = None
    notification_fallback_url: Annotated[str | None, about("Tried if the first URL fails.")] = None
    notification_format: Annotated[Literal["json", "form"], about("How the five fields are written.")] = "json"
    notification_secret: Annotated[Secret | None, about("Standard Webhooks secret, whsec_...; signs every POST.")] = (
        None
    )
    sign: Annotated[
        bool,
        about(
            "true: an account without a notification_secret gets one, and My Account shows it. false: its webhooks "
            "aren't signed."
        ),
    ] = True
    notification_headers: Annotated[
        dict[str, Secret],
        about("Headers that this account's receivers ask for; every webhook and callback has them."),
    ] = field(default_factory=dict)
    notification_token: Annotated[
        Secret | None, about("A token that the receivers ask for; sent as `Authorization: Bearer TOKEN`.")
    ] = None
    notification_tls: Annotated[
        NotificationTls | None, about("For receivers that ask for a client certificate or have a private authority.")
    ] = None
    notification_batch: Annotated[
        int, Meta(ge=1, le=1000, description="Notifications in one POST (an array above 1).")
    ] = 1
    notification_concurrency: Annotated[int, Meta(ge=1, le=1000, description="POSTs under way at once to one URL.")] = 8
    notify: Annotated[
        Literal["final", "all", "progress"],
        about(
            "all: also ENROUTE and ACCEPTD, where a carrier reports them; progress: also ENROUTE when a carrier has "
            "taken the message."
        ),
    ] = "final"
    error_codes: Annotated[
        Literal["standard", "carrier"], about("carrier: `error` is the carrier's err, verbatim.")
    ] = "standard"
    unanswered: Annotated[Literal["notify", "silent"], about("How a message without any receipt ends.")] = "notify"
    allow_private_urls: Annotated[bool, about("Allows webhooks to loopback and private addresses.")] = False
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
        str, about("The table of `prices` that says what its messages cost; empty = they have no price.")
    ] = ""
    prepaid: Annotated[
        bool, about("Refuse messages that the account's balance doesn't pay for. `relay balance` tops it up.")
    ] = False
    refund: Annotated[
        list[Literal["EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD"]],
        about("The final states after which a message's price is given back: `[REJECTD]`; empty = none."),
    ] = field(default_factory=list)
    low_balance: Annotated[
        Amount,
        about(
            "Below this balance of a prepaid account, My Account and the operator's page show that it is low, and the "
            "alert RelayBalanceLow fires; 0 = never."
        ),
    ] = "0"
    test_numbers: Annotated[
        dict[str, Literal["DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD"]],
        about(
            'Numbers, and how messages to them end: `{"15005550001": DELIVRD}`. No carrier sees these messages, and no '
            "route is needed."
        ),
    ] = field(default_factory=dict)
    inbound_url: Annotated[
        str | None, about("Where messages from handsets go, as POSTs; see docs/http-api.md. Null = not by HTTP.")
    ] = None
    inbound_format: Annotated[
        Literal["json", "kannel", "jasmin", "jasmin-get"],
        about(
            "json: this relay's own; kannel: GET of the URL with Kannel's escapes filled in (`%p`, `%P`, `%a`); "
            "jasmin: Jasmin's form as POST; jasmin-get: the same as GET."
        ),
    ] = "json"
