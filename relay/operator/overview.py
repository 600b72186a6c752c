"""The state of the daemon as one value, for the page and for `python -m relay status`."""

from datetime import UTC, datetime
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
from relay.operator.health import Readiness, Watched, readiness
from relay.operator.last_hour import STEP_SECONDS, History
from relay.operator.metrics import Measured
from relay.routing.stale_names import StaleNames
from relay.values.messages import Outcome, Verdict
from relay.values.smpp_constants import status_name
from relay.webhooks.answer import UrlState

#: Receipts that changed a message.
_MATCHED = (Outcome.FINAL, Outcome.PART, Outcome.FAILED_OVER)


class CarrierLook(msgspec.Struct, frozen=True):
    """The state of one carrier. Counts are since the start; rates are per second, over the last ten seconds.

    :ivar draining: whether a reload removed the carrier, and it stays bound for outstanding receipts.
    :ivar receipts_out: how many receipts are outstanding. 0 for a carrier that doesn't drain; -1: not counted yet.
    :ivar drain_seconds: the time after which it is unbound at the latest.
    :ivar without_id: parts that the carrier took without giving an id. No receipt can be matched to them.
    """

    name: str
    kind: str
    up: bool
    held: bool
    paused_seconds: float
    bound: int
    wanted: int
    queued: int
    queue_limit: int
    in_flight: int
    window: int
    rate: float
    rate_limit: float
    taken: int
    refused: int
    throttled: int
    in_doubt: int
    expired: int
    error_share: float
    response_seconds: float
    receipts: dict[str, int]
    last_error: str
    draining: bool = False
    receipts_out: int = 0
    drain_seconds: float = 0.0
    without_id: int = 0


class AccountLook(msgspec.Struct, frozen=True):
    """The state of one account."""

    name: str
    binds: int
    rate: float
    accepted: int
    refused: dict[str, int]
    delivered: int
    retries: int
    given_up: int
    url: str
    url_off: str
    url_failures: int
    url_blocked_seconds: float
    url_in_flight: int


class Overview(msgspec.Struct, frozen=True):
    """The state of everything.

    :ivar troubles: sentences that say what is wrong, worst first; empty when all is well.
    :ivar cluster: this relay's place in its cluster; None: it is alone.
    :ivar charts: counts in steps of `step_seconds`, oldest first.
    :ivar reload: how the last reload of the configuration file went; None: there was none since the start.
    """

    version: str
    now: float
    uptime_seconds: float
    readiness: Readiness
    troubles: list[str]
    carriers: list[CarrierLook]
    accounts: list[AccountLook]
    store: dict[str, Any]
    step_seconds: float
    charts: dict[str, list[float]]
    binds_refused: dict[str, int]
    cluster: ClusterState | None = None
    reload: ReloadResult | None = None


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
    """

    def __init__(self, daemon: Looked, clock: Any) -> None:
        self._daemon = daemon
        self._clock = clock
        self._started_at = clock.seconds()
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
        if cluster is not None and not cluster.epoch:
            # Another relay works. What this one lacks is not wrong.
            wrong = []
        else:
            wrong = troubles(state, carriers, accounts, msgspec.structs.asdict(figures), daemon.stale_names)
        if cluster is not None:
            wrong += cluster.troubles
        if daemon.history is not None and daemon.history.reason:
            wrong.append(f"the history can't be written: {daemon.history.reason}. Messages go their way")
        reload = None if daemon.reloader is None else daemon.reloader.last
        if reload is not None and reload.problems:
            wrong.append(_refused_reload(reload))
        return Overview(
            version=__version__,
            now=now,
            uptime_seconds=now - self._started_at,
            readiness=state,
            troubles=wrong,
            carriers=carriers,
            accounts=accounts,
            store=msgspec.structs.asdict(figures),
            step_seconds=STEP_SECONDS,
            charts={name: self.history.of(name) for name in self.history.names() if "." not in name},
            cluster=cluster,
            binds_refused={status_name(s): count for s, count in daemon.sessions.binds_refused.items()},
            reload=reload,
        )

    def carrier(self, name: str) -> CarrierLook | None:
        """The state of one carrier, also of one that drains; None: there is none of this name."""
        daemon, now = self._daemon, self._clock.seconds()
        if name in daemon.links:
            return self._carrier(name, daemon.links[name], now)
        drain = daemon.draining_carriers.all.get(name)
        return None if drain is None else self._draining(name, drain, now)

    def _counters(self) -> dict[str, float]:
        daemon = self._daemon
        counted = daemon.flow.counters
        found: dict[str, float] = {"accepted": 0, "refused": 0, "delivered": 0, "failed": 0, "taken": 0, "receipts": 0}
        for name in daemon.config.accounts:
            account = counted.account(name)
            accepted = sum(account.accepted.values())
            attempts = [sum(channel.attempts[v] for channel in account.channels.values()) for v in Verdict]
            found[f"account.{name}"] = accepted
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
        url = daemon.accounts.notification_url(name)
        state = daemon.webhooks.url_state(name)
        return AccountLook(
            name=name,
            binds=daemon.sessions.bound_count(name),
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
        )


def troubles(
    state: Readiness,
    carriers: list[CarrierLook],
    accounts: list[AccountLook],
    store: dict[str, Any],
    stale_names: StaleNames,
) -> list[str]:
    """Makes the sentences that say what is wrong, worst first."""
    found = [
        f"{stage.name}: {stage.reason}"
        for stage in state.stages
        if not stage.ok and not stage.name.startswith("carrier ")
    ]
    for carrier in carriers:
        if carrier.draining:
            if not carrier.bound and carrier.receipts_out:
                found.append(
                    f"{carrier.name} was removed with {carrier.receipts_out} receipts outstanding, and is down: "
                    f"{carrier.last_error or 'not bound'}"
                )
            continue
        if carrier.held:
            found.append(f"{carrier.name} is held by the operator; {carrier.queued} parts wait")
        elif not carrier.up:
            reason = carrier.last_error.rstrip(".") or "not bound yet"
            found.append(f"{carrier.name} is down: {reason}; {carrier.queued} parts wait")
        elif carrier.bound < carrier.wanted:
            found.append(f"{carrier.name} has {carrier.bound} of {carrier.wanted} binds: {carrier.last_error}")
        if carrier.queued > 0.8 * carrier.queue_limit:
            found.append(f"{carrier.name}'s queue is nearly full: {carrier.queued} of {carrier.queue_limit}")
        if carrier.error_share > 0.2:
            found.append(f"{carrier.name} refused {carrier.error_share:.0%} in the last hour: {carrier.last_error}")
        if carrier.without_id:
            found.append(
                f"{carrier.name} took {carrier.without_id} parts and gave them no message_id, so no receipt can be "
                "matched to them. Ask the carrier"
            )
    for name, count in stale_names.carriers.items():
        found.append(
            f"{count} parts wait for receipts of {name}, which is not in the configuration. Put it back until the "
            "receipts have come; otherwise these messages end without receipts"
        )
    for name, count in stale_names.accounts.items():
        found.append(
            f"{count} notifications are owed to {name}, which is not in the configuration. Put it back until they are "
            "delivered; otherwise nobody gets them"
        )
    for account in accounts:
        if account.url_off:
            found.append(f"{account.name}'s notification URL is off: {account.url_off}")
        elif account.url_failures:
            times = "once" if account.url_failures == 1 else f"{account.url_failures} times in a row"
            found.append(f"{account.name}'s notification URL failed {times}")
    if store["orphans"]:
        found.append(
            f"{store['orphans']} receipts have ids that no message has. To find the dialect that matches them, see "
            "Receipts on the page, or run python -m relay dialect --orphans"
        )
    for name, count in store["evidence"].items():
        found.append(
            f"receipts of {name} match too few messages: {count} that found none in time are kept. Its dialect is "
            "probably wrong: python -m relay dialect --orphans, or Receipts on the page, says which would match. "
            f"Correct it and reload; if nothing is wrong, python -m relay dialect --dismiss {name}"
        )
    if store["unreadable"]:
        found.append(f"{store['unreadable']} receipts could not be read. See Receipts on the page for their octets")
    if store["ambiguous_receipts"]:
        found.append(
            f"{store['ambiguous_receipts']} receipts could belong to several messages, because a carrier gave an id "
            f"twice; the latest: {store['latest_ambiguous']}. See Receipts on the page. If the carrier rewrites "
            "numbers, set its compare_numbers to never"
        )
    return found


def _refused_reload(reload: ReloadResult) -> str:
    at = datetime.fromtimestamp(reload.at, UTC)
    more = f" (and {len(reload.problems) - 1} more)" if len(reload.problems) > 1 else ""
    return (
        f"the reload at {at:%H:%M:%S} UTC was refused, and the old configuration holds: {reload.problems[0]}{more}. "
        "Correct the file and reload: python -m relay reload"
    )


def _finite(seconds: float) -> float:
    return seconds if seconds != float("inf") else -1.0
