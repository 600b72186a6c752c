"""A simulated carrier with an HTTP API: a web server that takes messages, and posts receipts for them.

Theory of operation: `vendor_apis` knows the vendor's requests, answers and receipts. `decisions` decides about each
message, as for SMPP. Receipts wait in queues in the order of their times, and one timer moves those that are due to a
few posts at once. A receipt that nobody takes is posted again after a pause, signed anew.
"""

import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from treq.client import HTTPClient
from treq.content import content
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from relay.config.carrier_config import Simulator
from relay.runtime.tasks import Tasks
from relay.simulator.decisions import WORDS, Fate, Randomness, Simulation
from relay.simulator.vendor_apis import Answer, ApiCall, ApiMessage, NotTaken, vendor_api
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu

#: The settings that mean something for an HTTP API. The others are about SMPP.
_SETTINGS: Final = frozenset(
    {
        "listen", "seed", "receipt_delay_seconds", "states", "throttle_share", "reject_share", "duplicate_share",
        "drop_share", "silent_share", "intermediate", "destination_begins",
    }
)  # fmt: skip
#: Pause before a receipt that was not taken is posted again, and how often it is posted at the most.
RETRY_SECONDS: Final = 0.5
MOST_POSTS: Final = 600
#: Posts at once, and how long each may take.
_POSTS_AT_ONCE: Final = 20
_POST_SECONDS: Final = 30.0

#: Posts a receipt: URL, headers, body. Returns the HTTP status; raises if there is no answer.
Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


class ApiCounters(msgspec.Struct):
    """Counts of the simulated API since it was made.

    :ivar requests: requests that arrived, with any result.
    :ivar taken: messages that were taken. `throttled`, `rejected` and `dropped` are what the settings ask for, and
        `malformed` counts requests that the vendor would not understand.
    :ivar receipts_owed: receipts that will be sent or were: the goal that `acked` reaches when all is well.
    :ivar receipts_sent: posts, repetitions included.
    :ivar acked: receipts that were answered with 2xx.
    :ivar nacked: posts that had another answer or none.
    """

    requests: int = 0
    taken: int = 0
    throttled: int = 0
    rejected: int = 0
    dropped: int = 0
    malformed: int = 0
    receipts_owed: int = 0
    receipts_sent: int = 0
    acked: int = 0
    nacked: int = 0

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(self).items())


def check_api_settings(preset: str, settings: Simulator) -> None:
    """Checks whether a simulated API can use these settings.

    :raises ValueError: it can't; the text begins with the setting.
    """
    defaults = Simulator()
    for name in Simulator.__struct_fields__:
        if name not in _SETTINGS and getattr(settings, name) != getattr(defaults, name):
            raise ValueError(f"{name.replace('_', '-')}: it is for SMPP only; leave it out")
    # This checks the states' shares.
    Simulation(settings, random.Random(settings.seed))
    known = vendor_api(preset, settings.seed).states
    unknown = [name for name, share in settings.states.items() if share and name not in known]
    if unknown:
        raise ValueError(f"states: {preset} can't say {', '.join(unknown)}; it has {', '.join(known)}")


class _Receipt(msgspec.Struct):
    """A receipt that is to be posted."""

    due_at: float
    name: str
    message: ApiMessage
    state: str
    posts: int = 0


class SimulatedApi(Resource):
    """One vendor's API as a web server. It accepts every login.

    :param preset: the vendor, as in `relay.simulator.vendor_apis.VENDORS`.
    :param settings: some of them are about SMPP only, see `check_api_settings`.
    :param randomness: a `random.Random` with the settings' seed.
    :param taken: called with each message that is taken, and its id.
    :raises ValueError: `settings.states` can't be used; the text says why.
    """

    isLeaf = True
    log = Logger()

    def __init__(
        self,
        preset: str,
        settings: Simulator,
        clock: IReactorTime,
        randomness: Randomness,
        post: Post,
        taken: Callable[[str, ApiMessage], None] = lambda name, message: None,
    ) -> None:
        super().__init__()
        self.counters = ApiCounters()
        check_api_settings(preset, settings)
        self.vendor = vendor_api(preset, settings.seed)
        self._settings = settings
        self._clock = clock
        self._post = post
        self._taken = taken
        # As with the simulated SMPP carrier: one that is started again doesn't give the same ids again.
        self._simulation = Simulation(settings, randomness, (1 << 40) + int(clock.seconds() * 100_000))
        self._due: deque[_Receipt] = deque()
        self._retries: deque[_Receipt] = deque()
        self._timer: IDelayedCall | None = None
        self._tasks = Tasks(self.log)
        self._turns = DeferredSemaphore(_POSTS_AT_ONCE)
        self._stopped = False

    async def stop(self) -> None:
        """Sends no more receipts, and ends those that are being sent. The caller closes the port."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.cancel()

    # Messages

    def render(self, request: Request) -> bytes | int:
        """Takes a request with any method, as twisted.web's resources do."""
        self.counters.requests += 1
        answer = self._answer(request)
        if answer is None:
            self.counters.dropped += 1
            request.loseConnection()
            return NOT_DONE_YET
        request.setResponseCode(answer.status)
        request.setHeader("Content-Type", "application/json")
        return json.dumps(answer.document).encode()

    def _answer(self, request: Request) -> Answer | None:
        """Decides about a request; None: the connection is dropped."""
        try:
            message = self.vendor.read(_call(request))
        except NotTaken as problem:
            self.counters.malformed += 1
            return problem.answer
        now = self._clock.seconds()
        fate = self._simulation.decide(_as_submit_sm(message), now)
        if fate is Fate.DROP:
            return None
        if isinstance(fate, int):
            if fate == c.ESME_RTHROTTLED:
                self.counters.throttled += 1
                return self.vendor.throttled()
            self.counters.rejected += 1
            return self.vendor.refused(message)
        assert not isinstance(fate, Fate)
        name = self.vendor.name(int(fate.response_id))
        self.counters.taken += 1
        self._taken(name, message)
        state = next(word for word, meaning in WORDS.items() if meaning.state == fate.state)
        receipts = [_Receipt(fate.due_at, name, message, state) for _ in range(fate.receipts)]
        if self._settings.intermediate and receipts:
            self._retries.append(_Receipt(now, name, message, "ENROUTE"))
            self.counters.receipts_owed += 1
        self._due.extend(receipts)
        self.counters.receipts_owed += len(receipts)
        self._arm()
        return self.vendor.accepted(name, message)

    # Receipts

    def _arm(self) -> None:
        """Sets the timer for the receipt that is due first."""
        times = [queue[0].due_at for queue in (self._due, self._retries) if queue]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if times and not self._stopped:
            self._timer = self._clock.callLater(max(0.0, min(times) - self._clock.seconds()), self._turn)

    def _turn(self) -> None:
        """Posts all receipts that are due."""
        self._timer = None
        now = self._clock.seconds()
        for queue in (self._retries, self._due):
            while queue and queue[0].due_at <= now:
                self._tasks.start(self._send(queue.popleft()))
        self._arm()

    async def _send(self, receipt: _Receipt) -> None:
        await self._turns.acquire()
        try:
            taken = await self._try(receipt)
        finally:
            self._turns.release()
        if taken:
            self.counters.acked += 1
            return
        self.counters.nacked += 1
        if receipt.posts < MOST_POSTS:
            receipt.due_at = self._clock.seconds() + RETRY_SECONDS
            self._retries.append(receipt)
            self._arm()

    async def _try(self, receipt: _Receipt) -> bool:
        """Posts a receipt once. Returns whether it was taken."""
        receipt.posts += 1
        self.counters.receipts_sent += 1
        signed = self.vendor.receipt(receipt.name, receipt.message, receipt.state, self._clock.seconds())
        try:
            status = await self._post(receipt.message.callback, signed.headers, signed.body)
        except Exception:
            # Nobody is there, or the URL is none. `nacked` counts it.
            return False
        return 200 <= status < 300


def _call(request: Request) -> ApiCall:
    return ApiCall(
        request.path.decode("latin-1"),
        request.getUser().decode("utf-8", "replace"),
        request.getPassword().decode("utf-8", "replace"),
        lambda name: request.getHeader(name) or "",
        b"" if request.content is None else request.content.read(),
    )


def _as_submit_sm(message: ApiMessage) -> MessagePdu:
    """The message as `Simulation` wants it. Only its number and the wish for receipts matter."""
    number = message.to.removeprefix("+").encode("ascii", "replace")
    # No text: with data_coding 8 nobody looks at it.
    return MessagePdu(c.SUBMIT_SM, 0, b"", b"\0\0\0\1\1%b\0" % number, number, 0, 1, 0, 8, b"", 0)


class ReceiptPoster:
    """Posts receipts over HTTP. It follows no redirects."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = _POSTS_AT_ONCE
        self._http = HTTPClient(Agent(reactor, pool=self._pool, connectTimeout=_POST_SECONDS))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Posts a receipt. See `Post`."""
        posting = Deferred.fromCoroutine(self._exchange(url, headers, body))
        return await posting.addTimeout(_POST_SECONDS, self._reactor)

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        written = {name.encode(): [value.encode()] for name, value in headers.items()}
        response = await self._http.post(url, data=body, headers=Headers(written), reactor=self._reactor)
        await content(response)
        return int(response.code)

    async def stop(self) -> None:
        """Closes the connections."""
        await self._pool.closeCachedConnections()


def api_site(api: SimulatedApi) -> Site:
    """The API, ready to listen."""
    site = Site(api, logPath=None)
    site.log = lambda request: None  # type: ignore[method-assign]
    site.noisy = False
    return site
