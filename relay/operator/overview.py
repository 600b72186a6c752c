"""The state of the daemon as one value, for the page and for `python -m relay status`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from relay import __version__
from relay.accounts.accounts import Accounts
from relay.carriers.draining import Drain
from relay.carriers.link import CarrierLink
from relay.cluster.membership import ClusterState
from relay.config.changes import ReloadResult
from relay.history.history import History as MessageHistory
from relay.operator.actions import Reloads
from relay.operator.balances import use_look
from relay.operator.health import Readiness, Watched, readiness
from relay.operator.last_hour import STEP_SECONDS, History
from relay.operator.looks import AccountLook, CarrierLook
from relay.operator.metrics import FINAL_WORDS, Measured
from relay.operator.quality_looks import QualityLooks, quality_looks
from relay.operator.troubles import Trouble, of_avoided, of_history, of_reload, troubles
from relay.routing.stale_names import StaleNames
from relay.values.carrier_reports import Outcome
from relay.values.notifications import Verdict
from relay.values.smpp_constants import status_name
from relay.webhooks.answer import UrlState

#: Receipts that changed a message.
_MATCHED = (Outcome.FINAL, Outcome.PART, Outcome.FAILED_OVER)


class Overview(msgspec.Struct, frozen=True):
    """The state of everything.

    :ivar troubles: sentences that say what is wrong and what to do, worst first; empty when all is well.
    :ivar wrong: the same troubles in parts.
    :ivar cluster: this relay's place in its cluster; None: it is alone.
    :ivar charts: counts in steps of `step_seconds`, oldest first.
    :ivar quality: what each carrier delivers, and which carriers are avoided.
    :ivar handset_messages: messages from handsets since the start: received, incomplete, unwanted.
    :ivar reload: how the last reload of the configuration file went; None: there was none since the start.
    """

    version: str
    now: float
    uptime_seconds: float
    readiness: Readiness
    troubles: list[str]
    wrong: list[Trouble]
    carriers: list[CarrierLook]
    accounts: list[AccountLook]
    store: dict[str, Any]
    step_seconds: float
    charts: dict[str, list[float]]
    binds_refused: dict[str, int]
    cluster: ClusterState | None = None
    reload: ReloadResult | None = None
    quality: QualityLooks | None = None
    handset_messages: dict[str, int] = {}


class Webhooks(Protocol):
    """Knows the state of the accounts' URLs."""

    def url_state(self, account: str) -> UrlState:
        """The state of the account's own URL."""


class Looked(Watched, Measured, Protocol):
    """The parts of the daemon that an overview shows."""

    accounts: Accounts
    webhooks: Any
    stale_names: StaleNames
    history: MessageHistory | None
    reloader: Reloads | None


class Observer:
    """Makes overviews of a daemon, with its last hour.

    :param clock: the reactor's time.
    :ivar started_at: since when it counts.
    """

    def __init__(self, daemon: Looked, clock: Any) -> None:
        self._daemon = daemon
        self._clock = clock
        self.started_at = clock.seconds()
        self.history = History(self._counters, clock)

    def seconds(self) -> float:
        """The time, in seconds since 1970."""
        now: float = self._clock.seconds()
        return now

    def look(self) -> Overview:
        """Makes an overview of the present state. It takes some milliseconds for a hundred accounts."""
        daemon = self._daemon
        now = self._clock.seconds()
        carriers = [self._carrier(name, link, now) for name, link in daemon.links.items()]
        carriers += [self._draining(name, drain, now) for name, drain in daemon.draining_carriers.all.items()]
        accounts = [self._account(name, now) for name in daemon.config.accounts]
        figures = daemon.flow.store.figures()
        state = readiness(daemon)
        cluster = None if daemon.membership is None else daemon.membership.state()
        wrong: list[Trouble] = []
        # While another relay works, what this one lacks is not wrong.
        if cluster is None or cluster.epoch:
            wrong += troubles(state, carriers, accounts, msgspec.structs.asdict(figures), daemon.stale_names)
        if cluster is not None:
            wrong += [Trouble(text, "", "/") for text in cluster.troubles]
        reload = None if daemon.reloader is None else daemon.reloader.last
        wrong += [
            *of_avoided(daemon.quality.avoided),
            *of_history("" if daemon.history is None else daemon.history.reason),
            *of_reload(reload),
        ]
        return Overview(
            version=__version__,
            now=now,
            uptime_seconds=now - self.started_at,
            readiness=state,
            troubles=[trouble.sentence for trouble in wrong],
            wrong=wrong,
            carriers=carriers,
            accounts=accounts,
            store=msgspec.structs.asdict(figures),
            step_seconds=STEP_SECONDS,
            charts={name: self.history.of(name) for name in self.history.names() if "." not in name},
            cluster=cluster,
            binds_refused={status_name(s): count for s, count in daemon.sessions.binds_refused.items()},
            reload=reload,
            quality=self.quality(("carrier",)),
            handset_messages=dict(daemon.handset_messages.counts),
        )

    def quality(self, by: Sequence[str], only: Mapping[str, str] = MappingProxyType({})) -> QualityLooks:
        """What carriers deliver. The arguments are those of `quality_looks`. It takes some milliseconds at the most."""
        return quality_looks(self._daemon.quality, self._clock.seconds(), by, only)

    def carrier(self, name: str) -> CarrierLook | None:
        """The state of one carrier, also of one that drains; None: there is none of this name."""
        daemon, now = self._daemon, self._clock.seconds()
        if name in daemon.links:
            return self._carrier(name, daemon.links[name], now)
        drain = daemon.draining_carriers.all.get(name)
        return None if drain is None else self._draining(name, drain, now)

    def account(self, name: str) -> AccountLook | None:
        """The state of one account; None: there is none of this name."""
        return self._account(name, self._clock.seconds()) if name in self._daemon.config.accounts else None

    def _counters(self) -> dict[str, float]:
        daemon = self._daemon
        counted = daemon.flow.counters
        found: dict[str, float] = {"accepted": 0, "refused": 0, "delivered": 0, "failed": 0, "taken": 0, "receipts": 0}
        for name in daemon.config.accounts:
            account = counted.account(name)
            accepted = sum(account.accepted.values())
            attempts = [sum(channel.attempts[v] for channel in account.channels.values()) for v in Verdict]
            found[f"account.{name}"] = accepted
            found[f"told.{name}"] = attempts[Verdict.DELIVERED]
            found[f"failed.{name}"] = attempts[Verdict.RETRY] + attempts[Verdict.GIVEN_UP]
            found["accepted"] += accepted
            found["refused"] += sum(account.refused.values())
            found["delivered"] += attempts[Verdict.DELIVERED]
            found["failed"] += attempts[Verdict.RETRY] + attempts[Verdict.GIVEN_UP]
        draining = {name: drain.link for name, drain in daemon.draining_carriers.all.items()}
        for name, link in (daemon.links | draining).items():
            found[f"carrier.{name}"] = link.counters.taken
            found[f"refused.{name}"] = link.counters.refused
            found["taken"] += link.counters.taken
            found["receipts"] += sum(link.intake.outcomes[outcome] for outcome in _MATCHED)
        return found

    def _carrier(self, name: str, link: CarrierLink, now: float) -> CarrierLook:
        counters = link.counters
        settings = link.settings
        taken, refused = sum(self.history.of(f"carrier.{name}")), sum(self.history.of(f"refused.{name}"))
        return CarrierLook(
            name=name,
            kind=settings.kind,
            up=link.up,
            held=link.held,
            paused_seconds=max(0.0, link.paused_until - now),
            bound=link.bound_count,
            wanted=link.wanted_count,
            queued=link.queued,
            queue_limit=settings.queue,
            in_flight=link.in_flight,
            window=settings.window * settings.binds,
            rate=self.history.rate(f"carrier.{name}"),
            rate_limit=settings.rate,
            taken=counters.taken,
            refused=counters.refused,
            throttled=counters.throttled,
            in_doubt=counters.in_doubt,
            expired=counters.expired,
            error_share=refused / (taken + refused) if refused else 0.0,
            response_seconds=_finite(counters.response_seconds.quantile(0.5)),
            receipts={outcome.name.lower(): link.intake.outcomes[outcome] for outcome in Outcome},
            last_error=link.last_error,
            without_id=counters.without_id,
            ended={
                status: count
                for status, states in FINAL_WORDS.items()
                if (count := sum(link.intake.ended[state] for state in states))
            },
            receipt_seconds=_finite(link.intake.receipt_seconds.quantile(0.5)),
        )

    def _draining(self, name: str, drain: Drain, now: float) -> CarrierLook:
        return msgspec.structs.replace(
            self._carrier(name, drain.link, now),
            draining=True,
            receipts_out=-1 if drain.receipts_out is None else drain.receipts_out,
            drain_seconds=max(0.0, self._daemon.draining_carriers.ends_at(drain) - now),
        )

    def _account(self, name: str, now: float) -> AccountLook:
        daemon = self._daemon
        counters = daemon.flow.counters.account(name)
        attempts = [sum(channel.attempts[v] for channel in counters.channels.values()) for v in Verdict]
        told, failed = sum(self.history.of(f"told.{name}")), sum(self.history.of(f"failed.{name}"))
        url = daemon.accounts.notification_url(name)
        state = daemon.webhooks.url_state(name)
        return AccountLook(
            name=name,
            binds=daemon.sessions.bound.count(name),
            rate=self.history.rate(f"account.{name}"),
            accepted=sum(counters.accepted.values()),
            refused={status_name(status): count for status, count in counters.refused.items()},
            delivered=attempts[Verdict.DELIVERED],
            retries=attempts[Verdict.RETRY],
            given_up=attempts[Verdict.GIVEN_UP],
            url=url or "",
            url_off=state.off,
            url_failures=state.failures,
            url_blocked_seconds=max(0.0, (state.blocked_until or now) - now),
            url_in_flight=state.in_flight,
            suspended=daemon.accounts.is_suspended(name),
            kept=daemon.flow.suspended.count(name),
            failure_share=failed / (told + failed) if told + failed else None,
            use=use_look(daemon.flow, name, now),
        )


def _finite(seconds: float) -> float:
    return seconds if seconds != float("inf") else -1.0
