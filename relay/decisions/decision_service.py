"""Asks the operator's decision service about messages, in batches, and gives its decisions to those who wait.

Theory of operation: each account has a queue of questions. A request has questions of one account only, because a
request with one slow question is slow for all in it. An account may have an eighth of all requests under way. So slow
decisions about one account's messages leave places for the others, and accounts with waiting questions take turns. A
question is sent at once if there is a place. Otherwise questions gather, and the next request takes many of them. A
question that has waited too long in the queue is answered without the service, as a failed request is.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.config.route_config import Decisions
from relay.config.service_urls import service_url
from relay.decisions.decision_cache import DecisionCache
from relay.decisions.decision_client import DecisionPoster, ServiceFailed
from relay.decisions.decision_format import read_decisions, request_body
from relay.runtime.tasks import Tasks
from relay.values.decision import PASSED, Decision, Question
from relay.values.histogram import QUICK_SECONDS, Histogram
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RSYSERR, ESME_RTHROTTLED

#: An account may have this part of all requests under way.
_ACCOUNT_PART: Final = 8
#: How often a failure is logged while the service goes on to fail.
_LOG_SECONDS: Final = 60.0
_COUNTED: Final = ("answered", "cached", "failed", "put_off")

_FAILED: Final = Decision(
    refused=Refused(ESME_RSYSERR, "", "The relay can't decide about the message now; try again later.", 5.0)
)
_STOPPING: Final = Decision(refused=Refused(ESME_RSYSERR, "", "The relay is stopping; try again in a moment.", 5.0))
_PUT_OFF: Final = Decision(
    refused=Refused(ESME_RTHROTTLED, "", "Too many messages of the account wait for a decision; try again later.", 1.0)
)


class Decider(Protocol):
    """Decides about messages before they are accepted.

    :ivar active: False: every message passes, and nobody need ask.
    :ivar counts: questions by the way in which they were decided: by the service (answered), by an answer that was kept
        (cached), by `on_failure` (failed), or not at all because too many waited (put_off).
    :ivar seconds: how long requests took.
    """

    active: bool
    counts: dict[str, int]
    seconds: Histogram

    def known(self, questions: Sequence[Question]) -> Sequence[Decision | None]:
        """Returns the decisions that are known already, in the same order; None for the others."""

    async def decide(self, account: str, questions: Sequence[Question]) -> Sequence[Decision]:
        """Returns a decision about each message, in the same order. All messages are the account's. Never fails."""

    def reconfigure(self, settings: Decisions) -> None:
        """Uses new settings from now on."""

    async def stop(self) -> None:
        """Refuses the messages that still wait, and all later ones."""


class NoDecisions:
    """The `Decider` of a relay without a decision service."""

    active = False

    def __init__(self) -> None:
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.seconds = Histogram(QUICK_SECONDS)

    def known(self, questions: Sequence[Question]) -> Sequence[Decision | None]:
        return [PASSED] * len(questions)

    async def decide(self, account: str, questions: Sequence[Question]) -> Sequence[Decision]:
        return [PASSED] * len(questions)

    def reconfigure(self, settings: Decisions) -> None:
        raise NotImplementedError("a relay that may have a service has a DecisionService")

    async def stop(self) -> None:
        pass


class _Group:
    """Questions that came together, and what is known of their decisions.

    :ivar done: fires when all are decided.
    """

    __slots__ = ("asked_at", "decisions", "done", "left", "questions")

    def __init__(self, questions: Sequence[Question], left: int, decisions: list[Decision | None], now: float) -> None:
        self.questions = questions
        self.decisions = decisions
        self.left = left
        self.asked_at = now
        self.done: Deferred[None] = Deferred()

    def settle(self, index: int, decision: Decision) -> None:
        self.decisions[index] = decision
        self.left -= 1
        if not self.left:
            self.done.callback(None)


#: A question that waits: its group, and its place there.
_Place = tuple[_Group, int]


class _Queue:
    """The waiting questions of one account, and how many of its requests are under way."""

    __slots__ = ("account", "places", "under_way")

    def __init__(self, account: str) -> None:
        self.account = account
        self.places: deque[_Place] = deque()
        self.under_way = 0


class DecisionService:
    """Asks the operator's decision service. It implements `Decider`."""

    log = Logger()

    def __init__(self, settings: Decisions, client: DecisionPoster, clock: IReactorTime) -> None:
        self._client = client
        self._clock = clock
        self._tasks = Tasks(self.log)
        self._queues: dict[str, _Queue] = {}
        #: The queues with waiting questions, in the order of their turns.
        self._turns: deque[_Queue] = deque()
        self._under_way = 0
        self._failing = False
        self._logged_at = 0.0
        self._stopped = False
        self.counts = dict.fromkeys(_COUNTED, 0)
        self.seconds = Histogram(QUICK_SECONDS)
        self.reconfigure(settings)

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn to be sent."""
        return sum(len(queue.places) for queue in self._turns)

    def reconfigure(self, settings: Decisions) -> None:
        """Uses new settings from now on, and forgets all kept decisions. Questions that wait go to the new URL."""
        self._settings = settings
        self._url = service_url(settings.url) if settings.url else None
        self._cache = DecisionCache(settings.cache)
        self.active = bool(settings.url)
        self._fill()

    def known(self, questions: Sequence[Question]) -> Sequence[Decision | None]:
        now, cache = self._clock.seconds(), self._cache
        found = [cache.find(question, now) for question in questions]
        self.counts["cached"] += len(found) - found.count(None)
        return found

    async def decide(self, account: str, questions: Sequence[Question]) -> Sequence[Decision]:
        decisions = list(self.known(questions))
        unknown = [index for index, decision in enumerate(decisions) if decision is None]
        if not unknown:
            return [decision or PASSED for decision in decisions]
        queue = self._queues.setdefault(account, _Queue(account))
        room = 0 if self._stopped else max(0, self._settings.waiting - len(queue.places))
        for index in unknown[room:]:
            decisions[index] = _STOPPING if self._stopped else _PUT_OFF
        self.counts["put_off"] += len(unknown[room:])
        del unknown[room:]
        if unknown:
            group = _Group(questions, len(unknown), decisions, self._clock.seconds())
            if not queue.places:
                self._turns.append(queue)
            queue.places.extend((group, index) for index in unknown)
            self._fill()
            await group.done
        self._tidy(queue)
        return [decision or PASSED for decision in decisions]

    async def stop(self) -> None:
        self._stopped = True
        while self._turns:
            queue = self._turns.popleft()
            places = list(queue.places)
            queue.places.clear()
            for group, index in places:
                group.settle(index, _STOPPING)
        await self._tasks.cancel()

    def _fill(self) -> None:
        """Sends requests while there are places and questions."""
        most = self._settings.concurrency
        share = max(1, most // _ACCOUNT_PART)
        turns = self._turns
        #: How many accounts in a row have their share already.
        passed_over = 0
        while turns and self._under_way < most and passed_over < len(turns):
            queue = turns.popleft()
            if queue.under_way >= share:
                turns.append(queue)
                passed_over += 1
                continue
            passed_over = 0
            batch, late = self._take(queue)
            if queue.places:
                turns.append(queue)
            if batch:
                queue.under_way += 1
                self._under_way += 1
                self._tasks.start(self._ask(queue, batch))
            if late:
                self._fail(late, "questions had waited for longer than timeout_seconds")

    def _take(self, queue: _Queue) -> tuple[list[_Place], list[_Place]]:
        """Removes the questions of one request from a queue. Returns them, and those that have waited too long."""
        batch: list[_Place] = []
        late: list[_Place] = []
        oldest = self._clock.seconds() - self._settings.timeout_seconds
        places = queue.places
        while places and len(batch) < self._settings.batch:
            place = places.popleft()
            (late if place[0].asked_at < oldest else batch).append(place)
        return batch, late

    async def _ask(self, queue: _Queue, batch: list[_Place]) -> None:
        """Sends one request, and settles its questions."""
        settings, url, cache = self._settings, self._url, self._cache
        began_at = self._clock.seconds()
        questions = [group.questions[index] for group, index in batch]
        found: list[tuple[Decision, float]] = []
        failure = ""
        try:
            if url is not None:
                body = request_body(questions, with_text=settings.with_text)
                found = read_decisions(await self._client.post(url, body, settings.timeout_seconds), len(batch))
            else:
                # A reload has removed the service.
                found = [(PASSED, 0.0)] * len(batch)
        except CancelledError:
            found = [(_STOPPING, 0.0)] * len(batch)
        except (ServiceFailed, ValueError) as problem:
            failure = str(problem)
        except Exception:
            self.log.failure("decisions_broken: an error in the relay itself while it asked the decision service")
            failure = "an error in the relay itself; see decisions_broken in the log"
        now = self._clock.seconds()
        self.seconds.observe(now - began_at)
        queue.under_way -= 1
        self._under_way -= 1
        # Those who are settled first may ask again at once. The places must be free by then.
        if failure:
            self._fail(batch, failure)
        else:
            self._answered(batch)
            for (group, index), question, (decision, seconds) in zip(batch, questions, found, strict=True):
                if seconds > 0.0:
                    cache.keep(question, decision, now + seconds)
                group.settle(index, decision)
        self._fill()
        self._tidy(queue)

    def _answered(self, batch: list[_Place]) -> None:
        self.counts["answered"] += len(batch)
        if self._failing and not self._stopped:
            self._failing = False
            self.log.info("decisions_answer_again: the decision service answers again")

    def _fail(self, batch: list[_Place], reason: str) -> None:
        """Decides about messages about which the service said nothing."""
        self.counts["failed"] += len(batch)
        now = self._clock.seconds()
        passes = self._settings.on_failure == "pass"
        if not self._failing or now - self._logged_at >= _LOG_SECONDS:
            self._failing = True
            self._logged_at = now
            self.log.warn(
                "decisions_failing: the decision service said nothing about {count} messages: {reason}; they {outcome}",
                count=len(batch),
                reason=reason,
                outcome="pass as they are" if passes else "are refused, and may be tried again",
            )
        for group, index in batch:
            group.settle(index, PASSED if passes else _FAILED)

    def _tidy(self, queue: _Queue) -> None:
        """Forgets an account that has nothing under way."""
        if not queue.places and not queue.under_way and self._queues.get(queue.account) is queue:
            del self._queues[queue.account]
