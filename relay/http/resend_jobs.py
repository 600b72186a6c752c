"""Sends the notifications of all messages that a search finds again: a job that runs behind the answer.

Theory of operation: an account has one job at a time. The job reads the search page by page, the oldest messages first.
It makes few notifications owed at a time, and goes on when an attempt has been made at these. So a job of a hundred
thousand messages needs little memory, new notifications don't wait for it, and it makes no progress while the account's
URL is away. A stop of the relay ends a job; what it has made owed stays owed.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, Protocol

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.history.history_query import HistoryQuery
from relay.history.message_lists import MessageLists
from relay.http.problems import Problem
from relay.http.resending import RESENT_A_TURN, ResendCount, Resending
from relay.runtime.tasks import Tasks
from relay.store.api import Store
from relay.store.store_values import StoreUnavailable
from relay.values.notifications import QueueKey

#: The most messages that one job sends again. More must be asked for in parts.
MOST_RESENT: Final = 100_000
#: Batches of `RESENT_A_TURN` at which no attempt has been made yet.
_BATCHES_AHEAD: Final = 2
#: How often the job looks whether it can go on.
_LOOK_SECONDS: Final = 1.0
#: When the history or the store can't take it now, the job tries again after this time, and so often.
_AGAIN_SECONDS: Final = 5.0
_TRIES: Final = 120
#: How many jobs that have ended are remembered; the oldest are forgotten first.
_JOBS_KEPT: Final = 500


class ResendJob(msgspec.Struct):
    """How far a job has come. Only `ResendJobs` changes it.

    :ivar state: "stopped": somebody ended it; "failed": `reason` says why.
    :ivar messages: how many it is to send again.
    :ivar resent: how many it has made owed.
    :ivar reason: why it failed.
    """

    messages: int
    began_at: float
    state: Literal["running", "ended", "stopped", "failed"] = "running"
    resent: int = 0
    reason: str = ""


class Waker(Protocol):
    """What a job needs of the message flow."""

    store: Store

    def wake(self, queues: Iterable[QueueKey]) -> None:
        """Tells that these queues have new notifications."""


class ResendJobs:
    """Counts and runs the jobs of all accounts. Only the reactor thread may call it."""

    log = Logger()

    def __init__(self, resending: Resending, lists: MessageLists, flow: Waker, clock: IReactorTime) -> None:
        self._resending = resending
        self._lists = lists
        self._flow = flow
        self._clock = clock
        self._jobs: dict[str, ResendJob] = {}
        self._tasks = Tasks(self.log)

    async def count(self, query: HistoryQuery) -> ResendCount:
        """Counts what a job for this query would send again. It changes nothing.

        :raises StoreBusy, StoreUnavailable: the messages can't be searched now.
        """
        count = ResendCount()
        async for views in self._lists.all(replace(query, after=None, oldest_first=True)):
            count += self._resending.counted(views)
            if count.messages > MOST_RESENT:
                return replace(count, messages=MOST_RESENT, complete=False)
        return count

    def start(self, account: str, query: HistoryQuery, count: ResendCount) -> ResendJob:
        """Begins a job.

        :param query: finds only messages of this account.
        :param count: what `count` said about the query.
        :raises Problem: 429: the account has a job; 422: these are too many messages, or none can be sent again.
        """
        if self._running(account):
            detail = "The account's notifications are being sent again already. Wait for the end, or stop it."
            raise Problem(429, detail, kind="rate-limit", headers=((b"Retry-After", b"10"),))
        if not count.complete:
            raise Problem(422, f"These are more than {MOST_RESENT:,} messages. Ask for a shorter time.")
        if not count.messages:
            raise Problem(422, "None of these messages can be told again.")
        # Removed and added again, so that the dict is in the order in which jobs began.
        self._jobs.pop(account, None)
        job = self._jobs[account] = ResendJob(count.messages, self._clock.seconds())
        for name in [name for name, old in self._jobs.items() if old.state != "running"][:-_JOBS_KEPT]:
            del self._jobs[name]
        self._tasks.start(self._run(account, replace(query, after=None, oldest_first=True), job))
        return job

    def _running(self, account: str) -> bool:
        job = self._jobs.get(account)
        return job is not None and job.state == "running"

    def job(self, account: str) -> ResendJob | None:
        """The account's job, or the last one that it had since the start."""
        return self._jobs.get(account)

    def stop(self, account: str) -> None:
        """Ends the account's job, if one is running. What is owed already stays owed."""
        job = self._jobs.get(account)
        if job is not None and job.state == "running":
            job.state = "stopped"

    async def stop_all(self) -> None:
        """Ends all jobs, and returns when they have ended."""
        for account in self._jobs:
            self.stop(account)
        await self._tasks.cancel()

    async def _run(self, account: str, query: HistoryQuery, job: ResendJob) -> None:
        try:
            await self._send_all(account, query, job)
        except StoreUnavailable as problem:
            job.state, job.reason = "failed", problem.reason
        except Exception:
            job.state, job.reason = "failed", "an error in the relay itself"
            raise
        else:
            if job.state == "running":
                job.state = "ended"
        self.log.info(
            "notifications_resent: {account}: {resent} of {messages} notifications are sent again; the job {state}",
            account=account, resent=job.resent, messages=job.messages,
            state=f"{job.state}: {job.reason}" if job.reason else job.state,
        )  # fmt: skip

    async def _send_all(self, account: str, query: HistoryQuery, job: ResendJob) -> None:
        untried: deque[bytes] = deque()
        after: int | None = None
        tries = 0
        while job.state == "running" and job.resent < job.messages:
            try:
                page = await self._lists.find(replace(query, after=after, limit=RESENT_A_TURN))
                await self._wait_for_attempts(untried, job)
                if job.state != "running":
                    return
                again = await self._resending.again(account, page.messages)
            except StoreUnavailable:
                # Some of this page may be owed already. They are told once then, because they are still owed.
                tries += 1
                if tries > _TRIES:
                    raise
                await self._sleep(_AGAIN_SECONDS)
                continue
            tries = 0
            job.resent += again.messages
            self._flow.wake(again.queues)
            ready = [view.id for view in page.messages if not self._resending.why_not(view)]
            untried.extend(ready[-1:])
            after = page.cursor
            if after is None:
                return

    async def _wait_for_attempts(self, untried: deque[bytes], job: ResendJob) -> None:
        """Waits until an attempt has been made at the last message of all but the latest batches."""
        while len(untried) >= _BATCHES_AHEAD and job.state == "running":
            view = await self._flow.store.look_up(untried[0])
            waits = view is not None and "webhook" in view.owed
            if view is None or not waits or any(attempt.at >= job.began_at for attempt in view.attempts):
                untried.popleft()
            else:
                await self._sleep(_LOOK_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        over: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, over.callback, None)
        await over
