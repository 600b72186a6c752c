"""The metrics for Prometheus, read from the services' own counters at each scrape.

Theory of operation: the services keep plain integers (`relay.values.counters` and a few of their own) and know nothing
of Prometheus. `RelayCollector` makes metric families of them at each scrape, so the metrics cost nothing on the way of
a message. The values of labels come from the configuration (`account`, `carrier`) or from small fixed sets, never from
a customer or a carrier. So the configuration bounds the number of series. A carrier that a reload removed is reported
until it is unbound.

`docs/operations.md` says what operators should do about them. A test checks that `etc/alerts.yaml` and
`etc/grafana-dashboard.json` name only metrics that this module exports.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from relay import __version__
from relay.carriers.draining import DrainingCarriers
from relay.carriers.handset_messages import HandsetMessages
from relay.carriers.link import CarrierLink
from relay.cluster.membership import ClusterState, Membership
from relay.config.model import Config
from relay.customers.smpp_sessions import CustomerSessions
from relay.decisions.decision_service import Decider
from relay.history.history import History
from relay.operator.charging_metrics import balances, low_balances, quotas, statements
from relay.operator.quality_metrics import quality_metrics
from relay.quality.quality_watch import QualityWatch
from relay.routing.flow import MessageFlow
from relay.routing.housekeeping import Housekeeping
from relay.store.store_values import COMMIT_SECONDS_BOUNDS, StoreFigures
from relay.tracing.tracing import Tracing
from relay.values.carrier_reports import Outcome
from relay.values.histogram import Histogram
from relay.values.notifications import Verdict
from relay.values.smpp_constants import status_name
from relay.values.states import CUSTOMER_WORDS, FINAL_STATES

#: The Content-Type of the answer to a scrape.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


#: The customer's word for each final state, and the states that it stands for.
FINAL_WORDS = {
    word: [state for state in FINAL_STATES if CUSTOMER_WORDS[state].status == word]
    for word in sorted({CUSTOMER_WORDS[state].status for state in FINAL_STATES})
}


class Measured(Protocol):
    """The parts of the daemon that have metrics. Each scrape reads them again."""

    flow: MessageFlow
    links: dict[str, CarrierLink]
    draining_carriers: DrainingCarriers
    sessions: CustomerSessions
    housekeeping: Housekeeping
    handset_messages: HandsetMessages
    config: Config
    history: History | None
    not_ready: str
    quality: QualityWatch
    membership: Membership | None
    tracing: Tracing | None


class RelayCollector(Collector):
    """Makes metric families of the daemon's figures.

    :param clock_seconds: returns the time of the clock that the links' pauses use.
    """

    def __init__(self, daemon: Measured, clock_seconds: Callable[[], float]) -> None:
        self._daemon = daemon
        self._clock_seconds = clock_seconds

    def collect(self) -> Iterator[Metric]:
        """Makes all metrics. prometheus-client calls it for each scrape, in the reactor's thread."""
        daemon = self._daemon
        yield _gauge("relay_info", "The software's version, as a label.", [({"version": __version__}, 1)])
        yield _gauge("relay_ready", "1 while the relay takes messages.", [({}, 0 if daemon.not_ready else 1)])
        yield from self._accounts()
        draining_carriers = daemon.draining_carriers.all
        links = {**{name: drain.link for name, drain in draining_carriers.items()}, **daemon.links}
        yield from _carriers(links, self._clock_seconds())
        yield from _receipts(links)
        yield _gauge(
            "relay_carrier_draining",
            "1 while a carrier that a reload removed stays bound for outstanding receipts; it gets no messages.",
            (({"carrier": name}, name in draining_carriers) for name in links),
        )
        yield _gauge(
            "relay_carrier_receipts_out",
            "Receipts that a draining carrier still owes, at the last count.",
            (({"carrier": name}, drain.receipts_out or 0) for name, drain in draining_carriers.items()),
        )
        yield from quality_metrics(daemon.quality)
        if daemon.membership is not None:
            yield from _cluster(daemon.membership.state())
        yield from _store(daemon.flow.store.figures())
        if daemon.history is not None:
            yield from _history(daemon.history)
        yield _counter(
            "relay_inbound_messages",
            "Messages from handsets: for accounts (received), some of these without all parts (incomplete), and long "
            "ones that no account gets (unwanted).",
            (({"result": result}, count) for result, count in daemon.handset_messages.counts.items()),
        )
        yield from _decisions(daemon.flow.decisions)
        if daemon.tracing is not None:
            yield from _traces(daemon.tracing)
        yield _histogram(
            "relay_reactor_lag_seconds",
            "How late the work of each second began.",
            [({}, daemon.housekeeping.lag_seconds)],
        )

    def _accounts(self) -> Iterator[Metric]:
        daemon = self._daemon
        counters = daemon.flow.counters
        accounts = {name: counters.account(name) for name in daemon.config.accounts}
        yield _counter(
            "relay_messages",
            "Messages that were accepted, which means that they are durable.",
            (
                ({"account": name, "interface": interface}, count)
                for name, account in accounts.items()
                for interface, count in account.accepted.items()
            ),
        )
        yield _counter(
            "relay_messages_refused",
            "Messages that were refused, by the SMPP status that says why.",
            (
                ({"account": name, "status": status_name(status)}, count)
                for name, account in accounts.items()
                for status, count in account.refused.items()
            ),
            labels=("account", "status"),
        )
        yield _histogram(
            "relay_accept_seconds",
            "Time from the moment when a message was read until it is durable and its answer leaves.",
            [({}, counters.accept_seconds)],
        )
        yield _counter(
            "relay_notification_attempts",
            "Attempts to notify: delivered and given_up end the notification, retry doesn't.",
            (
                ({"account": name, "channel": channel, "result": verdict.name.lower()}, of_channel.attempts[verdict])
                for name, account in accounts.items()
                for channel, of_channel in account.channels.items()
                for verdict in Verdict
            ),
        )
        yield _histogram(
            "relay_notification_seconds",
            "Time from the moment when the relay learnt a state until the customer acknowledged it. Of the SMPP "
            "answers in one read, half count with the time of the first, half with that of the last.",
            (({"channel": channel}, histogram) for channel, histogram in counters.notification_seconds.items()),
        )
        yield _histogram(
            "relay_webhook_seconds", "Time that one POST took, answered or not.", [({}, counters.webhook_seconds)]
        )
        charged = []
        if daemon.membership is None or daemon.membership.state().epoch:
            # Only the relay of a cluster that works, so that an alert comes once.
            charged = list(statements(daemon.flow, list(accounts), self._clock_seconds()))
        if charged:
            yield _gauge("relay_account_balance", "Balances of prepaid accounts.", balances(charged))
            yield _gauge("relay_account_low_balance", "`low_balance` of accounts that have it.", low_balances(charged))
            yield _gauge("relay_account_quota_left", "Messages that the quota still allows now.", quotas(charged))
        sessions = daemon.sessions
        yield _gauge(
            "relay_customer_binds",
            "SMPP sessions that are bound now.",
            (({"account": name}, sessions.bound.count(name)) for name in accounts),
        )
        yield _gauge(
            "relay_customer_connections", "SMPP connections that are open now.", [({}, sessions.connection_count)]
        )
        yield _counter(
            "relay_customer_binds_refused",
            "Binds of customers that were refused, by status.",
            (({"status": status_name(status)}, count) for status, count in sessions.binds_refused.items()),
            labels=("status",),
        )


def _decisions(decider: Decider) -> Iterator[Metric]:
    yield _counter(
        "relay_decisions",
        "Messages about which the decision service was to be asked, by what decided: the service (answered), an answer "
        "that was kept (cached), `on_failure` (failed), or nothing, because too many of the account waited (put_off).",
        (({"result": result}, count) for result, count in decider.counts.items()),
    )
    yield _histogram(
        "relay_decision_seconds", "Time that one request to the decision service took.", [({}, decider.seconds)]
    )


def _traces(tracing: Tracing) -> Iterator[Metric]:
    yield _counter(
        "relay_trace_spans",
        "Spans of recorded messages: the collector has them (exported), or it will not get them (dropped), because it "
        "didn't take them or because too many waited.",
        [({"result": "exported"}, tracing.exported), ({"result": "dropped"}, tracing.dropped)],
    )
    yield _gauge("relay_trace_spans_waiting", "Spans that wait for the collector.", [({}, tracing.waiting)])


def _carriers(links: Mapping[str, CarrierLink], now: float) -> Iterator[Metric]:
    def of_links(name: str, text: str, value: Callable[[CarrierLink], float]) -> Metric:
        return _gauge(name, text, (({"carrier": carrier}, value(link)) for carrier, link in links.items()))

    def counts(name: str, text: str, value: Callable[[CarrierLink], float]) -> Metric:
        return _counter(name, text, (({"carrier": carrier}, value(link)) for carrier, link in links.items()))

    yield of_links("relay_carrier_up", "1 while submit_sm can be sent.", lambda link: link.up)
    yield of_links("relay_carrier_binds", "Sessions that are bound now.", lambda link: link.bound_count)
    yield of_links("relay_carrier_binds_wanted", "Sessions that should be bound.", lambda link: link.wanted_count)
    yield of_links("relay_carrier_held", "1 while an operator holds the carrier.", lambda link: link.held)
    yield of_links("relay_carrier_paused", "1 in a pause after throttling.", lambda link: link.paused_until > now)
    yield of_links("relay_carrier_in_flight", "submit_sm without a response yet.", lambda link: link.in_flight)
    yield of_links("relay_carrier_window", "submit_sm that may be in flight.", _window)
    yield of_links("relay_carrier_queue", "Parts that wait for the carrier.", lambda link: link.queued)
    yield of_links("relay_carrier_queue_limit", "Parts that may wait.", lambda link: link.settings.queue)
    yield counts("relay_carrier_submitted", "submit_sm written.", lambda link: link.counters.submitted)
    yield _counter(
        "relay_carrier_answers",
        "Results of submit_sm: taken, refused (for good), throttled (tried again), in_doubt (the connection or the "
        "time ended before the response), expired (the validity ended before it could be sent).",
        (
            ({"carrier": carrier, "result": result}, getattr(link.counters, result))
            for carrier, link in links.items()
            for result in ("taken", "refused", "throttled", "in_doubt", "expired")
        ),
    )
    yield counts(
        "relay_carrier_without_id",
        "Parts that the carrier took without giving an id: no receipt can be matched to them.",
        lambda link: link.counters.without_id,
    )
    yield _histogram(
        "relay_carrier_response_seconds",
        "Time from submit_sm to its response. Of the responses in one read, half count with the time of the first, "
        "half with that of the last.",
        (({"carrier": carrier}, link.counters.response_seconds) for carrier, link in links.items()),
    )
    yield _counter(
        "relay_carrier_questions",
        "Results of query_sm about overdue messages and of customers' cancel_sm: answered, refused, unanswered, or "
        "later (asked again).",
        (
            ({"carrier": carrier, "command": command, "result": result}, count)
            for carrier, link in links.items()
            for (command, result), count in link.query_counts.items()
        ),
    )
    yield counts("relay_carrier_bound", "Binds that succeeded.", lambda link: link.counters.binds)
    yield counts("relay_carrier_bind_failures", "Binds that were refused.", lambda link: link.counters.bind_failures)
    yield counts("relay_carrier_lost", "Bound sessions that ended.", lambda link: link.counters.lost)
    yield counts("relay_carrier_pauses", "Pauses after throttling.", lambda link: link.counters.pauses)


def _receipts(links: Mapping[str, CarrierLink]) -> Iterator[Metric]:
    intakes = {carrier: link.intake for carrier, link in links.items()}
    yield _counter(
        "relay_receipts",
        "Receipts that are durable, by their outcome.",
        (
            ({"carrier": carrier, "outcome": outcome.name.lower()}, intake.outcomes[outcome])
            for carrier, intake in intakes.items()
            for outcome in Outcome
        ),
    )
    yield _counter(
        "relay_carrier_ended",
        "Messages that a receipt ended, by the state in the receipt.",
        (
            ({"carrier": carrier, "status": status}, sum(intake.ended[state] for state in states))
            for carrier, intake in intakes.items()
            for status, states in FINAL_WORDS.items()
        ),
    )
    yield _counter(
        "relay_receipts_reread",
        "Orphans and unreadable receipts that found their message when they were read again with a corrected dialect. "
        "In relay_receipts_total they keep their first outcome.",
        (({"carrier": carrier}, intake.reread) for carrier, intake in intakes.items()),
    )
    yield _counter(
        "relay_receipts_not_durable",
        "Receipts that were answered ESME_RX_T_APPN because they could not be written.",
        (({"carrier": carrier}, intake.not_durable) for carrier, intake in intakes.items()),
    )
    yield _counter(
        "relay_mobile_originated",
        "deliver_sm that aren't receipts.",
        (({"carrier": carrier}, intake.mobile_originated) for carrier, intake in intakes.items()),
    )
    yield _histogram(
        "relay_receipt_seconds",
        "Time from accepting a message to the receipt that ended it. Of the receipts in one read, half count with the "
        "time of the first that ended a message, half with that of the last.",
        (({"carrier": carrier}, intake.receipt_seconds) for carrier, intake in intakes.items()),
    )


def _cluster(state: ClusterState) -> Iterator[Metric]:
    yield _gauge("relay_cluster_owner", "1 while this node owns the shard.", [({}, state.epoch > 0)])
    yield _gauge(
        "relay_cluster_works", "1 while this node owns the shard and its lease is renewed.", [({}, state.works)]
    )
    yield _gauge(
        "relay_cluster_epoch", "The epoch under which this node owns the shard; 0: it doesn't.", [({}, state.epoch)]
    )
    look = state.look
    if look is None:
        return
    yield _gauge(
        "relay_cluster_nodes_standing_by",
        "Nodes that could take over: seen within some seconds, with the latest configuration file.",
        [({}, len(look.standing_by))],
    )
    yield _gauge(
        "relay_cluster_rows_behind",
        "Rows of the log that a node which stands by has not read yet.",
        (({"node": node.name}, node.behind) for node in look.standing_by),
    )
    yield _gauge(
        "relay_cluster_synchronous_standbys",
        "Database servers that a commit waits for and that are connected.",
        [({}, look.server.synchronous)],
    )


def _store(figures: StoreFigures) -> Iterator[Metric]:
    yield _gauge("relay_store_writable", "1 while the journal can be written.", [({}, figures.writable)])
    yield _gauge("relay_store_messages", "Messages in the table.", [({}, figures.messages)])
    yield _gauge(
        "relay_store_messages_by_stage",
        "Messages that wait for their time, that no carrier has taken yet, that wait for their receipt, and that have "
        "ended.",
        (
            ({"stage": stage}, getattr(figures, stage))
            for stage in ("scheduled", "unsubmitted", "awaiting_receipt", "finished")
        ),
    )
    yield _gauge("relay_store_orphans", "Receipts that wait for their id to become known.", [({}, figures.orphans)])
    yield _counter(
        "relay_store_orphans_dropped",
        "Orphans that were given up: they were over limits.orphans, or waited for limits.orphan_seconds.",
        [({}, figures.orphans_dropped)],
    )
    yield _gauge(
        "relay_store_evidence",
        "Receipts kept as evidence of a wrong dialect: they found no message in time, and the carrier's receipts match "
        "nothing, or far less than they used to.",
        (({"carrier": carrier}, count) for carrier, count in figures.evidence.items()),
    )
    yield _counter(
        "relay_receipts_implausible_dates",
        "Receipts whose done date is more than a day before the message was accepted, or more than a day after the "
        "receipt came. Their arrival counts instead.",
        (({"carrier": carrier}, count) for carrier, count in figures.implausible_dates.items()),
    )
    yield _counter(
        "relay_messages_failed_over",
        "Messages that went to another carrier because this one did not deliver them (`failover` of the route).",
        (({"carrier": carrier}, count) for carrier, count in figures.failed_over.items()),
    )
    yield _gauge("relay_store_unreadable", "Unreadable receipts that are kept.", [({}, figures.unreadable)])
    yield _gauge("relay_store_owed", "Notifications that are owed.", [({}, figures.owed)])
    yield _counter(
        "relay_store_ambiguous", "Carrier message ids that two live messages had at once.", [({}, figures.ambiguous)]
    )
    yield _counter(
        "relay_receipts_ambiguous",
        "Receipts that could belong to several messages, because a carrier gave an id twice.",
        [({}, figures.ambiguous_receipts)],
    )
    yield _gauge("relay_journal_bytes", "Size of the journal on disk.", [({}, figures.journal_bytes)])
    yield _gauge("relay_journal_segments", "Files of the journal.", [({}, figures.journal_segments)])
    yield _counter("relay_journal_batches", "Batches that commits made durable.", [({}, figures.committed_batches)])
    yield _counter("relay_journal_written_bytes", "Octets written to the journal.", [({}, figures.committed_bytes)])
    commits = Histogram(COMMIT_SECONDS_BOUNDS)
    if figures.commit_buckets:
        commits.counts = list(figures.commit_buckets)
        commits.total = figures.commit_seconds
    yield _histogram("relay_journal_commit_seconds", "How long commits took.", [({}, commits)])


def _history(history: History) -> Iterator[Metric]:
    yield _gauge("relay_history_writable", "1 while the history can be written.", [({}, not history.reason)])
    yield _gauge(
        "relay_history_behind_bytes", "Octets of the journal that the history still has to read.",
        [({}, history.behind_bytes)],
    )  # fmt: skip
    yield _gauge(
        "relay_history_lacking_bytes", "Octets of the journal that were deleted before the history had read them.",
        [({}, history.lacking_bytes)],
    )  # fmt: skip


def _window(link: CarrierLink) -> float:
    return link.settings.window * link.settings.binds


Samples = Iterable[tuple[dict[str, str], float]]


def _gauge(name: str, text: str, samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text)
    for labels, value in samples:
        family.add_sample(name, labels, float(value))
    return family


def _counter(name: str, text: str, samples: Samples, labels: tuple[str, ...] = ()) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_sample(name + "_total", values, float(value))
    return family


def _histogram(name: str, text: str, samples: Iterable[tuple[dict[str, str], Histogram]]) -> Metric:
    family = HistogramMetricFamily(name, text)
    for labels, histogram in samples:
        seen = 0
        for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
            seen += count
            family.add_sample(f"{name}_bucket", labels | {"le": "+Inf" if bound is None else repr(bound)}, seen)
        family.add_sample(f"{name}_count", labels, seen)
        family.add_sample(f"{name}_sum", labels, histogram.total)
    return family


class Metrics:
    """The relay's own registry: what the admin listener serves under /metrics.

    :param clock_seconds: see `RelayCollector`.
    """

    def __init__(self, daemon: Measured, clock_seconds: Callable[[], float]) -> None:
        # With the library's global registry, two relays in one process (as in tests) would use the same names.
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(RelayCollector(daemon, clock_seconds))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def exposition(self) -> bytes:
        """The metrics in Prometheus's text format 0.0.4. It takes some milliseconds for a hundred accounts."""
        text: Any = generate_latest(self.registry)
        return bytes(text)
