"""A world around one relay: its disk, carriers and customers, and the faults that happen to them.

A seed decides everything: the world's habits (how late carriers are, how often they repeat themselves), and the faults,
which are a plain list, so that a run can be repeated with fewer of them.
"""

import errno
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from relay.accounts.accounts import Accounts
from relay.app.daemon import Daemon
from relay.app.daemon_parts import Collaborators
from relay.app.reload import Reloader
from relay.carriers.link import CarrierLink
from relay.charging.charging import Charging
from relay.config.account_config import Account, AccountSmpp
from relay.config.carrier_config import Carrier, Simulator
from relay.config.config_entries import LoadedConfig
from relay.config.daemon_config import Journal, Limits
from relay.config.listener_config import SmppListener
from relay.config.model import Config
from relay.config.route_config import Failover, Route
from relay.config.tls_config import NotificationTls
from relay.routing.flow import MessageFlow
from relay.routing.housekeeping import Housekeeping
from relay.routing.routes import Routes
from relay.simulator.decisions import Taken
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.smpp.message_codec import encode_address, message_body
from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import StoreUnavailable
from relay.store.table.entries import is_unsubmitted, rounds_of
from relay.store.table.entry_values import GOES_ON
from relay.store.table.unsubmitted import unsubmitted_parts
from relay.values import smpp_constants as c
from relay.values.ids import id_text, parse_id
from relay.values.messages import Message, Refused, Replacement, Submission
from relay.values.secret import Secret
from relay.values.states import DELIVERED, UNKNOWN
from relay.webhooks.answer import Answer
from relay.webhooks.delivery import WebhookDelivery
from relay.webhooks.webhook_sender import Webhooks
from tests.fakes import FastEsme, ReceiptSeen
from tests.simulated_disk import SimulatedDisk
from tests.simulation.purse import Purse
from tests.simulation.reactor import Network, ProcessReactor, Time

HOUR = 3600.0
DAY = 24 * HOUR
START = 1_790_000_000.0
#: Sessions ask after each other this seldom: at every 30 seconds it would be most of what a simulated day costs.
QUIET_SECONDS = 3 * HOUR
SMPP_PORT = 2775
CARRIER_PORTS = {"quick": 3001, "slow": 3002}
#: Worlds in which messages go to another carrier have one more.
SPARE_PORT = {"spare": 3003}
#: After the last fault: longer than any validity, receipt time-out (with a day more where a carrier that is asked says
#: that a message is under way) and webhook schedule.
DRAIN_SECONDS = 10 * DAY

ADDRESSES = encode_address(5, 0, b"RELAY") + encode_address(1, 1, b"447700900123")


class Fault(NamedTuple):
    """Something that happens: what, when, and for how long where it lasts."""

    at: float
    kind: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.at / HOUR:9.3f} h  {self.kind}{lasting}"


#: What may happen, how likely beside the others, and for how long at the most.
KINDS: dict[str, tuple[int, float]] = {
    "submit": (20, 0.0),
    "kill": (3, 0.0),
    "power cut": (3, 0.0),
    "restart": (2, 0.0),
    "cut carriers": (3, 0.0),
    "cut customers": (3, 0.0),
    "carriers away": (2, 10 * HOUR),
    "customers away": (3, 20 * HOUR),
    "webhooks refuse": (3, 20 * HOUR),
    "webhooks hang": (2, 2 * HOUR),
    "disk full": (2, HOUR),
    "disk error": (2, HOUR),
    "sync error": (2, 600.0),
    "cut inside a PDU": (2, 0.0),
    "reload": (3, 0.0),
    "webhooks throttle": (2, 10 * HOUR),
    "webhooks gone": (1, 10 * HOUR),
    "customers silent": (2, 5 * HOUR),
}


def plan(seed: int) -> list[Fault]:
    """The faults of a seed, in the order of time: some days of them."""
    randomness = random.Random(f"plan {seed}")
    span = randomness.uniform(0.5, 4) * DAY
    kinds, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
    faults = []
    at = 60.0
    for _ in range(randomness.randint(8, 45)):
        # Faults that come at once after another one find what one alone does not.
        at += randomness.choice([0.001, 0.004, 0.05, 1.0, 30.0, span / 20])
        kind = randomness.choices(kinds, weights)[0]
        longest = KINDS[kind][1]
        faults.append(Fault(round(at, 4), kind, round(randomness.uniform(1.0, longest), 1) if longest else 0.0))
    return faults


class Broken(AssertionError):
    """A promise was not kept."""


class World:
    """One run. Call `run`, which raises `Broken` where a promise was not kept.

    :cvar scheduled_seconds: in how many seconds messages are to be sent; one of these, at random.
    :cvar postponed_seconds: the same for messages that are replaced.
    """

    scheduled_seconds: Sequence[float] = (0.0, 0.0, 0.0, 600.0, 5 * HOUR)
    postponed_seconds: Sequence[float] = (0.0, 0.0, 300.0, 3 * HOUR)

    def __init__(self, seed: int, faults: Sequence[Fault]) -> None:
        self.seed = seed
        self.faults = list(faults)
        self.random = random.Random(f"world {seed}")
        self.time = Time(START)
        self.network = Network(self.time, self.random.choice([0.0005, 0.002, 0.05]))
        self.disk = SimulatedDisk()
        self.disk_seconds = self.random.choice([0.0005, 0.003, 0.02])
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        #: Raised by whatever may make somebody hear twice; two hearings in one epoch are one too many.
        self.epoch = 0
        #: Where customers bind.
        self.smpp_port = SMPP_PORT
        self.accepted: dict[str, tuple[str, ...]] = {}
        self.heard: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self.webhooks_mode = "answer"
        self.failures: list[str] = []
        # What a reload changes.
        self.with_slow = True
        self.url_version = 1
        self.window = 20
        self.in_doubt = self.random.choice(["resend", "resend", "end"])
        #: Decides what is scheduled, replaced and cancelled.
        self.later = random.Random(f"later {seed}")
        #: When messages from HTTP, and those that were replaced, are to be sent; 0: at once.
        self.send_at: dict[bytes, float] = {}
        self.failover = _failover(seed)
        self.purse = Purse(seed, self.counts)
        #: How many SMS each message has that was accepted.
        self.sms: dict[str, int] = {}
        self.ports = CARRIER_PORTS if self.failover is None else {**CARRIER_PORTS, **SPARE_PORT}
        #: Parts on their way to another carrier that stood in no queue at the latest checks, and since when.
        self.missing: dict[tuple[bytes, int, int], float] = {}
        self._tear = False
        self._splits = self.random.random() < 0.3
        self.network.pieces = self._pieces
        self._make_carriers()
        self.relay_process: ProcessReactor
        self.daemon: Daemon
        self.ready = False
        self.customer = self._make_customer()
        self.start_relay()

    def _make_customer(self) -> "Customer":
        return Customer(self)

    # Carriers

    def _make_carriers(self) -> None:
        pick = self.random
        #: Whether carriers are asked about overdue messages; some know no such question.
        asks = random.Random(f"asks {self.seed}")
        self.query_sm = asks.random() < 0.5
        self.carriers: dict[str, SimulatedCarrier] = {}
        self.carrier_process = ProcessReactor(self.network, "carriers")
        for name in self.ports:
            if name in SPARE_PORT:
                # It must not change what the other carriers are like.
                pick = asks = random.Random(f"spare {self.seed}")
            settings = Simulator(
                seed=pick.randrange(1 << 30),
                receipt_delay_seconds=pick.choice([0.0, 0.001, 1.0, 3 * HOUR, 30 * HOUR]) if name == "slow" else 0.5,
                states={"DELIVRD": 0.7, "UNDELIV": 0.15, "EXPIRED": 0.1, "REJECTD": 0.05},
                response_id=asks.choice(["hex", "upper_hex"]),
                receipt_id=pick.choice(["same", "decimal"]),
                throttle_share=pick.choice([0.0, 0.0, 0.2]),
                reject_share=pick.choice([0.0, 0.05]),
                tlv_only=pick.random() < 0.2,
                receipt_first=pick.random() < 0.3,
                duplicate_share=pick.choice([0.0, 0.3]),
                drop_share=pick.choice([0.0, 0.0, 0.02]),
                silent_share=pick.choice([0.0, 0.1]),
                intermediate=pick.random() < 0.2,
                refuse_questions=asks.random() < 0.2,
            )
            carrier: SimulatedCarrier = FickleCarrier(
                settings, self.carrier_process, random.Random(settings.seed), pick.choice([0.0, 0.0, 0.1])
            )
            carrier.factory.limits = msgspec.structs.replace(carrier.factory.limits, enquire_link_seconds=QUIET_SECONDS)
            self.carriers[name] = carrier
        self._carriers_listen()

    def _carriers_listen(self) -> None:
        for name, port in self.ports.items():
            if port not in self.network.ports:
                self.carrier_process.listenTCP(port, self.carriers[name].factory)

    # The relay

    async def loaded(self) -> LoadedConfig:
        return LoadedConfig(self.config())

    def config(self) -> Config:
        carriers: dict[str, Carrier] = {}
        names = ["slow", "quick"] if self.with_slow else ["quick"]
        names += [name for name in SPARE_PORT if name in self.ports]
        for name in names:
            port = self.ports[name]
            dialect: dict[str, Any] = {}
            if self.carriers[name].settings.receipt_id == "decimal":
                dialect = {"response_id": {"base": "hex"}, "receipt_id": {"base": "decimal"}}
            carriers[name] = _convert(
                {
                    "connect": f"tcp:127.0.0.1:{port}",
                    "window": self.window,
                    "in_doubt": self.in_doubt if name == "quick" else "resend",
                    "enquire_link_seconds": QUIET_SECONDS,
                    "reconnect_max_seconds": 300.0,
                    "dialect": dialect,
                    "query_sm": self.query_sm,
                },
                Carrier,
            )
        return Config(
            data_dir="data",
            validity_seconds=2 * DAY,
            smpp=SmppListener(listen=[f"tcp:{SMPP_PORT}:interface=127.0.0.1"], enquire_link_seconds=QUIET_SECONDS),
            journal=Journal(segment_bytes=65_536, segment_seconds=4 * HOUR, text_hours=12.0),
            limits=Limits(finished_hours=10_000.0),
            accounts={
                "smpp": Account(
                    smpp=AccountSmpp(system_id="smpp", password=Secret("secret")), **self.purse.settings("smpp")
                ),
                "hook": Account(
                    notification_url=f"http://customer.example/hook/{self.url_version}", **self.purse.settings("hook")
                ),
                "both": Account(
                    smpp=AccountSmpp(system_id="both", password=Secret("secret")),
                    notification_url=f"http://customer.example/both/{self.url_version}",
                    **self.purse.settings("both"),
                ),
            },
            prices=self.purse.tables(),
            carriers=carriers,
            routes=[Route(carriers=[*names], failover=self.failover)],
        )

    def make_store(self, **options: Any) -> JournalStore:
        """The relay's store, on the disk as it is; to be overridden by worlds with a store that is wrong."""
        return JournalStore(self.disk, "data", **options)

    def start_relay(self) -> None:
        """Starts a process on the disk as it is. Harmless while one runs."""
        self.ready = False
        process = self.relay_process = ProcessReactor(self.network, "relay")
        config = self.config()
        accounts = Accounts(config.accounts)
        reactor: Any = process
        store = self.make_store(
            journal=config.journal,
            limits=config.limits,
            policy=accounts.policy,
            clock=reactor,
            in_thread=self._in_thread(process),
        )
        flow = MessageFlow(
            store=store,
            rates=accounts,
            routes=Routes(config.routes),
            clock=reactor,
            random_bytes=self.random.randbytes,
            validity_seconds=config.validity_seconds,
            charging=Charging(config.accounts, config.prices),
        )
        delivery = WebhookDelivery(store, accounts, SimulatedWeb(self, process), reactor)
        webhooks = Webhooks(store, accounts, delivery, reactor, self.random.random)
        collaborators = Collaborators(
            reactor=reactor,
            randomness=self.random,
            random_bytes=self.random.randbytes,
            store=store,
            accounts=accounts,
            flow=flow,
            webhooks=webhooks,
        )
        self.daemon = Daemon(
            config,
            collaborators,
            sites=lambda daemon: [],
            ready=lambda daemon: self._became_ready(),
            failed=lambda reason: self._start_failed(process, reason),
        )
        links_made: list[CarrierLink] = []
        self.links_made = links_made
        make_link = self.daemon.link_maker.make

        async def make_and_remember(name: str, settings: Carrier) -> CarrierLink:
            link = await make_link(name, settings)
            links_made.append(link)
            return link

        self.daemon.link_maker.make = make_and_remember  # type: ignore[method-assign]
        # The same slices, less often: a second's interval would be most of what a simulated day costs.
        self.daemon.housekeeping = Housekeeping(flow, reactor, interval_seconds=600.0)
        self.reloader = Reloader(self.daemon, self.loaded, reactor, taken=lambda config: self._reloaded())
        self.daemon.at_stop(self.reloader.stop)
        self.daemon.startService()

    def _became_ready(self) -> None:
        self.ready = True
        self.counts["starts"] += 1

    def _start_failed(self, process: ProcessReactor, reason: str) -> None:
        self.say(f"the relay does not start: {reason}")
        if "damage" in reason:
            self.failures.append(f"the journal is damaged: {reason}")
        process.kill()
        # What a service manager does.
        self.time.callLater(60.0, lambda: self.start_relay() if self.relay_process is process else None)

    def _in_thread(self, process: ProcessReactor) -> Callable[[Callable[[], Any]], Deferred[Any]]:
        def in_thread(function: Callable[[], Any]) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()

            def run() -> None:
                # The disk has it half-way through; a crash in the other half finds it written and not reported.
                try:
                    result = function()
                except Exception:
                    result = Failure()
                process.callLater(self.disk_seconds / 2, done.callback, result)

            process.callLater(self.disk_seconds / 2, run)
            return done

        return in_thread

    # What happens

    def run(self) -> None:
        """Plays the faults, then heals everything, lets time pass, and checks.

        :raises Broken: a promise was not kept.
        """
        for fault in self.faults:
            self.time.run_until(START + fault.at)
            self.say(str(fault))
            self.counts[fault.kind] += 1
            self._check_owed()
            self._check_on_the_way()
            self._check_money()
            self._do(fault)
            self._check_bounds()
        self.with_slow = True
        self._reload()
        self.time.run_until(self.time.seconds() + 21 * HOUR)
        self.time.run_until(self.time.seconds() + DRAIN_SECONDS)
        self._end_top_ups()
        self._check()

    def say(self, what: str) -> None:
        self.log.append(f"{(self.time.seconds() - START) / HOUR:9.3f} h  {what}")

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self.time.callLater(seconds, call)

    def _do(self, fault: Fault) -> None:
        match fault.kind:
            case "submit":
                self._submit()
            case "kill":
                self._crash(self.disk.kill())
            case "power cut":
                self._crash(self.disk.crash(self.random))
            case "restart":
                self._restart()
            case "cut carriers":
                self.epoch += 1
                self.network.cut(lambda pipe: pipe.process is self.carrier_process)
            case "cut customers":
                self.epoch += 1
                self.network.cut(lambda pipe: pipe.process is self.customer.process)
            case "carriers away":
                self.epoch += 1
                for port in self.ports.values():
                    self.network.ports.pop(port, None)
                self.network.cut(lambda pipe: pipe.process is self.carrier_process)
                self._later(fault.seconds, self._carriers_listen)
            case "customers away":
                self.epoch += 1
                self.customer.home = False
                self.network.cut(lambda pipe: pipe.process is self.customer.process)
                self._later(fault.seconds, self.customer.come_home)
            case "cut inside a PDU":
                self.epoch += 1
                self._tear = True
            case "reload":
                self.epoch += 1
                self._change_configuration()
            case "webhooks gone":
                self.epoch += 1
                self.webhooks_mode = "gone"
                self._later(fault.seconds, self._webhooks_move)
            case "customers silent":
                self.epoch += 1
                self.customer.silent = True
                self._later(fault.seconds, self.customer.speak)
            case "webhooks refuse" | "webhooks hang" | "webhooks throttle":
                self.epoch += 1
                self.webhooks_mode = fault.kind.split()[1]
                self._later(fault.seconds, self._webhooks_answer)
            case "disk full":
                self.disk.capacity = self.disk.used()
                self._later(fault.seconds, self._mend_disk)
            case "disk error":
                self.disk.write_error = OSError(errno.EIO, "Input/output error")
                self._later(fault.seconds, self._mend_disk)
            case "sync error":
                self.disk.sync_error = OSError(errno.EIO, "Input/output error")
                self._later(fault.seconds, self._mend_disk)

    def _webhooks_answer(self) -> None:
        self.webhooks_mode = "answer"

    def _webhooks_move(self) -> None:
        """The customers' servers are gone for good, and others take their place."""
        self.webhooks_mode = "answer"
        self.url_version += 1
        self._reload()

    def _change_configuration(self) -> None:
        match self.random.choice(["slow", "url", "window"]):
            case "slow":
                self.with_slow = not self.with_slow
            case "url":
                self.url_version += 1
            case "window":
                self.window = self.random.choice([1, 5, 20, 100])
        self._reload()

    def _reload(self) -> None:
        """What SIGHUP does. A relay that isn't ready has the new configuration from its next start on."""
        if self.ready and not self.relay_process.dead:
            self.reloader.request()

    def _reloaded(self) -> None:
        self.counts["configurations taken up"] += 1

    def _raise_epoch(self) -> None:
        self.epoch += 1

    def _pieces(self, data: bytes) -> list[bytes]:
        """How what arrives falls into reads; incomplete where the connection is to be cut in the middle of it."""
        if self._tear and len(data) > 1:
            self._tear = False
            self.epoch += 1
            # What is heard of the torn piece is answered into a connection that has ended, and is told again.
            self._later(0.0, self._raise_epoch)
            return [data[: self.random.randrange(1, len(data))]]
        if not self._splits:
            return [data]
        at = self.random.randrange(len(data))
        return [piece for piece in (data[:at], data[at:]) if piece]

    def _mend_disk(self) -> None:
        self.disk.capacity = 1 << 40
        self.disk.write_error = self.disk.sync_error = self.disk.open_error = None

    def _crash(self, disk: SimulatedDisk) -> None:
        """The process ends at this instant; the disk goes on as it is left."""
        self.epoch += 1
        disk.capacity = self.disk.capacity
        disk.write_error, disk.sync_error = self.disk.write_error, self.disk.sync_error
        self.relay_process.kill()
        self.disk = disk
        process = self.relay_process
        self._later(self.random.choice([0.01, 1.0, 60.0]), lambda: self._start_after(process))

    def _start_after(self, process: ProcessReactor) -> None:
        if self.relay_process is process and process.dead:
            self.start_relay()

    def _restart(self) -> None:
        if not self.ready or self.relay_process.dead:
            return
        process = self.relay_process
        self.ready = False
        self.epoch += 1

        def stopped(result: object) -> None:
            if isinstance(result, Failure):
                self.failures.append(f"the stop failed: {result.getErrorMessage()}")
            if not self.daemon.store._journal.writable:  # type: ignore[attr-defined]
                # What was told while it stopped could not be written down, and is told again.
                self.epoch += 1
            if not process.dead:
                process.kill()
                self._start_after(process)

        self.daemon.stopService().addBoth(stopped)

    # Submitting

    def _submit(self) -> None:
        count = self.random.choice([1, 3, 40])
        self._top_up()
        self.customer.submit(count)
        if self.ready and not self.relay_process.dead:
            if self.accepted:
                for _ in range(count):
                    Deferred.fromCoroutine(self._change_one()).addErrback(
                        lambda failure: self.failures.append(failure.getTraceback())
                    )
            account = self.random.choice(["hook", "both"])
            Deferred.fromCoroutine(self._post(account, count)).addErrback(
                lambda failure: self.failures.append(failure.getTraceback())
            )

    def _top_up(self) -> None:
        """What the operator does. A relay that is down or can't write takes no top-up."""
        if self.ready and not self.relay_process.dead:
            topping_up = self.purse.top_up(self.daemon.store, self.relay_process, self.time.seconds())
            Deferred.fromCoroutine(topping_up).addErrback(lambda failure: self.failures.append(failure.getTraceback()))

    def _end_top_ups(self) -> None:
        """The operator repeats the top-ups that were not answered, until they are."""
        for _ in range(100):
            if self.purse.all_answered:
                return
            self._top_up()
            self.time.run_until(self.time.seconds() + 1)
        self.failures.append("a top-up is not answered")

    async def _post(self, account: str, count: int) -> None:
        """What the HTTP edge does with an array of messages."""
        process, flow = self.relay_process, self.daemon.flow
        parts = self.random.choice([1, 1, 1, 3])
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        later = self.later.choice(self.scheduled_seconds)
        submission = Submission(ADDRESSES, (body,) * parts, interface="http", scheduled_seconds=later)
        prepared = flow.prepare(account, [submission] * count)
        messages = [message for message in prepared if isinstance(message, Message)]
        self.counts.update([refused.kind for refused in prepared if isinstance(refused, Refused) and refused.kind])
        try:
            await flow.accept(messages)
        except StoreUnavailable:
            self.counts["refused"] += count
            return
        if process.dead:
            return
        for message in messages:
            self.accept(id_text(message.id), ("webhook",), parts)
            self.send_at[message.id] = message.scheduled_at
        flow.dispatch(messages)

    async def _change_one(self) -> None:
        """What becomes of a customer's replace_sm or cancel_sm for any message."""
        process, flow = self.relay_process, self.daemon.flow
        name = self.later.choice(list(self.accepted))
        message_id = parse_id(name)
        assert message_id is not None
        try:
            if self.later.random() < 0.3:
                self.counts["cancelled"] += await flow.cancel(message_id)
                return
            now = self.time.seconds()
            seconds = self.later.choice(self.postponed_seconds)
            send_at = now + seconds if seconds else 0
            body = message_body(addresses=ADDRESSES, short_message=b"other")
            receipts = int("smpp" in self.accepted[name])
            replacement = Replacement(message_id, body, receipts, max(now, send_at) + DAY, send_at)
            # Nobody can say which time holds until this is answered.
            self.send_at.pop(message_id, None)
            if await flow.replace(replacement) and not process.dead:
                self.send_at[message_id] = send_at
                self.counts["replaced"] += 1
        except StoreUnavailable:
            self.counts["refused"] += 1

    def accept(self, message_id: str, channels: tuple[str, ...], sms: int = 1) -> None:
        """The customer has been told that the relay has this message."""
        self.accepted[message_id] = channels
        self.sms[message_id] = sms
        self.counts["accepted"] += 1

    def hear(self, channel: str, message_id: str, status: str) -> None:
        """The customer has been told what became of a message, and has said yes to it."""
        hearings = self.heard.setdefault((message_id, channel), [])
        for earlier_status, epoch in hearings:
            if earlier_status != status:
                self.failures.append(f"{message_id} was {earlier_status} and is {status} now ({channel})")
            elif epoch == self.epoch:
                self.failures.append(f"{message_id} was told twice without a cause ({channel})")
        hearings.append((status, self.epoch))
        self.counts["notified" if len(hearings) == 1 else "notified again"] += 1

    # Checks

    def _check_bounds(self) -> None:
        for name, link in self.daemon.links.items():
            if link.queued > link.settings.queue + 1000:
                self.failures.append(f"{name} queues {link.queued} parts")

    def _check_owed(self) -> None:
        """What was accepted and not told is under way or owed, and nobody else knows it: at every instant."""
        if not self.ready or self.relay_process.dead or self.daemon.not_ready:
            return
        for message_id, channels in self.accepted.items():
            missing = [channel for channel in channels if (message_id, channel) not in self.heard]
            if not missing:
                continue
            view: Any = self._view(message_id)
            if view is None:
                self.failures.append(f"{message_id} was accepted and is not known")
            elif any((part.submitted_at or math.inf) < self.send_at.get(view.id, 0.0) for part in view.parts):
                self.failures.append(f"{message_id} was sent before its time: {view}")
            elif view.final:
                lost = [channel for channel in missing if channel not in view.owed]
                self.failures += [f"{message_id} has ended and {channel} is owed nothing: {view}" for channel in lost]

    def _check_money(self) -> None:
        """No charge is lost, doubled, or given back without a cause, and nobody owes anything: at every instant."""
        if self.ready and not self.relay_process.dead and not self.daemon.not_ready:
            self.failures += self.purse.problems(self.daemon.store, self.sms)

    def _check_on_the_way(self) -> None:
        """What no carrier has taken stands in a queue, or has been written and waits for its answer.

        Without this, a part that the relay has dropped would pass for one that waits, until it ends as EXPIRED or the
        next start takes it up.
        """
        if not self.ready or self.relay_process.dead or self.daemon.not_ready:
            return
        # Those, too, that a reload has replaced and that wait for their last answers.
        links = self.links_made
        queued = {(part.id, part.part) for link in links for part in link.queue}
        waiting: list[Any] = []
        asking: Any = self.daemon.store.unsubmitted(None, 100_000)
        asking.addCallback(waiting.extend)
        self.failures += [
            f"part {pending.part} of {id_text(pending.id)} is nowhere: no carrier has taken it, and none will"
            for pending in waiting
            # What has come this minute may not be durable yet, and is dispatched then.
            if pending.accepted_at < self.time.seconds() - 60.0
            and (pending.id, pending.part) not in queued
            and not any(link.is_sending(pending.id) for link in links)
            and pending.id not in self.daemon.flow._replacing
        ]
        self._check_going_on(queued)

    def _check_going_on(self, queued: Collection[tuple[bytes, int]]) -> None:
        """The same for messages that go to another carrier. What was just fetched may be nowhere for a moment."""
        table: Any = self.daemon.store.table  # type: ignore[attr-defined]
        now = self.time.seconds()
        missing = {
            (row.id, part, len(rounds_of(row))): self.missing.get((row.id, part, len(rounds_of(row))), now)
            for shard in table.shards
            for row in shard.values()
            if row.flags & GOES_ON and is_unsubmitted(row) and row.id not in table.failovers._ready
            for part in unsubmitted_parts(row)
            if (row.id, part) not in queued and not any(link.is_sending(row.id) for link in self.links_made)
        }
        self.missing = missing
        self.failures += [
            f"part {part} of {id_text(message_id)} should go to another carrier and is nowhere"
            for (message_id, part, _), since in missing.items()
            if since < now - 60.0
        ]

    def _check_rounds(self) -> None:
        """Each carrier has a message once, and a delivery that came before the end decided it."""
        for message_id in self.accepted:
            view: Any = self._view(message_id)
            if view is None or not view.rounds:
                continue
            self.counts["went to another carrier"] += 1
            self.counts["an earlier carrier decided"] += view.parts is not view.rounds[-1] and view.final
            carriers = [{part.carrier for part in parts if part.carrier} for parts in view.rounds]
            if sum(map(len, carriers)) > len(set().union(*carriers)):
                self.failures.append(f"a carrier had {message_id} in two rounds: {view}")
            if self.failover is not None and len(view.rounds) > self.failover.times + 1:
                self.failures.append(f"{message_id} went on too often: {view}")
            delivered = any(
                all(part.state == DELIVERED and part.done_at <= view.done_at for part in parts) for parts in view.rounds
            )
            if view.final and delivered and view.state != DELIVERED:
                self.failures.append(f"{message_id} was delivered and has not ended so: {view}")

    def _check(self) -> None:
        self._check_rounds()
        self._check_money()
        self.failures += self.purse.problems_at_end(self.daemon.store)
        self.purse.count_refunds(self.daemon.store)
        self.counts["carriers asked"] += sum(carrier.counters.queried for carrier in self.carriers.values())
        problems = list(self.failures)
        if not self.ready or self.relay_process.dead:
            problems.append(f"the relay does not run at the end: {self.daemon.not_ready}")
        for message_id, channels in self.accepted.items():
            for channel in channels:
                if (message_id, channel) not in self.heard:
                    view = self._view(message_id)
                    problems.append(f"{message_id} was accepted and {channel} never heard of it: {view}")
        if not problems:
            problems += self._compare_with_replay()
        if problems:
            raise Broken("\n".join(problems[:10]))

    def _view(self, message_id: str) -> object:
        raw = parse_id(message_id)
        assert raw is not None
        found: list[object] = []
        looking: Any = self.daemon.store.look_up(raw)
        looking.addCallback(found.append)
        return found[0] if found else None

    def _money(self) -> list[object]:
        store: Any = self.daemon.store
        return [(store.account_use(name), store.top_ups(name)) for name in self.config().accounts]

    def _compare_with_replay(self) -> list[str]:
        """The table, and what a fresh process makes of the journal."""
        before = {message_id: self._view(message_id) for message_id in self.accepted}
        money = self._money()
        stopped: list[object] = []
        self.daemon.stopService().addBoth(stopped.append)
        self.time.run_until(self.time.seconds() + 60)
        if not stopped or isinstance(stopped[0], Failure):
            return [f"the last stop did not end: {stopped}"]
        self.relay_process.kill()
        self.start_relay()
        self.time.run_until(self.time.seconds() + 1)
        if not self.ready:
            return [f"the last start did not end: {self.daemon.not_ready}"]
        after = {message_id: self._view(message_id) for message_id in self.accepted}
        if self._money() != money:
            return [f"the balances are not what they were:\n  {money}\n  {self._money()}"]
        return [
            f"{message_id} is not what it was:\n  {before[message_id]}\n  {after[message_id]}"
            for message_id in self.accepted
            if before[message_id] != after[message_id]
        ]


class FickleCarrier(SimulatedCarrier):
    """A carrier that says something else of some messages, hours or days after it has said how they ended."""

    def __init__(self, settings: Simulator, clock: Any, randomness: random.Random, share: float) -> None:
        super().__init__(settings, clock, randomness)
        self._whims = random.Random(settings.seed)
        self._share = share

    def _receipt_to(self, mailbox: Any, taken: Taken) -> None:
        super()._receipt_to(mailbox, taken)
        if taken.receipts and self._whims.random() < self._share:
            other = msgspec.structs.replace(taken, state=UNKNOWN if taken.state == DELIVERED else DELIVERED)
            self._clock.callLater(self._whims.uniform(1.0, 3 * DAY), self._change_mind, mailbox, other)

    def _change_mind(self, mailbox: Any, taken: Taken) -> None:
        mailbox.waiting.append(self._simulation.receipt(taken))
        mailbox.pump()


class Customer:
    """A customer with two SMPP accounts who binds whenever it is home."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.process = ProcessReactor(world.network, "customer")
        self.home = True
        self.silent = False
        self._esmes: dict[str, FastEsme] = {}
        self._busy: set[str] = set()
        self._tick()

    def come_home(self) -> None:
        self.home = True

    def speak(self) -> None:
        """Answers deliver_sm again."""
        self.silent = False

    def _tick(self) -> None:
        self.process.callLater(120.0, self._tick)
        if not self.home:
            return
        for name in ("smpp", "both"):
            esme = self._esmes.get(name)
            if (esme is None or esme.lost) and name not in self._busy:
                self._busy.add(name)
                Deferred.fromCoroutine(self._bind(name)).addBoth(self._bound, name)

    def _bound(self, _: object, name: str) -> None:
        self._busy.discard(name)

    async def _bind(self, name: str) -> None:
        world = self._world
        factory = _Factory(self.process)
        self.process.connectTCP("127.0.0.1", world.smpp_port, factory)
        esme = await factory.connected
        esme.answer = lambda pdu: self._heard(ReceiptSeen(pdu))
        self._esmes[name] = esme
        await esme.bind(name, "secret")
        world.counts["binds"] += 1

    def _heard(self, receipt: ReceiptSeen) -> int | None:
        if self.silent:
            return None
        if self._world.random.random() < 0.02:
            return c.ESME_RX_T_APPN
        self._world.hear("smpp", receipt.message_id, receipt.stat)
        return c.ESME_ROK

    def submit(self, count: int) -> None:
        """Submits over both accounts, where they are bound."""
        for name, esme in self._esmes.items():
            if not esme.lost and esme.session.can_send and esme._submitted is None:
                body = message_body(addresses=ADDRESSES, short_message=b"hello", registered_delivery=1)
                channels = ("smpp", "webhook") if name == "both" else ("smpp",)
                esme.submit([body] * count).addCallback(self._answered, channels)

    def _answered(self, answers: Sequence[tuple[int, str]], channels: tuple[str, ...]) -> None:
        for status, message_id in answers:
            if status == c.ESME_ROK:
                self._world.accept(message_id, channels)
            else:
                self._world.counts["refused"] += 1


class _Factory:
    """Just enough of a client factory to be told of one connection."""

    def __init__(self, process: ProcessReactor) -> None:
        self._process = process
        self.connected: Deferred[FastEsme] = Deferred()

    def doStart(self) -> None:
        """Nothing to prepare."""

    def startedConnecting(self, connector: object) -> None:
        """Nothing to note."""

    def buildProtocol(self, address: object) -> FastEsme:
        esme = FastEsme(self._process, enquire_link_seconds=QUIET_SECONDS)
        self._process.callLater(0, self.connected.callback, esme)
        return esme

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.connected.errback(reason)

    def clientConnectionLost(self, connector: object, reason: Failure) -> None:
        """The protocol is told as well."""


class SimulatedWeb:
    """The customers' web servers, as the webhook client of one relay process reaches them."""

    def __init__(self, world: World, process: ProcessReactor) -> None:
        self._world = world
        self._process = process

    async def send(
        self,
        url: str,
        headers: dict[bytes, list[bytes]],
        body: bytes | None,
        *,
        allow_private: bool,
        method: str = "POST",
        tls: NotificationTls | None = None,
    ) -> Answer:
        world = self._world
        clock: Any = self._process
        await deferLater(clock, world.network.latency_seconds)
        if world.webhooks_mode == "hang":
            await deferLater(clock, 15.0)
            return Answer(0, "timeout")
        if world.webhooks_mode == "throttle":
            return Answer(429, retry_after=str(world.random.choice([1, 120, 4000])))
        if world.webhooks_mode == "gone":
            return Answer(410)
        if world.webhooks_mode == "refuse" or world.random.random() < 0.02:
            return Answer(503)
        notification = _json(body)
        world.hear("webhook", notification["id"], notification["status"])
        await deferLater(clock, world.network.latency_seconds)
        return Answer(204)


def _failover(seed: int) -> Failover | None:
    """After which failures messages go to another carrier in this world; None: after none, as in half of them."""
    pick = random.Random(f"failover {seed}")
    if pick.random() < 0.5:
        return None
    return Failover(
        on=pick.choice([["UNDELIV", "REJECTD"], ["UNDELIV"], ["UNDELIV", "EXPIRED", "UNKNOWN"], []]),
        no_receipt_seconds=pick.choice([0.0, 30.0, 2 * HOUR, 20 * HOUR]),
        times=pick.choice([1, 1, 2]),
    )


def _json(body: bytes | None) -> Any:
    return msgspec.json.decode(body or b"")


def _convert(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind, dec_hook=lambda wanted, text: Secret(text))
