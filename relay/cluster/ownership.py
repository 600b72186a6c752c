"""Makes this node the owner of the shard when nobody else is, and keeps it so.

Theory of operation: a node that stands by looks at the owner's sign of life a few times a second. When the owner has
handed the shard over, or its lease is over (`relay.cluster.lease`), the node takes over. Then it renews its own lease
every third of the lease. All statements run in one thread, one at a time. A statement that hangs for a lease is ended
from outside, and the next one uses a new connection, perhaps to another server.

While the lease can't be renewed (the database is away), the gate is shut: the node sends nothing. If the shard is still
its own when the database is back, it goes on. If another node has taken over, `lost` is called, and the process must
end without sending anything more.

The timers are the reactor's, but instants are read from a clock that nobody can set. So the relay's clock, which may go
slower or faster than real time for a while, changes only how often this module looks.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.cluster.cluster_config import judge
from relay.cluster.cluster_look import ClusterLook
from relay.cluster.cluster_values import ClusterRefused, DatabaseAway, NodeReport
from relay.cluster.lease import MOST_SECONDS_OFF, LeaseGate, LeaseWatch, Standing, seconds_off
from relay.cluster.ownership_seams import FollowedLog, InThread, OwnerDatabase

#: How often a node that stands by looks, at the least.
_LOOK_SECONDS: Final = 0.2
#: How often a node writes down that it is there, and looks at the whole cluster for the operator.
_REPORT_SECONDS: Final = 2.0
#: A renewal is sent after this part of the lease.
_RENEWED_AFTER: Final = 1 / 3
#: The timer's step, as a part of the lease. It is short, so that a timer that fires late does no harm.
_STEP: Final = 1 / 20
#: Why a node ends its work although no other node has taken over.
WENT_BACK: Final = "the database went back to a time before this node had taken over"


class Ownership:
    """Waits for the shard, takes it over, and keeps it until `release`.

    :param in_thread: runs the database's methods in a thread.
    :param clock: the reactor, for timers and for the time that goes into messages' records.
    :param uptime: seconds of a clock that nobody can set; also that of `gate`.
    :param look: looks at the whole cluster, for the operator. It blocks.
    :param lost: called once, with the reason, when another node has taken over.
    :param followed: the shard's log, as this node follows it.
    :ivar epoch: the epoch under which this node owns the shard; 0: it doesn't.
    :ivar reason: why the node stands by, or sends nothing; "": it owns the shard and works.
    :ivar cluster: what the last look at the whole cluster saw; None: there was none yet.
    """

    log = Logger()

    def __init__(
        self,
        database: OwnerDatabase,
        in_thread: InThread,
        clock: Any,
        *,
        gate: LeaseGate,
        uptime: Callable[[], float],
        node: NodeReport,
        lease_seconds: float,
        look: Callable[[], ClusterLook],
        lost: Callable[[str], None],
        followed: FollowedLog,
    ) -> None:
        self._database = database
        self._in_thread = in_thread
        self._clock = clock
        self._uptime = uptime
        self._gate = gate
        self._node = node
        self._lease_seconds = lease_seconds
        self._look = look
        self._lost = lost
        self._followed = followed
        self._watch = LeaseWatch(lease_seconds)
        self.epoch = 0
        self.reason = "looking for the owner"
        self.cluster: ClusterLook | None = None
        self.owner = ""
        #: When this node became the owner, by its clock of messages; 0.0: it doesn't own the shard.
        self.owned_at = 0.0
        #: Called when the gate has opened again after it was shut.
        self.reopened: Callable[[], None] = lambda: None
        self._digest = b""
        self._older_file = False
        self._acquired: Deferred[int] | None = None
        self._timer: IDelayedCall | None = None
        self._working_since: float | None = None
        self._renewal_sent_at = float("-inf")
        self._reported_at = float("-inf")
        self._was_open = False
        self._said = ""
        #: What the thread does next, before anything else.
        self._then: Callable[[], Callable[[], None]] | None = None
        self._asked_clock_at = 0.0
        self._ended = False
        self._checked = False
        self._released = False
        self._idle: list[Deferred[None]] = []

    @property
    def works(self) -> bool:
        """Whether this node owns the shard, and may send."""
        return self.epoch > 0 and self._gate.open

    def acquire(self, digest: bytes) -> "Deferred[int]":
        """Waits until this node owns the shard, perhaps for days. Cancel the Deferred to stop waiting.

        :param digest: of this node's configuration.
        :return: the epoch.
        :raises ClusterRefused: through the Deferred: the database can't be used, and waiting doesn't help.
        """
        assert self._acquired is None and not self._ended
        self._digest = digest
        acquired: Deferred[int] = Deferred(lambda _: self._end())
        self._acquired = acquired
        self._begin(self._check)
        return acquired

    def use_file(self, digest: bytes) -> None:
        """Tells that this node has applied another configuration file. It becomes the latest."""
        self._digest = digest
        self._reported_at = float("-inf")

    async def release(self) -> None:
        """Hands the shard over, so that another node takes it at once. Call it when everything is written.

        It gives up after a lease. A second call does nothing.
        """
        if self._released:
            return
        self._released = True
        epoch, self.epoch = self.epoch, 0
        self._gate.shut()
        self._end()
        await self._when_idle()
        limit = self._clock.callLater(self._lease_seconds, self._database.interrupt)
        try:
            if epoch:
                await self._in_thread(lambda: self._database.release(epoch))
                self.log.info("cluster_handed_over: another node may take over at once")
            await self._in_thread(self._database.close)
        except (DatabaseAway, ClusterRefused) as problem:
            self.log.warn(
                "cluster_not_handed_over: {problem}. Another node takes over when the lease is over",
                problem=str(problem),
            )
        if limit.active():
            limit.cancel()

    # The thread: one call at a time

    def _begin(self, work: Callable[[], Callable[[], None]]) -> None:
        self._working_since = self._uptime()
        self._asked_clock_at = self._clock.seconds()
        self._next()
        done = self._in_thread(work)
        done.addCallbacks(self._done, self._failed)
        done.addErrback(self._broken)

    def _done(self, then: Callable[[], None]) -> None:
        self._working_since = None
        if not self._ended:
            then()
        work, self._then = self._then, None
        if work is not None and not self._ended:
            self._begin(work)
        else:
            self._next()

    def _failed(self, failure: Failure) -> None:
        self._working_since = None
        self._watch.forget()
        # The next step tries again.
        self._renewal_sent_at = float("-inf")
        if failure.check(ClusterRefused) and self._acquired is not None and not self._ended:
            waiting, self._acquired = self._acquired, None
            self._end()
            waiting.errback(failure)
        elif failure.check(DatabaseAway, ClusterRefused):
            self._say(f"the database is away: {failure.getErrorMessage()}")
        else:
            self.log.failure("cluster_failed: an error in the relay itself", failure=failure)
        self._next()

    def _broken(self, failure: Failure) -> None:
        self.log.failure("cluster_failed: an error in the relay itself", failure=failure)

    def _next(self) -> None:
        if self._ended:
            waiting, self._idle = self._idle, []
            for deferred in waiting:
                deferred.callback(None)
        elif self._timer is None:
            self._timer = self._clock.callLater(min(_LOOK_SECONDS, self._lease_seconds * _STEP), self._step)

    async def _when_idle(self) -> None:
        if self._working_since is not None:
            self._database.interrupt()
            waiting: Deferred[None] = Deferred()
            self._idle.append(waiting)
            await waiting

    def _end(self) -> None:
        self._ended = True
        self._acquired = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Steps

    def _step(self) -> None:
        self._timer = None
        now = self._uptime()
        self._look_at_gate()
        if self._working_since is not None:
            if now - self._working_since >= self._lease_seconds:
                # If it was a renewal, it counts as if it had not arrived.
                self._working_since = now
                self._database.interrupt()
            self._next()
        elif not self._checked:
            self._begin(self._check)
        elif self.epoch:
            if now - self._renewal_sent_at >= self._lease_seconds * _RENEWED_AFTER:
                self._renewal_sent_at = now
                self._begin(partial(self._renew, self.epoch, now))
            elif now - self._reported_at >= _REPORT_SECONDS:
                self._reported_at = now
                self._begin(self._report)
            else:
                self._next()
        elif now - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = now
            self._begin(self._report)
        else:
            self._begin(self._watch_owner)

    def _look_at_gate(self) -> None:
        """Tells when the gate was shut or opened. Whoever sends asks the gate itself."""
        if self.epoch and self._gate.open != self._was_open:
            self._was_open = self._gate.open
            if self._was_open:
                self.reason = ""
                self._said = ""
                self.log.info("cluster_works_again: the lease is renewed; the relay sends again")
                self.reopened()
            else:
                self._say("the lease could not be renewed in time")

    def _say(self, reason: str) -> None:
        """Notes why this node doesn't work, and logs it once."""
        self.reason = reason
        if reason != self._said:
            self._said = reason
            consequence = "the relay sends nothing until that is over" if self.epoch else "the node goes on looking"
            self.log.error("cluster_trouble: {reason}; {consequence}", reason=reason, consequence=consequence)

    # In the thread. Each returns what the reactor's thread does with it.

    def _check(self) -> Callable[[], None]:
        self._database.check_schema()
        refusals = self._database.server_state().refusals
        if refusals:
            raise ClusterRefused("; ".join(refusals))
        return self._is_checked

    def _is_checked(self) -> None:
        self._checked = True

    def _report(self) -> Callable[[], None]:
        database = self._database
        database.report(msgspec.structs.replace(self._node, followed_sequence=self._followed.followed_sequence))
        while True:
            latest, before = database.files(self._node.name)
            verdict = judge(self._digest, latest, before)
            if (verdict.file == before and not verdict.is_new) or verdict.older:
                break
            if database.keep_file(self._node.name, verdict.file, is_new=verdict.is_new):
                break
        cluster = self._look()

        def then() -> None:
            self.cluster = cluster
            self._older_file = verdict.older

        return then

    def _watch_owner(self) -> Callable[[], None]:
        asked_at = self._uptime()
        seen = self._database.look()
        answered_at = self._uptime()
        return lambda: self._saw(seen, asked_at, answered_at)

    def _take_over(self, seen: Standing, sent_at: float) -> Callable[[], None]:
        # If the database forgot take-overs, their epochs must not be given a second time.
        known_epoch = self._followed.known_epoch
        epoch = self._database.take_over(seen, self._node.name, self._lease_seconds, known_epoch)
        if epoch is None:
            return self._watch.forget
        return lambda: self._took_over(seen, epoch, sent_at)

    def _renew(self, epoch: int, sent_at: float) -> Callable[[], None]:
        renewal = self._database.renew(epoch, self._lease_seconds)
        if not renewal.held:
            went_back = self._database.look().epoch < epoch
            return lambda: self.lose(WENT_BACK if went_back else "another node has taken over")
        return lambda: self._renewed(sent_at, renewal.database_at)

    def _give_up(self, epoch: int, reason: str) -> Callable[[], None]:
        self._database.release(epoch)
        return lambda: self.lose(reason)

    # On the reactor's thread

    def _saw(self, seen: Standing, asked_at: float, answered_at: float) -> None:
        self.owner = seen.owner
        over = self._watch.saw(seen, asked_at, answered_at)
        refusal = self._clock_problem(seen.database_at)
        if not refusal and self._older_file:
            refusal = ("this node's configuration file is older than another node's: copy that one, or run "
                       "python -m relay cluster accept-file --config FILE")  # fmt: skip
        missing = self._followed.why_not_own()
        refusal = refusal or missing or ""
        if refusal:
            self._say(refusal)
        elif over and missing is None:
            # The log is being compared. The next look is soon.
            return
        elif over:
            # The lease counts from before the statement that begins it.
            self._then = partial(self._take_over, seen, self._uptime())
        else:
            reason = f"stands by: {seen.owner} works"
            if self.reason != reason:
                self._said, self.reason = "", reason
                self.log.info("cluster_stands_by: {owner} works; this node takes over when that ends", owner=seen.owner)

    def _clock_problem(self, database_at: float) -> str:
        """What is wrong with this node's clock; "": nothing. The answer with the database's clock has just come."""
        off = seconds_off(self._asked_clock_at, database_at, self._clock.seconds())
        return f"this node's clock is {off:.1f} s off the database's: set it right" if off > MOST_SECONDS_OFF else ""

    def _took_over(self, seen: Standing, epoch: int, sent_at: float) -> None:
        self.epoch = epoch
        self.owner = self._node.name
        self.owned_at = self._clock.seconds()
        self.reason = self._said = ""
        self._renewal_sent_at = sent_at
        self._gate.renewed(sent_at, self._lease_seconds)
        self._was_open = True
        self.log.info(
            "cluster_took_over: this node works now, under epoch {epoch}; before it: {before}",
            epoch=epoch,
            before=seen.owner or "nobody",
        )
        waiting, self._acquired = self._acquired, None
        if waiting is not None:
            waiting.callback(epoch)

    def _renewed(self, sent_at: float, database_at: float) -> None:
        if not self.epoch:
            return
        problem = self._clock_problem(database_at)
        if problem:
            self._gate.shut()
            self._then = partial(self._give_up, self.epoch, problem)
            return
        self._gate.renewed(sent_at, self._lease_seconds)
        self._look_at_gate()
        if self._gate.open:
            self.reason = self._said = ""

    def lose(self, reason: str) -> None:
        """Ends the work of this node for good: the shard isn't its own any more. A second call does nothing."""
        if self.epoch:
            self.epoch = 0
            self.reason = reason
            self._gate.shut()
            self._end()
            self._lost(reason)
