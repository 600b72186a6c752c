"""The keys of routes, and of what decides about messages before a route does."""

from typing import Annotated, Literal

from msgspec import Meta, field

from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import Seconds, about


class NumberListFile(ConfigStruct, frozen=True):
    """A file of numbers: opt-outs, ported numbers. SIGHUP reads it again."""

    file: Annotated[
        str,
        about(
            "A number, or the beginning of numbers, a line, with the country code. Lines that begin with # are skipped."
        ),
    ]
    on_match: Annotated[
        Literal["tag", "refuse"],
        about("tag: the number gets a tag, which routes can ask for; refuse: messages to the number are refused."),
    ] = "tag"
    tag_column: Annotated[
        str,
        about(
            "For a file with columns: the column with the tag, by its name in the first line or its number from 1; "
            "empty = the tag is the name of the list."
        ),
    ] = ""


class Decisions(ConfigStruct, frozen=True):
    """See docs/decision-service.md: a service of yours that is asked about each message before the relay accepts it."""

    url: Annotated[
        str,
        about(
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
        about(
            "What happens with messages about which the service says nothing in time. refuse: the customer is told to "
            "try again later; pass: they are accepted as they are."
        ),
    ] = "refuse"
    with_text: Annotated[bool, about("Give the service the text of each message, too.")] = False
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
        list[str], about("Only after these errors of the carrier, as `carrier_error` shows them; empty = all.")
    ] = field(default_factory=list)
    no_receipt_seconds: Annotated[
        Seconds,
        about(
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
    account: Annotated[str, about("The account whose messages take this route; empty = all.")] = ""
    sender: Annotated[
        str,
        about(
            "The sender (from): `ACME` is this sender only, `ACME*` each that begins with ACME, `numeric` each number, "
            "`alphanumeric` each name; empty = all."
        ),
    ] = ""
    tag: Annotated[
        str,
        about(
            "A tag that the number has from one of the lists, or the message from the decision service; empty = all."
        ),
    ] = ""
    hours: Annotated[
        str,
        about(
            "When the message must be accepted, with a time zone: `08:00-20:00 Europe/London` or `Mon-Fri 22:00-06:00 "
            "UTC`; empty = at any time."
        ),
    ] = ""
    spill_over_seconds: Annotated[
        Seconds,
        about(
            "A message goes to the next carrier if it would wait longer than this for an earlier one; 0 = only if all "
            "earlier ones are down or their queues are full."
        ),
    ] = 0.0
    replace_sender: Annotated[
        str, about("Carriers get this sender (from) instead of the customer's; empty = the customer's.")
    ] = ""
    failover: Annotated[
        Failover | None,
        about("Empty = it ends as the carrier that took it says."),
    ] = None
    quality: Annotated[
        RouteQuality | None,
        about("Avoids carriers that deliver too little; see docs/carriers.md. Empty = the order stays."),
    ] = None

    @property
    def carrier_names(self) -> list[str]:
        """Every carrier of the route, in the order of the file."""
        return [name for place in self.carriers for name in ([place] if isinstance(place, str) else place)]
