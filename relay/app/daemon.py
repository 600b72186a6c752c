"""The daemon: starts all services in order, and stops them in the reverse order.

The reactor, randomness, the store, and HTTP in both directions are arguments. `relay.tap` passes the real ones, and a
simulation passes its own.
"""

from collections.abc import Awaitable, Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.app.daemon_parts import Collaborators
from relay.app.followed_files import follow_files
from relay.app.link_maker import LinkMaker
from relay.app.listeners import Listeners, Served, StartFailure
from relay.app.tag_checks import unknown_tags
from relay.carriers.api_receipts import ApiReceiptTaker
from relay.carriers.draining import DrainingCarriers
from relay.carriers.handset_messages import HandsetMessages
from relay.carriers.link import CarrierLink
from relay.carriers.relay_api import HttpReceipts
from relay.carriers.rereading import Rereading
from relay.config.carrier_config import Carrier, NumberComparison
from relay.config.config_entries import Places
from relay.config.model import Config
from relay.customers.smpp_sessions import CustomerSessions
from relay.history.message_lists import MessageLists
from relay.http.forwarded import TrustedProxies
from relay.operator.actions import Reloads, held_carriers
from relay.operator.entry_requests import EditsEntries
from relay.quality.quality_watch import QualityWatch
from relay.routing.housekeeping import Housekeeping
from relay.routing.stale_names import StaleNames
from relay.runtime.tasks import Tasks
from relay.smpp.server import SmppServerFactory
from relay.smpp.session import SessionLimits
from relay.store.journal.journal_format import JournalError
from relay.values.notifications import Channel

#: The admin listener. It also listens while the relay stands by.
ADMIN_KEY = "admin.listen"
#: The daemon's state while another relay of the cluster works.
STANDING_BY = "standing by"


class Daemon(Service):
    """The relay as a service: starts all parts in order, and stops them in the reverse order.

    :param sites: makes the listeners other than SMPP. For each it returns the configuration key, the endpoint
        descriptions and the factory. It is called when all parts that the sites need have started; in a cluster, when
        the relay begins to stand by.
    :param ready: called once, when the relay takes messages.
    :param failed: called once, with the reason, if the start fails.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        collaborators: Collaborators,
        *,
        sites: Callable[["Daemon"], Sequence[Served]],
        ready: Callable[["Daemon"], None],
        failed: Callable[[str], None],
    ) -> None:
        reactor, flow = collaborators.reactor, collaborators.flow
        self.config = config
        #: In which files the entries of the configuration are.
        self.places = Places()
        self.store = collaborators.store
        self.accounts = collaborators.accounts
        self.flow = flow
        self.webhooks = collaborators.webhooks
        self.notifier = collaborators.notifier
        self.links: dict[str, CarrierLink] = {}
        #: The carriers that a reload removed and that are still bound.
        self.draining_carriers = DrainingCarriers(
            flow,
            reactor,
            limit_seconds=lambda: self.config.drain_hours * 3600.0,
            shutdown_seconds=lambda: self.config.shutdown_seconds,
            gone=self._carrier_gone,
        )
        self.stale_names = StaleNames(
            flow,
            reactor,
            known_carriers=lambda: {*self.config.carriers, *self.draining_carriers.all},
            known_accounts=lambda: {*self.config.accounts},
        )
        self.sessions = CustomerSessions(flow, self.accounts, config.smpp, config.limits, reactor)
        self.handset_messages = HandsetMessages(
            flow,
            self.accounts.find,
            self._carrier_settings,
            self.sessions.mobile_originated,
            reactor,
            collaborators.random_bytes,
            config.limits,
        )
        self.listeners = Listeners(reactor, TrustedProxies(config.trusted_proxies))
        self.link_maker = LinkMaker(
            flow,
            reactor,
            collaborators.randomness,
            self.listeners,
            mobile_originated=self.handset_messages.take,
            limits=lambda: self.config.limits,
            http=collaborators.carrier_http,
            tracing=collaborators.tracing,
        )
        self.housekeeping = Housekeeping(flow, reactor)
        self.quality = collaborators.quality or QualityWatch(flow, reactor, config.limits.quality_groups)
        self.rereading = Rereading(flow, reactor, self._link)
        #: Why the daemon isn't ready; empty when it is.
        self.not_ready = "starting"
        self._reactor = reactor
        self._sites = sites
        self._ready = ready
        self._failed = failed
        #: Reloads the configuration file; None: the configuration came from no file.
        self.reloader: Reloads | None = None
        #: Changes entries of the configuration for the admin API; None: the configuration came from no file.
        self.editor: EditsEntries | None = None
        self._records = collaborators.records
        self.history = collaborators.history
        self.lists = collaborators.lists or MessageLists(self.store)
        self._open_files = collaborators.open_files
        self._at_stop: list[Callable[[], Awaitable[None]]] = []
        self._tasks = Tasks(self.log)
        self._starting: Deferred[None] | None = None
        #: Whether a stop may cancel the start.
        self._may_be_cancelled = False
        self.membership = collaborators.membership
        self.tracing = collaborators.tracing
        #: Whether the start has failed. The log says so already, and the stop logs nothing more.
        self._start_refused = False

    @property
    def listening(self) -> list[str]:
        """The addresses on which it listens."""
        return self.listeners.addresses

    def at_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Registers a function. A stop awaits it when no more messages come in, and before it closes the journal."""
        self._at_stop.append(close)

    # Service

    def startService(self) -> None:
        super().startService()
        # twistd starts services before the reactor runs, and the reactor handles no signals before it runs. But a
        # SIGTERM must stop the relay in good order as soon as the start has done anything.
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._start_failed)

    def stopService(self) -> "Deferred[None]":
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    # Start

    async def _start(self) -> None:
        self._may_be_cancelled = True
        served = await self._stand_by()
        await self.store.start()
        self._may_be_cancelled = False
        if self.editor is not None:
            # Nobody else uses the data directory now: the store has locked it.
            try:
                await self.editor.begin()
            except Exception as problem:
                said = "; ".join(str(problem).splitlines())
                raise StartFailure(f"the files of conf.d in the database can't be used: {said}") from None
        # In a cluster, it may have other entries now.
        config = self.config
        if self.history is not None:
            await self.history.start()
        settings = await self.store.settings()
        self.accounts.load_settings(settings)
        for name in self.accounts.suspended():
            self.flow.suspended.begin(name)
        if self._records is not None:
            missing = await self._records.start(self.store, config.accounts)
            self.flow.on_ended = self._records.add
            self.log.info("records_open: message records are written; {missing} from the last run were added",
                          missing=missing)  # fmt: skip
        for name, carrier in config.carriers.items():
            self.links[name] = await self.link_maker.make(name, carrier)
        for name in held_carriers(settings) & self.links.keys():
            self.links[name].hold(True)
        self.flow.connect(self.links, {Channel.SMPP: self.sessions, Channel.WEBHOOK: self.webhooks})  # type: ignore[dict-item]
        await self.quality.start()
        await self.handset_messages.start()
        for link in self.links.values():
            link.start()
        await self.webhooks.start()
        resumed = await self.flow.resume()
        smpp_limits = SessionLimits(
            window=config.smpp.window,
            pending_requests=config.smpp.pending_requests,
            max_pdu_bytes=config.limits.pdu_bytes,
            response_timeout_seconds=config.smpp.response_timeout_seconds,
            enquire_link_seconds=config.smpp.enquire_link_seconds,
            bind_timeout_seconds=config.smpp.bind_timeout_seconds,
            inactivity_seconds=config.smpp.inactivity_seconds,
        )
        smpp_factory = SmppServerFactory(self.sessions, smpp_limits, self._reactor, self.flow.fair_share)
        if self._open_files is not None:
            self._open_files.say_whether_enough()
            smpp_factory.has_room = self._open_files.room
        await self.listeners.open("smpp.listen", config.smpp.listen, smpp_factory)
        for key, descriptions, factory in self._sites(self) if served is None else served:
            await self.listeners.open(key, descriptions, factory)
        self.housekeeping.start()
        self.rereading.begin(self.links, at_start=True)
        self.stale_names.look()
        for note in unknown_tags(config, self.flow.routes.lists):
            self.log.warn("route_tag_unknown: {note}", note=note)
        self.not_ready = ""
        self.log.info(
            "relay_ready: taking messages; {resumed} parts from the journal wait for a carrier", resumed=resumed
        )
        if self.notifier is not None:
            self.notifier.ready(self.status)
        self._ready(self)

    async def _stand_by(self) -> Sequence[Served] | None:
        """In a cluster: waits until this relay owns the shard. Meanwhile only the admin listener listens.

        :return: the listeners that are left to be opened; None: there is no cluster.
        """
        if self.membership is None:
            return None
        self.not_ready = STANDING_BY
        served = self._sites(self)
        for key, descriptions, factory in served:
            if key == ADMIN_KEY:
                await self.listeners.open(key, descriptions, factory)
        if self.notifier is not None:
            # The service manager must not wait for days until the start is over.
            self.notifier.ready(self.status)
        await follow_files(self.editor, self._reactor, self.membership.acquire(), self.membership.follows)
        self.not_ready = "starting"
        return [site for site in served if site[0] != ADMIN_KEY]

    @property
    def standing_by(self) -> bool:
        """Whether another relay of the cluster works, and this one waits."""
        return self.not_ready == STANDING_BY

    def stand_by_anew(self, read: Callable[[], Config]) -> None:
        """Begins to stand by with the present configuration file. If the file is wrong, nothing changes."""
        assert self.membership is not None
        try:
            read()
        except Exception as problem:
            for line in getattr(problem, "problems", None) or [str(problem)]:
                self.log.error("config_refused: {problem}", problem=line)
            return
        self.membership.start_again("the configuration file was read again")

    def file_applied(self, config: Config) -> None:
        """Tells the other relays of the cluster that this one has applied another configuration file."""
        if self.membership is not None:
            self.membership.use_file(self.places.compared(config))

    def may_send_again(self) -> None:
        """Goes on with notifications after the gate was shut for a while. The carriers' links go on by themselves."""
        self._tasks.start(self._wake_all())

    async def _wake_all(self) -> None:
        self.flow.wake(await self.store.queues())

    def status(self) -> str:
        """The relay's state in one line, for the service manager."""
        if self.membership is not None and not (state := self.membership.state()).works:
            return state.reason
        up = sum(link.up for link in self.links.values())
        figures = self.store.figures()
        waiting = figures.unsubmitted + figures.awaiting_receipt
        text = f"{up} of {len(self.links)} carriers up; {waiting} messages under way; {figures.owed} notifications owed"
        return text if figures.writable else f"NO MESSAGES ARE ACCEPTED: {figures.reason}"

    def _link(self, name: str) -> CarrierLink | None:
        return self.links.get(name)

    def _carrier_settings(self, name: str) -> Carrier | None:
        link = self.links.get(name) or self.draining_carriers.link(name)
        return None if link is None else link.settings

    def compare_numbers(self, carrier: str) -> NumberComparison:
        """How numbers in a carrier's receipts are compared. It also knows carriers that drain."""
        link = self.links.get(carrier) or self.draining_carriers.link(carrier)
        return "ending" if link is None else link.settings.compare_numbers

    def http_receipts(self, carrier: str) -> HttpReceipts | None:
        """Finds the object that takes the notifications of a carrier that is another relay. Also for one that drains.

        :return: None: no such carrier has this name.
        """
        link = self.links.get(carrier) or self.draining_carriers.link(carrier)
        return None if link is None else link.http_receipts

    def api_receipts(self, carrier: str) -> ApiReceiptTaker | None:
        """Does what `http_receipts` does, for carriers of kind api."""
        link = self.links.get(carrier) or self.draining_carriers.link(carrier)
        return None if link is None else link.api_receipts

    async def _carrier_gone(self, name: str) -> None:
        await self.link_maker.close_simulator(name)
        self.stale_names.look()

    def _start_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            # A stop has cancelled the start (`_end_start`), and goes on by itself.
            return
        self.not_ready = failure.getErrorMessage()
        if failure.check(StartFailure, JournalError) is None:
            self.log.failure("relay_start_failed: the relay can't start", failure=failure)
        else:
            self.log.error("relay_start_refused: {reason}", reason=self.not_ready)
        self._start_refused = True
        self._failed(self.not_ready)

    # Stop

    async def _end_start(self) -> None:
        """Ends a start that is under way.

        The start is cancelled while it stands by or reads the journal, which may take long and changes nothing. The
        rest of a start takes a moment, and is awaited.
        """
        starting = self._starting
        if starting is not None and not starting.called:
            if self._may_be_cancelled:
                starting.cancel()
            await starting

    async def _stop(self) -> None:
        """Ends the intake first, then the carriers, the customers and the webhooks, and the journal last."""
        self.not_ready = "stopping"
        if self.notifier is not None:
            self.notifier.stopping()
        if not self._start_refused:
            self.log.info("relay_stopping: no new messages are accepted")
        await self._end_start()
        await self.listeners.close()
        await self.flow.stop()
        for close in self._at_stop:
            await close()
        limit = self.config.shutdown_seconds
        stops = [link.stop(limit) for link in self.links.values()]
        await DeferredList(
            [Deferred.fromCoroutine(stop) for stop in (*stops, self.draining_carriers.stop())], consumeErrors=True
        )
        await self.sessions.stop(limit)
        await self.handset_messages.stop()
        await self.webhooks.stop(limit)
        await self.rereading.stop()
        await self.stale_names.stop()
        await self.housekeeping.stop()
        await self.quality.stop()
        if self.membership is not None:
            self.membership.finish_writing()
        await self.store.stop()
        if self._records is not None:
            await self._records.stop()
        if self.history is not None:
            # The journal is complete: if we stop here, the next start reads the rest of it.
            await self.history.stop()
        if self.lists.questions is not None:
            await self.lists.questions.stop()
        self.sessions.abort()
        await self.link_maker.close_simulators()
        if self.membership is not None:
            # Everything is written. If we stop here, another node waits for the end of the lease.
            await self.membership.release()
        if self.notifier is not None:
            self.notifier.stop()
        if not self._start_refused:
            self.log.info("relay_stopped: everything accepted is in the journal")
