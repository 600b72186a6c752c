"""The keys of the listeners: for customers over HTTP and SMPP, and for operators."""

from typing import Annotated, Literal

from msgspec import Meta, field

from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import LISTEN, Seconds, about
from relay.values.secret import Secret


class HttpListener(ConfigStruct, frozen=True):
    """The customers' HTTP API and account page."""

    listen: Annotated[list[str], LISTEN] = field(default_factory=lambda: ["tcp:8080:interface=127.0.0.1"])
    kannel: Annotated[bool, about("Serve Kannel's GET /cgi-bin/sendsms as well.")] = False
    jasmin: Annotated[bool, about("Serve Jasmin's /send as well.")] = False
    failed_logins_a_minute: Annotated[
        int,
        Meta(
            ge=0,
            description="Wrong API keys in a minute, from one address and for one account; 0 = no limit.",
        ),
    ] = 60


class SmppListener(ConfigStruct, frozen=True):
    """The customers' SMPP server."""

    listen: Annotated[list[str], LISTEN] = field(default_factory=lambda: ["tcp:2775:interface=127.0.0.1"])
    system_id: Annotated[str, Meta(max_length=15, description="The relay's system_id in bind responses.")] = "relay"
    window: Annotated[int, Meta(ge=1, le=10_000, description="Unanswered deliver_sm of a session.")] = 100
    pending_requests: Annotated[
        int, Meta(ge=1, description="Unanswered requests of a session; further ones get ESME_RTHROTTLED.")
    ] = 1_000
    bind_timeout_seconds: Annotated[Seconds, about("How long a connection may stay unbound.")] = 10.0
    enquire_link_seconds: Annotated[Seconds, about("Silence after which the relay sends enquire_link.")] = 30.0
    response_timeout_seconds: Annotated[Seconds, about("How long a deliver_sm waits for its response.")] = 60.0
    inactivity_seconds: Annotated[Seconds, about("Silence after which a session is ended; 0 = never.")] = 0.0
    failed_binds_a_minute: Annotated[int, Meta(ge=1, description="Failed binds allowed to one address.")] = 20


#: What a user of the admin listener may do; each may do what the ones before it may.
Role = Literal["view", "act", "configure"]


class AdminUser(ConfigStruct, frozen=True):
    """A user of the operator's page. The name is in the record of what operators did."""

    password: Annotated[Secret, about("What `python -m relay password` prints for the user's password.")]
    role: Annotated[
        Role,
        about(
            "`view` looks at everything; `act` also holds, unbinds, resends and tops balances up; `configure` also "
            "reloads."
        ),
    ] = "view"


class AdminListener(ConfigStruct, frozen=True):
    """Metrics, health and the operator's page. Not for customers."""

    listen: Annotated[list[str], LISTEN] = field(default_factory=lambda: ["tcp:9090:interface=127.0.0.1"])
    password: Annotated[
        Secret | None, about("The password of user 'operator'. Off loopback, set it or have `users`.")
    ] = None
    users: dict[str, AdminUser] = field(default_factory=dict)
    api: Annotated[
        bool,
        about(
            "Lets users with the role configure change accounts, carriers and routes over HTTP (docs/admin-api.md). "
            "Needs `users`. What it changes is in `data_dir`/conf.d, which the relay reads in any case."
        ),
    ] = False
