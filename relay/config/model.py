"""The configuration as types: the whole file. The tables have modules of their own: `relay.config.*_config`.

No other module knows a default. The loader (`relay.app.load_config`) converts YAML to these types and reports values
that don't fit. The configuration reference in docs/ is generated from them.
"""

from typing import Annotated

from msgspec import Meta, field

from relay.config.account_config import Account, PriceTable
from relay.config.carrier_config import Carrier
from relay.config.config_struct import ConfigStruct
from relay.config.daemon_config import Cluster, Demo, History, Journal, Limits, Logs, Tracing
from relay.config.listener_config import AdminListener, HttpListener, SmppListener
from relay.config.route_config import Decisions, NumberListFile, Route
from relay.config.setting_types import Seconds, about


class Config(ConfigStruct, frozen=True):
    """The whole file."""

    data_dir: Annotated[str, about("Directory of the journal and its lock; created if missing.")] = "var/relay"
    validity_seconds: Annotated[Seconds, about("Validity of messages that name none.")] = 172_800.0
    trusted_proxies: Annotated[
        list[str],
        about(
            "Networks of proxies that the relay trusts to name the client's address: in X-Forwarded-For (or Forwarded "
            "if that is missing), or in the PROXY protocol on a listener that begins with `haproxy:`. Needs a restart."
        ),
    ] = field(default_factory=list)
    shutdown_seconds: Annotated[Seconds, about("How long a stop waits for outstanding answers.")] = 10.0
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
