"""Applies a changed configuration file without a stop of the relay.

Theory of operation: the whole file is read and checked first, and so is everything that can fail (certificates,
endpoints). So a bad file changes nothing. Then accounts, routes and links are replaced in one turn of the reactor, so
that no message meets half of the old and half of the new ones. Carriers and accounts that did not change keep their
connections.

* A new carrier gets a link.
* A changed carrier gets a new link instead of the old one. The queued messages move to the new link at once. The old
  link waits for its responses and unbinds. The new link binds only after that, so that the carrier never has more binds
  than it allows.
* The file, those of conf.d and those of the lists are read again, in a thread.
* If a carrier's dialect changed, its kept receipts are read again (`relay.carriers.rereading`).
* A removed carrier drains (`relay.carriers.draining`): its link sends the queued messages, and stays bound for
  outstanding receipts.
* Sessions that could not bind any more are unbound: their account or login is gone, or has another system_id or
  password, or doesn't allow their address.

There is one reload at a time. If further reloads are requested meanwhile, one more follows.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from relay.accounts.accounts import Accounts
from relay.app.link_maker import LinkMaker
from relay.app.listeners import Listeners
from relay.app.tag_checks import unknown_tags
from relay.carriers.draining import DrainingCarriers
from relay.carriers.link import CarrierLink
from relay.carriers.rereading import Rereading
from relay.config.changes import Change, ReloadResult, changed_names, changes, taken_up
from relay.config.config_entries import LoadedConfig, Places
from relay.config.model import Config
from relay.customers.smpp_sessions import CustomerSessions
from relay.quality.quality_watch import QualityWatch
from relay.routing.flow import MessageFlow
from relay.routing.number_lists import NumberLists
from relay.routing.routes import Routes
from relay.routing.set_endings import endings_of
from relay.routing.stale_names import StaleNames
from relay.runtime.tasks import Tasks


class ConfigRefused(Exception):
    """The file was refused. `problems` says why, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Reloadable(Protocol):
    """The parts of the daemon that a reload changes."""

    config: Config
    places: Places
    links: dict[str, CarrierLink]
    draining_carriers: DrainingCarriers
    rereading: Rereading
    stale_names: StaleNames
    flow: MessageFlow
    quality: QualityWatch
    accounts: Accounts
    sessions: CustomerSessions
    listeners: Listeners
    link_maker: LinkMaker
    not_ready: str
    webhooks: Any


async def _no_lists(config: Config) -> NumberLists | None:
    return None


class Reloader:
    """Applies a new configuration while the relay runs. One reload at a time.

    :param read: reads and checks the file. It raises an exception with `problems` if the file can't be used.
    :param read_lists: reads the files of the lists. It raises an exception with `problems` if one can't be read.
    :param taken: called with each configuration after it has been applied. The log uses it.
    :param begun, ended: called before and after the work, for the service manager.
    :ivar last: how the last reload went; None: there was none.
    """

    log = Logger()

    def __init__(
        self,
        daemon: Reloadable,
        read: Callable[[], Awaitable[LoadedConfig]],
        clock: Any,
        *,
        read_lists: Callable[[Config], Awaitable[NumberLists | None]] = _no_lists,
        taken: Callable[[Config], None] = lambda config: None,
        begun: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._daemon = daemon
        self._read = read
        self._clock = clock
        self._read_lists = read_lists
        self._taken = taken
        self._begun = begun
        self._ended = ended
        self.last: ReloadResult | None = None
        self._tasks = Tasks(self.log)
        #: Those who wait for the next reload.
        self._waiting: list[Deferred[ReloadResult]] = []
        self._running = False
        self._again = False
        self._stopping = False

    def request(self) -> None:
        """Reloads soon, and logs the result. SIGHUP calls it."""
        if self._daemon.not_ready:
            self.log.warn("config_kept: the relay is {state}; the file was not read", state=self._daemon.not_ready)
        elif self._running:
            self._again = True
        else:
            self._running = True
            self._tasks.start(self._run())

    async def reload_now(self) -> ReloadResult:
        """Reloads after the reload that is under way, if there is one. Returns when it is done.

        If the caller is cancelled meanwhile, the reload goes on.

        :raises ConfigRefused: the relay is starting or stopping; the file was not read.
        """
        if self._daemon.not_ready or self._stopping:
            raise ConfigRefused([f"the relay is {self._daemon.not_ready or 'stopping'}; the file was not read"])
        done: Deferred[ReloadResult] = Deferred()
        self._waiting.append(done)
        self.request()
        return await done

    async def dry_run(self) -> ReloadResult:
        """Reads and checks the file and its lists, and says what a reload would change. It changes nothing."""
        now = self._clock.seconds()
        try:
            new = (await self._read()).config
            await self._read_lists(new)
        except Exception as problem:
            return ReloadResult(now, False, _lines_of(problem))
        return ReloadResult(now, False, [], changes(self._daemon.config, new))

    async def _run(self) -> None:
        waiting: list[Deferred[ReloadResult]] = []
        try:
            self._again = True
            while self._again and not self._stopping:
                self._again = False
                self._begun()
                waiting, self._waiting = self._waiting, []
                self.last = await self.reload()
                while waiting:
                    waiting.pop().callback(self.last)
        finally:
            self._running = False
            for done in (*waiting, *self._waiting):
                done.errback(ConfigRefused(["the reload ended before it was complete; the log says why"]))
            self._waiting = []
            self._ended()

    async def read_again(self) -> None:
        """Applies the files before the relay takes messages: nothing runs yet that would have to end.

        :raises Exception: they can't be used. It may have `problems`.
        """
        loaded = await self._read()
        lists = await self._read_lists(loaded.config)
        found = changes(self._daemon.config, loaded.config)
        self._exchange(loaded, {}, lists)
        self._say(found)

    async def reload(self) -> ReloadResult:
        """Applies the file, or refuses it. Must not be called while another reload is under way."""
        daemon = self._daemon
        now = self._clock.seconds()
        old = daemon.config
        links: dict[str, CarrierLink] = {}
        try:
            loaded = await self._read()
            new = loaded.config
            lists = await self._read_lists(new)
            carriers = changed_names(old.carriers, new.carriers)
            for name in (*carriers.added, *carriers.changed):
                links[name] = await daemon.link_maker.make(name, new.carriers[name])
        except Exception as problem:
            problems = _lines_of(problem)
            for line in problems:
                self.log.error("config_refused: {problem}", problem=line)
            self.log.error("config_refused: {problem}", problem="the file was not applied; the old configuration holds")
            return ReloadResult(now, False, problems)
        found = changes(old, new)
        replaced = {name: daemon.links[name] for name in carriers.changed}
        removed = {name: daemon.links[name] for name in carriers.removed}
        links |= {name: daemon.links[name] for name in new.carriers if name not in links}
        self._exchange(loaded, links, lists)
        self._say(found)
        for note in unknown_tags(daemon.config, lists):
            self.log.warn("route_tag_unknown: {note}", note=note)
        for name, link in removed.items():
            daemon.draining_carriers.begin(name, link)
        # `drain_hours` may have changed.
        daemon.draining_carriers.look()
        for name in (*carriers.added, *carriers.changed):
            await self._replace(name, replaced.get(name), links[name])
        # The old links must have ended before. Receipts that come over them are read with the old dialect.
        daemon.rereading.begin(
            name
            for name in (*carriers.added, *carriers.changed)
            if name not in old.carriers or old.carriers[name].dialect != new.carriers[name].dialect
        )
        accounts = changed_names(old.accounts, new.accounts)
        for name in (*accounts.added, *accounts.changed):
            daemon.webhooks.url_changed(name)
        if accounts:
            daemon.flow.wake(await daemon.flow.store.queues())
        daemon.stale_names.look()
        return ReloadResult(now, True, [], found)

    def _exchange(self, loaded: LoadedConfig, links: dict[str, CarrierLink], lists: NumberLists | None) -> None:
        """Uses a configuration.

        :param links: all links; none before the start.
        """
        daemon = self._daemon
        old = daemon.config
        config = daemon.config = taken_up(old, loaded.config)
        daemon.places = loaded.places
        daemon.accounts.replace(config.accounts)
        daemon.links = {name: links[name] for name in config.carriers if name in links}
        routes = Routes(config.routes, lists, endings_of(config.accounts))
        daemon.flow.reroute(routes, daemon.links, config.validity_seconds)
        daemon.flow.charging.replace(config.accounts, config.prices)
        daemon.quality.use_routes()
        if config.decisions != old.decisions:
            daemon.flow.decisions.reconfigure(config.decisions)
        for name, account in old.accounts.items():
            if account != config.accounts.get(name):
                daemon.sessions.bound.look_again(name)
        for key, certificate in daemon.listeners.certificates:
            try:
                if certificate.refresh():
                    self.log.info("certificate_changed: {key} shows a new certificate", key=key)
            except (ValueError, OSError) as problem:
                self.log.error("certificate_kept: {key}: {reason}", key=key, reason=str(problem))
        self._taken(config)

    def _say(self, found: Sequence[Change]) -> None:
        for change in found:
            if change.live:
                self.log.info("config_changed: {key}: {change}", key=change.key, change=change.what)
            else:
                self.log.warn("config_needs_restart: {key}: {change}", key=change.key, change=change.what)
        count = sum(change.live for change in found)
        self.log.info("config_reloaded: {count} changes applied", count=count)

    async def _replace(self, name: str, old: CarrierLink | None, new: CarrierLink) -> None:
        """Ends the old link of that name, if there was one, and starts the new one."""
        flow = self._daemon.flow
        old = old or self._daemon.draining_carriers.take_over(name)
        if old is not None:
            if old.held:
                new.hold(True)
            old.retire(flow.send)
            await old.stop(self._daemon.config.shutdown_seconds)
        if not self._stopping:
            new.start()

    async def stop(self) -> None:
        """Waits for a reload under way. No further one begins."""
        self._stopping = True
        await self._tasks.wait()


def _lines_of(problem: Exception) -> list[str]:
    """The problems of a file that can't be used."""
    return list(getattr(problem, "problems", None) or [str(problem)])
