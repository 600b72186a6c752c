"""A world with two relays of one cluster, whose log is in a simulated database, and the faults of such a world.

Both relays are whole: ownership, log, store, links, webhooks. A relay may be paused between any two of its events, also
while a commit waits in its thread. It may be cut off from the database, or killed. The database loses answers, cancels
commits, and fails over. Both relays' clocks go a little wrong.

Beside what every world checks, a relay that doesn't own the shard must write no submit_sm and no deliver_sm, and begin
no request to a customer.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from relay.accounts.accounts import Accounts
from relay.app.daemon import Daemon
from relay.app.daemon_parts import Collaborators
from relay.charging.charging import Charging
from relay.cluster.cluster_config import NO_FILE, FileGeneration
from relay.cluster.cluster_look import ClusterLook
from relay.cluster.cluster_values import DatabaseAway, NodeReport, Renewal, ServerState
from relay.cluster.lease import LeaseGate, Standing
from relay.cluster.membership import ClusterState
from relay.cluster.ownership import Ownership
from relay.config.carrier_config import Simulator
from relay.config.listener_config import SmppListener
from relay.config.model import Config
from relay.routing.flow import MessageFlow
from relay.routing.housekeeping import Housekeeping
from relay.routing.routes import Routes
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.store.journal.journal_store import JournalStore
from relay.store.postgresql.shard_log import ShardLog
from relay.values import smpp_constants as c
from relay.webhooks.answer import Answer
from relay.webhooks.delivery import WebhookDelivery
from relay.webhooks.webhook_sender import Webhooks
from tests.simulated_database import SimulatedConnection, SimulatedDatabase
from tests.simulated_disk import SimulatedDisk
from tests.simulation.reactor import ProcessReactor
from tests.simulation.world import QUIET_SECONDS, SMPP_PORT, START, Broken, Customer, Fault, SimulatedWeb, World

LEASE_SECONDS = 5.0
MESSAGES_A_SECOND = 20
#: After the last fault: long enough for all retries.
DRAIN_SECONDS = 400.0
#: What may happen, how likely beside the others, and for how long at the most.
KINDS: dict[str, tuple[int, float]] = {
    "submit": (20, 0.0),
    "pause the owner": (4, 20.0),
    "pause the owner in a commit": (4, 20.0),
    "pause the other": (1, 20.0),
    "kill the owner": (3, 0.0),
    "kill the other": (1, 0.0),
    "stop the owner": (2, 0.0),
    "cut the owner off the database": (3, 20.0),
    "cut the other off the database": (1, 20.0),
    "database away": (2, 20.0),
    "database fails over": (2, 0.0),
    "cut carriers": (1, 0.0),
    "cut customers": (1, 0.0),
    "webhooks refuse": (1, 20.0),
}
_SERVER = ServerState("15.0", (), True, ())


def cluster_plan(seed: int) -> list[Fault]:
    """The faults of a seed, in the order of time: some minutes of them."""
    randomness = random.Random(f"cluster plan {seed}")
    kinds, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
    faults, at = [Fault(5.0, "submit")], 5.0
    for _ in range(randomness.randint(10, 30)):
        at += randomness.choice([0.001, 0.004, 0.02, 1.0, 5.0, 15.0])
        kind = randomness.choices(kinds, weights)[0]
        longest = KINDS[kind][1]
        faults.append(Fault(round(at, 4), kind, round(randomness.uniform(1.0, longest), 1) if longest else 0.0))
    return faults


class _Killed(BaseException):
    """The process of a thread that was waiting has ended."""


class _Thread:
    """A thread of a node: one call at a time, each of which takes a moment."""

    def __init__(self, process: ProcessReactor, seconds: float, before: Callable[[], bool] = lambda: True) -> None:
        self._process = process
        self._seconds = seconds
        #: Called before each call; False: the process was paused instead, and the call is made when it goes on.
        self._before = before
        self._calls: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self._busy = False

    def __call__(self, function: Callable[[], Any]) -> "Deferred[Any]":
        done: Deferred[Any] = Deferred()
        self._calls.append((function, done))
        self._next()
        return done

    def _next(self) -> None:
        if not self._busy and self._calls:
            self._busy = True
            self._process.callLater(self._seconds / 2, self._run)

    def _run(self) -> None:
        if not self._before():
            self._process.callLater(0, self._run)
            return
        function, done = self._calls.popleft()
        try:
            result = function()
        except _Killed:
            return
        except Exception:
            result = Failure()
        self._process.callLater(self._seconds / 2, self._done, done, result)

    def _done(self, done: "Deferred[Any]", result: object) -> None:
        self._busy = False
        self._next()
        done.callback(result)


class _Connection(SimulatedConnection):
    """A node's connection for the log, which may be cut."""

    def __init__(self, world: "ClusterWorld", name: str) -> None:
        super().__init__(world.database)
        self._world = world
        self._name = name

    def _begin(self) -> None:
        if self._name in self._world.cut_off:
            self.close()
            raise psycopg.OperationalError("no server answers")
        super()._begin()


class _OwnerDatabase:
    """A node's connection for the lease, which may be cut, and whose answers may be lost."""

    def __init__(self, world: "ClusterWorld", name: str) -> None:
        self._world = world
        self._name = name

    def _reached(self) -> "ClusterWorld":
        if self._name in self._world.cut_off:
            raise DatabaseAway("no server answers")
        return self._world

    def _answered(self) -> None:
        if self._world.random.random() < 0.02:
            raise DatabaseAway("the connection broke")

    def check_schema(self) -> None:
        self._reached()

    def server_state(self) -> ServerState:
        self._reached()
        return _SERVER

    def look(self) -> Standing:
        world = self._reached()
        return msgspec.structs.replace(world.standing, database_at=world.time.seconds())

    def take_over(self, seen: Standing, node: str, lease_seconds: float, known_epoch: int) -> int | None:
        world = self._reached()
        if (seen.epoch, seen.counter) != (world.standing.epoch, world.standing.counter):
            return None
        epoch = max(seen.epoch, known_epoch) + 1
        world.standing = Standing(epoch, node, seen.counter + 1, lease_seconds, 0.0, 0.0)
        world.database.primary.epoch = epoch
        world.database.replicate()
        world.cause()
        self._answered()
        return epoch

    def renew(self, epoch: int, lease_seconds: float) -> Renewal:
        world = self._reached()
        if world.standing.epoch != epoch:
            return Renewal(False, 0.0)
        world.standing = msgspec.structs.replace(world.standing, counter=world.standing.counter + 1)
        self._answered()
        return Renewal(True, world.time.seconds())

    def release(self, epoch: int) -> None:
        world = self._reached()
        if world.standing.epoch == epoch:
            world.standing = msgspec.structs.replace(world.standing, owner="")

    def report(self, node: NodeReport) -> None:
        self._reached()

    def files(self, node: str) -> tuple[FileGeneration, FileGeneration]:
        self._reached()
        return NO_FILE, NO_FILE

    def keep_file(self, node: str, file: FileGeneration, *, is_new: bool) -> bool:
        return True

    def interrupt(self) -> None:
        """Nothing hangs."""

    def close(self) -> None:
        """There is nothing to close."""


class _Web(SimulatedWeb):
    """The customers' web servers, for one node."""

    def __init__(self, node: "Node") -> None:
        super().__init__(node.world, node.process)
        self._node = node

    async def send(self, *arguments: Any, **options: Any) -> Answer:
        self._node.sends("a webhook")
        return await super().send(*arguments, **options)


class Node:
    """One process of a relay of the cluster. It is also its own membership."""

    def __init__(self, world: "ClusterWorld", name: str, port: int, disk: SimulatedDisk) -> None:
        self.world = world
        self.name = name
        self.port = port
        self.disk = disk
        self.process = ProcessReactor(world.network, name)
        self.process.wrote = self._wrote
        reactor: Any = self.process
        pick = random.Random(f"clock {world.seed} {name}")
        # Of the machine's clocks, this is the one that decides. It begins anywhere, and goes up to 2 % wrong.
        speed, begins_at = pick.uniform(0.98, 1.02), pick.uniform(0.0, 1e6)

        def uptime() -> float:
            return begins_at + world.time.seconds() * speed

        self.gate = world.make_gate(uptime)
        self.shard_log = ShardLog(
            disk,
            "data",
            {},
            in_reading_thread=_Thread(self.process, 0.002),
            clock=reactor,
            fenced=self._lost,
            connect=lambda arguments: _Connection(world, name),  # type: ignore[arg-type,return-value]
            sleep=self._sleep,
        )
        self.ownership = Ownership(
            _OwnerDatabase(world, name),
            _Thread(self.process, 0.004),
            reactor,
            gate=self.gate,
            uptime=uptime,
            node=NodeReport(name),
            lease_seconds=LEASE_SECONDS,
            look=lambda: ClusterLook("id", 1, 5, 1, _SERVER, [], [], 0),
            lost=lambda reason: self._lost(),
            followed=self.shard_log,
        )
        config = world.node_config(port)
        accounts = Accounts(config.accounts)
        self.store = JournalStore(
            self.shard_log.files,
            "data",
            journal=config.journal,
            limits=config.limits,
            policy=accounts.policy,
            clock=reactor,
            in_thread=_Thread(self.process, world.disk_seconds, self._before_commit),
            trouble=self.shard_log.trouble,
            gate=self.gate,
        )
        flow = MessageFlow(
            store=self.store,
            rates=accounts,
            routes=Routes(config.routes),
            clock=reactor,
            random_bytes=world.random.randbytes,
            validity_seconds=config.validity_seconds,
            gate=self.gate,
            charging=Charging(config.accounts, config.prices),
        )
        delivery = WebhookDelivery(self.store, accounts, _Web(self), reactor)
        webhooks = Webhooks(self.store, accounts, delivery, reactor, world.random.random, self.gate)
        self.daemon = Daemon(
            config,
            Collaborators(
                reactor=reactor,
                randomness=world.random,
                random_bytes=world.random.randbytes,
                store=self.store,
                accounts=accounts,
                flow=flow,
                webhooks=webhooks,
                membership=self,
            ),
            sites=lambda daemon: [],
            ready=lambda daemon: world.works(self),
            failed=lambda reason: world.start_failed(self, reason),
        )
        self.daemon.housekeeping = Housekeeping(flow, reactor, interval_seconds=30.0)
        self.ownership.reopened = self.daemon.may_send_again
        self.daemon.startService()

    # As its process sees it

    def _before_commit(self) -> bool:
        seconds = self.world.pause_in_commit
        if not seconds or self.world.owner is not self:
            return True
        self.world.pause_in_commit = 0.0
        self.world.pause(self, seconds)
        return False

    def _sleep(self, seconds: float) -> None:
        """A thread of this process waits, and everything else goes on meanwhile."""
        time = self.world.time
        time.run_until(time.seconds() + seconds)
        while not self.process.runs and not self.process.dead:
            time.run_until(time.seconds() + 0.1)
        if self.process.dead:
            raise _Killed

    def _lost(self) -> None:
        if not self.process.dead:
            self.world.begins_again(self)

    def sends(self, what: str) -> None:
        """It sends something. Only the owner may."""
        if self.ownership.epoch != self.world.standing.epoch:
            self.world.failures.append(
                f"{self.name} sent {what} under epoch {self.ownership.epoch}, and the shard has epoch "
                f"{self.world.standing.epoch}"
            )

    def _wrote(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            length, command = (int.from_bytes(data[at + n : at + n + 4], "big") for n in (0, 4))
            if command in (c.SUBMIT_SM, c.DELIVER_SM):
                self.sends("a submit_sm" if command == c.SUBMIT_SM else "a deliver_sm")
            at += length

    # Membership

    async def acquire(self) -> None:
        self.shard_log.follow(self.store)
        epoch = await self.ownership.acquire(b"file")
        while True:
            try:
                await self.shard_log.own(self.store, epoch, self.name, allow_single=False)
                return
            except psycopg.Error:
                clock: Any = self.process
                await deferLater(clock, 0.5)

    def follows(self) -> bool:
        return self.shard_log.caught_up

    def finish_writing(self) -> None:
        self.shard_log.stop()

    async def release(self) -> None:
        self.shard_log.close()
        await self.ownership.release()

    def use_file(self, config: Config) -> None:
        """No world of this kind changes a file."""

    def start_again(self, reason: str) -> None:
        self._lost()

    def state(self) -> ClusterState:
        ownership = self.ownership
        return ClusterState(
            self.name, ownership.owner, ownership.epoch, ownership.works, ownership.reason, 0.0, None, []
        )


class ClusterWorld(World):
    """One run. Call `run`, which raises `Broken` where a promise was not kept."""

    scheduled_seconds = (0.0, 0.0, 0.0, 60.0)
    postponed_seconds = (0.0, 0.0, 30.0)

    def __init__(self, seed: int, faults: Sequence[Fault]) -> None:
        self.database = self.make_database(seed)
        self.standing = Standing(0, "", 0, 0.0, 0.0, 0.0)
        self.cut_off: set[str] = set()
        #: For how long the owner is paused at its next commit; 0.0: it isn't.
        self.pause_in_commit = 0.0
        self.nodes: dict[str, Node] = {}
        super().__init__(seed, faults)

    # To be overridden by worlds without one of the gates

    def make_database(self, seed: int) -> SimulatedDatabase:
        """The database with the log."""
        return SimulatedDatabase(seed, fault_share=0.01)

    def make_gate(self, uptime: Callable[[], float]) -> LeaseGate:
        """The gate of one node."""
        return LeaseGate(uptime)

    # What there is

    def _make_customer(self) -> Customer:
        return _Customer(self)

    def _make_carriers(self) -> None:
        self.query_sm = False
        self.carriers: dict[str, SimulatedCarrier] = {}
        self.carrier_process = ProcessReactor(self.network, "carriers")
        for number, name in enumerate(self.ports):
            settings = Simulator(
                seed=self.seed + number,
                receipt_delay_seconds=self.random.choice([0.0, 0.5, 4.0]),
                states={"DELIVRD": 0.8, "UNDELIV": 0.2},
                receipt_first=self.random.random() < 0.3,
            )
            carrier = SimulatedCarrier(settings, self.carrier_process, random.Random(settings.seed))
            carrier.factory.limits = msgspec.structs.replace(carrier.factory.limits, enquire_link_seconds=QUIET_SECONDS)
            self.carriers[name] = carrier
        self._carriers_listen()

    def node_config(self, port: int) -> Config:
        """The configuration of the node that listens there."""
        listener = SmppListener(listen=[f"tcp:{port}:interface=127.0.0.1"], enquire_link_seconds=QUIET_SECONDS)
        config = self.config()
        # So slow that messages wait when a relay is paused.
        carriers = {
            name: msgspec.structs.replace(carrier, rate=MESSAGES_A_SECOND) for name, carrier in config.carriers.items()
        }
        return msgspec.structs.replace(config, smpp=listener, carriers=carriers)

    def say(self, what: str) -> None:
        self.log.append(f"{self.time.seconds() - START:9.3f} s  {what}")

    def start_relay(self) -> None:
        for number, name in enumerate(("a", "b")):
            self._start(name, SMPP_PORT + number, SimulatedDisk())

    def _start(self, name: str, port: int, disk: SimulatedDisk) -> None:
        self.nodes[name] = Node(self, name, port, disk)

    @property
    def owner(self) -> Node | None:
        """The node that owns the shard, as the database says; None: nobody does."""
        return self.nodes.get(self.standing.owner)

    @property
    def other(self) -> Node:
        """The node that doesn't."""
        return next(node for node in self.nodes.values() if node is not self.owner)

    def cause(self) -> None:
        """Something happens for which a customer may be told twice."""
        self.epoch += 1

    # What happens to nodes

    def works(self, node: Node) -> None:
        """A node takes messages from now on."""
        self.cause()
        self.say(f"{node.name} works")
        self.counts["starts"] += 1
        self.ready, self.daemon, self.relay_process = True, node.daemon, node.process
        self.links_made = [*node.daemon.links.values()]
        self.smpp_port = node.port

    def start_failed(self, node: Node, reason: str) -> None:
        """A node ends while it starts."""
        self.failures.append(f"{node.name} does not start: {reason}")

    def begins_again(self, node: Node) -> None:
        """A node's process ends, and a new one begins."""
        self.cause()
        self.say(f"{node.name} begins again")
        node.process.kill()
        if self.ready and self.daemon is node.daemon:
            self.ready = False
        self._later(0.2, lambda: self._start(node.name, node.port, node.disk.kill()))

    def pause(self, node: Node, seconds: float) -> None:
        """Stops a node, and lets it go on later."""
        if not node.process.runs:
            return
        self.cause()
        self.say(f"{node.name} is paused")
        self.counts["pauses"] += 1
        node.process.pause()
        if self.ready and self.daemon is node.daemon:
            self.ready = False

        def go_on() -> None:
            self.cause()
            self.say(f"{node.name} goes on")
            node.process.resume()
            if self.owner is node and not node.process.dead and not node.daemon.not_ready:
                self.ready, self.daemon, self.relay_process = True, node.daemon, node.process

        self._later(seconds, go_on)

    def _do(self, fault: Fault) -> None:
        owner, other = self.owner, self.other
        who = other if "the other" in fault.kind else owner
        match fault.kind.split()[0]:
            case "pause" if fault.kind.endswith("commit"):
                self.pause_in_commit = fault.seconds
            case "pause" if who is not None:
                self.pause(who, fault.seconds)
            case "kill" if who is not None and not who.process.dead:
                self.begins_again(who)
            case "stop" if who is not None and self.ready and not self.cut_off:
                self._stop(who)
            case "cut" if "off" in fault.kind and who is not None:
                self._cut_off({who.name}, fault.seconds)
            case "database" if fault.kind.endswith("away"):
                self._cut_off({"a", "b"}, fault.seconds)
            case "database":
                self.database.fail_over()
            case "submit" | "cut" | "webhooks":
                super()._do(fault)

    def _cut_off(self, names: set[str], seconds: float) -> None:
        self.cause()
        self.cut_off |= names

        def mended() -> None:
            self.cut_off -= names

        self._later(seconds, mended)

    def _stop(self, node: Node) -> None:
        self.cause()
        self.ready = False

        def stopped(result: object) -> None:
            if not node.process.dead:
                self.begins_again(node)

        node.daemon.stopService().addBoth(stopped)

    # The run

    def run(self) -> None:
        for fault in self.faults:
            self.time.run_until(START + fault.at)
            self.say(f"{fault.kind}" + (f" for {fault.seconds:.0f} s" if fault.seconds else ""))
            self.counts[fault.kind] += 1
            self._do(fault)
        self.time.run_until(self.time.seconds() + 60.0)
        self.webhooks_mode = "answer"
        self._end_top_ups()
        self.time.run_until(self.time.seconds() + DRAIN_SECONDS)
        self._check()

    def _check(self) -> None:
        if not self.ready:
            self.failures.append(f"nobody works: {[node.ownership.reason for node in self.nodes.values()]}")
        else:
            self.failures += self.purse.problems_at_end(self.daemon.store)
        problems = list(self.failures)
        for message_id, channels in self.accepted.items():
            problems += [
                f"{message_id} was accepted and {channel} never heard of it: {self._view(message_id)}"
                for channel in channels
                if (message_id, channel) not in self.heard
            ]
        if problems:
            raise Broken("\n".join(problems[:10]))


class _Customer(Customer):
    """A customer that also binds to the node that works since a moment, and keeps its earlier sessions."""

    _BIND_SECONDS = 2.0

    def __init__(self, world: ClusterWorld) -> None:
        self._ports: dict[str, int] = {}
        super().__init__(world)

    def _tick(self) -> None:
        self.process.callLater(self._BIND_SECONDS, self._tick)
        for name in ("smpp", "both"):
            esme = self._esmes.get(name)
            port = self._world.smpp_port
            if (esme is None or esme.lost or self._ports[name] != port) and name not in self._busy:
                self._busy.add(name)
                self._ports[name] = port
                Deferred.fromCoroutine(self._bind(name)).addBoth(self._bound, name)
