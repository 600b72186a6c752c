"""`twistd relay`: its options, and how the parts of the relay are put together.

This is the only module that imports the reactor. `build` takes the reactor as an argument, so that tests can build the
same relay.
"""

import atexit
import gc
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python import usage

from relay import __version__
from relay.account_pages.account_site import AccountPages
from relay.account_pages.history_stats import HistoryStats
from relay.account_pages.page_sessions import PageSessions
from relay.account_pages.page_stats import PageStats
from relay.accounts.accounts import Accounts
from relay.accounts.first_secrets import FirstSecrets
from relay.app.config_editor import ConfigEditor
from relay.app.config_file import load_file, read_config, start_checks
from relay.app.daemon import Daemon
from relay.app.daemon_parts import Collaborators, DurableStore
from relay.app.list_files import ListsCheck, read_lists
from relay.app.listeners import Served
from relay.app.load_config import ConfigError
from relay.app.logging import LoggedService
from relay.app.logging import observer as line_observer
from relay.app.make_history import make_history, make_message_records
from relay.app.reload import Reloader
from relay.app.sd_notify import from_environment
from relay.app.steady_clock import SteadyClock
from relay.app.stored_entries import StoredEntries
from relay.app.tracing_checks import library_problems
from relay.charging.charging import Charging
from relay.config.carrier_config import Carrier, NumberComparison
from relay.config.config_entries import LoadedConfig, Places
from relay.config.model import Config
from relay.customers.bound_logins import LoginView
from relay.decisions.decision_client import DecisionClient
from relay.decisions.decision_service import DecisionService
from relay.history.message_lists import MessageLists
from relay.http.carrier_notifications import CarrierNotifications
from relay.http.carrier_receipts import CarrierReceipts
from relay.http.forwarded import TrustedProxies
from relay.http.http_api import HttpApi
from relay.http.site import ApiSite
from relay.operator.admin_pages import make_admin_site
from relay.quality.quality_file import QUALITY_FILE, QualityFile
from relay.quality.quality_watch import QualityWatch
from relay.routing.composer import Composer
from relay.routing.flow import MessageFlow
from relay.routing.number_lists import NumberLists
from relay.routing.routes import Routes
from relay.routing.set_endings import endings_of
from relay.runtime.fair_turns import FairTurns
from relay.runtime.open_files import OpenFiles, allow_files, files_wanted
from relay.simulator.demo_receiver import demo_receiver_site
from relay.store.journal.disk_thread import DiskThread
from relay.store.journal.files import Files, OsFiles
from relay.store.journal.journal_store import JournalStore
from relay.tracing.tracing import Tracing
from relay.values.work_gate import ALWAYS_OPEN, WorkGate
from relay.webhooks.connections import HttpClients
from relay.webhooks.delivery import WebhookDelivery
from relay.webhooks.webhook_client import WebhookClient
from relay.webhooks.webhook_sender import Webhooks

#: Wraps the store. The tests use it to run the whole relay on a store that answers late.
StoreWrapper = Callable[[JournalStore], DurableStore]


class Options(usage.Options):
    """Command line of `twistd relay`."""

    synopsis = "[options]"
    longdesc = """Sends SMS to carriers, and matches their delivery receipts to the messages.
    To check a configuration without starting anything: python -m relay check FILE"""
    optParameters = [["config", "c", "etc/relay.yaml", "The configuration file."]]

    #: The configuration, once the options have been read.
    config: Config
    #: In which files its entries are.
    places: Places
    #: What read the files of the configuration's lists with it.
    lists_check: ListsCheck

    def postOptions(self) -> None:
        """Reads the configuration. If it can't be used, prints its problems and ends the process with status 1."""
        from twisted.internet import reactor

        self.lists_check = ListsCheck()
        try:
            loaded = load_file(self["config"], [*start_checks(reactor), library_problems, self.lists_check])
        except ConfigError as error:
            # twistd would print its usage, too, and the problems would be far above.
            print(error, file=sys.stderr)
            raise SystemExit(1) from None
        self.config, self.places = loaded.config, loaded.places


def makeService(options: Options) -> IService:
    """Makes the relay with this machine's reactor, disk and network. twistd calls it."""
    from twisted.internet import reactor

    # Imported modules live as long as the process, so the garbage collector need not check them again. It doesn't track
    # the values that come with traffic (see relay.values.messages).
    gc.collect()
    gc.freeze()
    # This must be set before anything reads the time. `relay.app.steady_clock` says why.
    reactor.seconds = SteadyClock().seconds  # type: ignore[method-assign]
    limits, sessions = options.config.limits, _carrier_sessions(options.config)
    may_be_open = allow_files(files_wanted(limits.connections, sessions))
    daemon = build(
        options.config,
        reactor,
        lists=options.lists_check.lists,
        open_files=OpenFiles(may_be_open, limits.connections, sessions, reactor),
        wall=time.time,
        start_again=partial(_start_again, options),
        places=options.places,
    )
    path = Path(options["config"]).absolute()
    parent: Any = options.parent or {}
    if parent.get("syslog"):
        _reload_on_hangup(daemon, path, reactor, lambda config: None)
        return daemon
    # twistd itself would choose the same file.
    log_file = parent.get("logfile") or ("-" if parent.get("nodaemon", True) else "twistd.log")
    observer = line_observer(options.config.logs, log_file)
    _reload_on_hangup(daemon, path, reactor, lambda config: observer.reconfigure(config.logs))
    service = LoggedService(observer)
    daemon.setServiceParent(service)
    return service


def _carrier_sessions(config: Config) -> int:
    """How many connections the carriers need. Another relay needs a few, and an API one for each request under way."""

    def needed(carrier: Carrier) -> int:
        if carrier.kind == "api":
            return carrier.api.concurrency
        return carrier.binds * (2 if carrier.bind == "transmitter+receiver" else 1) if carrier.kind == "smpp" else 4

    return sum(map(needed, config.carriers.values()))


def _start_again(options: Options, reason: str) -> None:
    """Ends this process at once, and begins a new one that stands by. Only a relay in a cluster needs it."""
    from relay.app.make_cluster import start_again

    parent: Any = options.parent or {}
    start_again(reason, in_place=parent.get("nodaemon", True), pid_file=parent.get("pidfile"))


def _reload_on_hangup(daemon: Daemon, path: Path, reactor: Any, taken: Callable[[Config], None]) -> None:
    """Makes SIGHUP reload the configuration file."""
    notifier = daemon.notifier

    def in_thread(function: Callable[..., Any], *arguments: Any) -> "Deferred[Any]":
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *arguments)

    stored: StoredEntries | None = None
    if daemon.config.cluster.database:
        data_dir = daemon.config.data_dir
        stored = StoredEntries(data_dir, daemon.store, in_thread, lambda: daemon.config.admin.api)

    async def read() -> LoadedConfig:
        if stored is not None:
            await stored.check()
        # The data directory changes at a start only, and conf.d is in it.
        loaded: LoadedConfig = await in_thread(load_file, path, start_checks(reactor), daemon.config.data_dir)
        return loaded

    def applied(config: Config) -> None:
        taken(config)
        daemon.file_applied(config)

    def hung_up() -> None:
        if daemon.standing_by:
            daemon.stand_by_anew(lambda: read_config(path, start_checks(reactor)))
        else:
            reloader.request()

    reloader = Reloader(
        daemon,
        read,
        reactor,
        read_lists=partial(in_thread, read_lists),
        taken=applied,
        begun=lambda: notifier.reloading(time.monotonic_ns() // 1000) if notifier else None,
        ended=lambda: notifier.ready(daemon.status) if notifier else None,
    )
    daemon.reloader = reloader
    daemon.editor = ConfigEditor(str(path), daemon, reloader, in_thread, lambda: start_checks(reactor), stored)
    daemon.at_stop(reloader.stop)
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(hung_up))


def build(
    config: Config,
    reactor: Any,
    *,
    lists: NumberLists | None = None,
    store_wrapper: StoreWrapper | None = None,
    files: Files | None = None,
    open_files: OpenFiles | None = None,
    wall: Callable[[], float] | None = None,
    start_again: Callable[[str], None] | None = None,
    places: Places | None = None,
) -> Daemon:
    """Makes the whole relay. It opens nothing before the service starts.

    :param lists: the configuration's lists, if they have been read already.
    :param store_wrapper: wraps the store, for tests.
    :param files: the disk for the journal; None: the real one.
    :param open_files: keeps some open files free; None: there are always enough.
    :param start_again: ends the process at once, and begins a new one that stands by. Only a cluster needs it.
    :param places: in which files the configuration's entries are.
    :param wall: the system's time, for signatures, which others compare with their own time; None: the reactor's time.
    """

    def compare_numbers(carrier: str) -> NumberComparison:
        # The daemon is made last. The store calls this only once the daemon has started it.
        return daemon.compare_numbers(carrier)

    def smpp_logins(account: str) -> Iterator[LoginView]:
        return daemon.sessions.bound.views(account)

    files = files or OsFiles()
    places = places or Places()
    randomness = random.SystemRandom()
    make_thread = partial(_thread, reactor)
    node = _cluster_node(config, places, reactor, files, make_thread, start_again)
    gate = ALWAYS_OPEN if node is None else node.gate
    accounts = Accounts(config.accounts)
    disk = make_thread("journal")
    tracing = _tracing(config, reactor)
    journal = _journal_store(config, reactor, accounts, files, disk, compare_numbers, node, tracing)
    if node is None:
        history, questions = make_history(config, reactor, journal, files, make_thread)
    else:
        log_files = node.shard_log.files
        history, questions = make_history(config, reactor, journal, log_files, make_thread, node.history_source)
    store: Any = journal if store_wrapper is None else store_wrapper(journal)
    message_lists = MessageLists(store, questions, config.history.numbers)
    http_clients = HttpClients(reactor, gate=gate)
    number_lists = read_lists(config) if lists is None else lists
    flow = _message_flow(config, reactor, store, accounts, number_lists, http_clients, gate)
    webhooks = _webhooks(reactor, store, accounts, flow, http_clients, randomness, open_files, wall, gate, tracing)
    turns, proxies = FairTurns(reactor), TrustedProxies(config.trusted_proxies)
    pages = partial(
        AccountPages,
        page_stats=PageStats(flow.store, reactor) if questions is None else HistoryStats(questions, reactor),
        smpp_logins=smpp_logins,
    )
    api = _http_api(
        config, reactor, flow, accounts, webhooks, randomness, turns, proxies, message_lists, pages, tracing
    )
    daemon = Daemon(
        config,
        Collaborators(
            open_files=open_files,
            reactor=reactor,
            randomness=randomness,
            random_bytes=os.urandom,
            store=store,
            accounts=accounts,
            flow=flow,
            webhooks=webhooks,
            records=make_message_records(config, reactor, disk),
            history=history,
            lists=message_lists,
            notifier=from_environment(reactor),
            carrier_http=http_clients.any,
            membership=node,
            quality=_quality(config, reactor, flow),
            tracing=tracing,
        ),
        sites=lambda daemon: _sites(daemon, config, reactor, api.site, turns, proxies, open_files),
        ready=_say_how_to_try if config.demo.receiver else lambda daemon: None,
        failed=lambda reason: _exit_with_failure(reactor, reason),
    )
    daemon.places = places
    daemon.at_stop(api.stop)
    if node is not None:
        node.ownership.reopened = daemon.may_send_again
    _take_carrier_notifications(api, daemon, reactor, wall)
    return daemon


def _quality(config: Config, reactor: Any, flow: MessageFlow) -> QualityWatch:
    """Makes what counts the messages that carriers deliver, and keeps the counts in a file."""
    keeper = QualityFile(str(Path(config.data_dir) / QUALITY_FILE))

    def in_thread(work: Callable[[], Any]) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    return QualityWatch(flow, reactor, config.limits.quality_groups, keeper, in_thread)


def _cluster_node(
    config: Config,
    places: Places,
    reactor: Any,
    files: Files,
    make_thread: Callable[[str], DiskThread],
    start_again: Callable[[str], None] | None,
) -> Any:
    """Makes this relay a node of its cluster. None: there is no cluster, and nothing of it is imported."""
    if not config.cluster.database:
        return None
    from relay.app.make_cluster import Node

    assert start_again is not None
    return Node(config, places.compared(config), reactor, files, make_thread, start_again)


def _tracing(config: Config, reactor: Any) -> Tracing | None:
    """Makes what the traces need, and the thread that sends them. None: there are no traces.

    Without traces, nothing of OpenTelemetry is imported.
    """
    if not config.tracing.endpoint:
        return None
    from relay.tracing.span_exporter import SpanExporter

    tracing = Tracing(config.tracing)
    exporter = SpanExporter(tracing, config.tracing, reactor.callFromThread)
    # twistd may fork before the reactor runs, and threads don't survive that.
    reactor.callWhenRunning(exporter.start)
    reactor.addSystemEventTrigger("after", "shutdown", exporter.stop)
    return tracing


def _thread(reactor: Any, name: str) -> DiskThread:
    """Makes a thread for work on the disk. It stops after the reactor."""
    # In the reactor's thread pool, a commit would wait for slow name look-ups.
    thread = DiskThread(reactor, name)
    reactor.addSystemEventTrigger("after", "shutdown", thread.stop)
    return thread


def _journal_store(
    config: Config,
    reactor: Any,
    accounts: Accounts,
    files: Files,
    disk: DiskThread,
    compare_numbers: Callable[[str], NumberComparison],
    node: Any,
    tracing: Tracing | None,
) -> JournalStore:
    """Makes the store that keeps messages in memory and in the journal: on this disk, or in the cluster's database."""
    # A commit in the database takes too long for the reactor's own thread.
    options = {"thread_is_idle": disk.is_idle} if node is None else node.store_options
    make: Callable[..., JournalStore] = JournalStore
    if tracing is not None:
        from relay.tracing.traced_store import TracedStore

        make = partial(TracedStore, tracing=tracing)
    store = make(
        files if node is None else node.shard_log.files,
        config.data_dir,
        journal=config.journal,
        limits=config.limits,
        policy=accounts.policy,
        clock=reactor,
        in_thread=disk,
        # With a history, message records are written from it.
        views_of_ended=bool(config.logs.message_records) and not config.history.days,
        compare_numbers=compare_numbers,
        tells_progress=lambda: accounts.tell_progress,
        **options,
    )
    if node is not None:
        node.store = store
    return store


def _message_flow(
    config: Config,
    reactor: Any,
    store: DurableStore,
    accounts: Accounts,
    lists: NumberLists | None,
    http_clients: HttpClients,
    gate: WorkGate,
) -> MessageFlow:
    """Makes the message flow with the configured routes. The daemon connects it to carriers and customers."""
    return MessageFlow(
        store=store,
        rates=accounts,
        routes=Routes(config.routes, lists, endings_of(config.accounts)),
        clock=reactor,
        random_bytes=os.urandom,
        validity_seconds=config.validity_seconds,
        share_of=accounts.share,
        senders_of=accounts.senders,
        most_scheduled=config.limits.scheduled,
        gate=gate,
        charging=Charging(config.accounts, config.prices),
        decisions=DecisionService(config.decisions, DecisionClient(http_clients.any, reactor), reactor),
    )


def _webhooks(
    reactor: Any,
    store: DurableStore,
    accounts: Accounts,
    flow: MessageFlow,
    http_clients: HttpClients,
    randomness: random.Random,
    open_files: OpenFiles | None,
    wall: Callable[[], float] | None,
    gate: WorkGate,
    tracing: Tracing | None,
) -> Webhooks:
    """Makes the sender of webhooks, whose attempts the flow's counters count."""
    secrets = FirstSecrets(store, accounts, os.urandom)
    delivery = WebhookDelivery(store, accounts, WebhookClient(http_clients, reactor), reactor, wall, secrets, tracing)
    webhooks = Webhooks(store, accounts, delivery, reactor, randomness.random, gate)
    if open_files is not None:
        webhooks.places.most = open_files.webhooks
    webhooks.outcomes.on_settled = flow.counters.attempted
    webhooks.attempts.on_post = flow.counters.webhook_seconds.observe
    return webhooks


def _http_api(
    config: Config,
    reactor: Any,
    flow: MessageFlow,
    accounts: Accounts,
    webhooks: Webhooks,
    randomness: random.Random,
    turns: FairTurns,
    proxies: TrustedProxies,
    lists: MessageLists,
    pages: Callable[..., AccountPages],
    tracing: Tracing | None,
) -> HttpApi:
    """Makes the customers' HTTP API, with the pages of My Account.

    :param pages: makes these pages.
    """
    api = HttpApi(
        flow=flow,
        accounts=accounts,
        webhooks=webhooks,
        compose=Composer(flow, itertools.count(randomness.randrange(256))),
        clock=reactor,
        random_bytes=os.urandom,
        limits=config.limits,
        version=__version__,
        kannel=config.http.kannel,
        jasmin=config.http.jasmin,
        failed_logins_a_minute=config.http.failed_logins_a_minute,
        turns=turns,
        proxies=proxies,
        lists=lists,
        tracing=tracing,
    )
    pages(
        api,
        flow=flow,
        accounts=accounts,
        webhooks=webhooks,
        sessions=PageSessions(accounts, flow.store, os.urandom, reactor.seconds),
        clock=reactor,
        random_bytes=os.urandom,
    )
    return api


def _sites(
    daemon: Daemon,
    config: Config,
    reactor: Any,
    site: ApiSite,
    turns: FairTurns,
    proxies: TrustedProxies,
    open_files: OpenFiles | None,
) -> Sequence[Served]:
    """Makes the HTTP listeners: for customers, for the operator, and the demonstration's receiver."""
    admin = make_admin_site(daemon, reactor, turns, proxies)
    if open_files is not None:
        site.has_room = open_files.room
        admin[2].most_connections = open_files.admin
    served: list[Served] = [("http.listen", config.http.listen, site), admin]
    if config.demo.receiver:
        served.append(("demo.receiver", [config.demo.receiver], demo_receiver_site(sys.__stdout__)))
    return served


def _take_carrier_notifications(api: HttpApi, daemon: Daemon, reactor: Any, wall: Callable[[], float] | None) -> None:
    """Lets carriers over HTTP post their notifications to the customers' listener."""
    notifications = CarrierNotifications(daemon.http_receipts, reactor, wall)
    api.router.add("POST", "/carriers/{name}/notifications", notifications.take, anybody=True)
    receipts = CarrierReceipts(daemon.api_receipts, reactor, wall)
    for method in ("GET", "POST"):
        for path in ("/carriers/{name}/receipts", "/carriers/{name}/receipts/{token}"):
            api.router.add(method, path, receipts.take, anybody=True)


def _say_how_to_try(daemon: Daemon) -> None:
    """Prints where the demonstration listens, and a command to paste."""
    for name, account in daemon.config.accounts.items():
        if account.api_key is None or not daemon.config.http.listen:
            continue
        port = daemon.listeners.port_of("http.listen")
        print(
            "\nThe relay listens on: " + ", ".join(daemon.listening) + "\nPaste this into another terminal:\n\n"
            f"  curl -u {name}:{account.api_key.reveal()} http://127.0.0.1:{port}/messages"
            """ -d '{"to": "447700900123", "from": "RELAY", "text": "Hello"}' -H 'Content-Type: application/json'\n"""
            "\nThe delivery notification is printed here a moment later. Ctrl-C stops the relay.\n",
            # twistd turns lines on sys.stdout into log lines. The command must not be changed.
            file=sys.__stdout__,
            flush=True,
        )
        return


def _exit_with_failure(reactor: Any, reason: str) -> None:
    """Ends the process with status 1. twistd itself can't end a running reactor with a status."""
    # twistd writes sys.stderr to the log, which has the reason already. So this uses the process's own standard error.
    print(f"relay: {reason}", file=sys.__stderr__)

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    # This runs after twistd has removed its pid file and has cleaned up everything else.
    atexit.register(leave)
    reactor.callWhenRunning(reactor.stop)
