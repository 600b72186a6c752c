"""The handlers that submit messages, show and cancel a message, and send its notification again.

`message_requests` reads bodies, `message_preparer` makes messages of them, and `message_reports` shows a message.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.history.message_lists import MessageLists
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow
from relay.http.item_keys import ItemKeys, Repeats, answer_of
from relay.http.message_preparer import MessagePreparer
from relay.http.message_reports import accepted, report
from relay.http.message_requests import read_messages
from relay.http.problems import Problem, ProblemDocument
from relay.http.resending import Resending
from relay.http.types import Accepted, MessageRequest
from relay.store.store_values import NO_IDS, AcceptedBefore, Idempotency
from relay.tracing.tracing import RequestTraces, Tracing
from relay.values.decision import Decision
from relay.values.ids import id_octets, parse_id
from relay.values.message_view import MessageView
from relay.values.messages import Message, Submission
from relay.values.notifications import QueueKey
from relay.values.states import DELETED

LONGEST_KEY: Final = 255

#: An array with at least so many items waits for its turn. A shorter one is handled at once.
HEAVY_ITEMS: Final = 20


class Messages:
    """The handlers of `/messages`.

    :param tracing: reads the traces that requests belong to; None: the relay has no traces.
    """

    def __init__(
        self,
        flow: SubmissionFlow,
        accounts: Customers,
        preparer: MessagePreparer,
        clock: IReactorTime,
        lists: MessageLists,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._flow = flow
        self._lists = lists
        self.resending = Resending(flow.store, accounts, clock)
        self._accounts = accounts
        self._preparer = preparer
        self._clock = clock
        self._repeatable: set[tuple[str, str]] = set()
        self._item_keys = ItemKeys(flow, accounts, clock)

    async def submit(self, request: ApiRequest, account: str) -> Reply:
        """`POST /messages`: submits a message, or an array of them."""
        key = request.header(b"Idempotency-Key")
        if key is not None:
            return await self._submit_once(request, account, key)
        items, single = self._read(request, account)
        return await self._submit(account, items, single, traces=self._traces(request, account))

    def _traces(self, request: ApiRequest, account: str) -> RequestTraces | None:
        """The traces that a request belongs to."""
        if self._tracing is None:
            return None
        return self._tracing.read(account, lambda name: request.requestHeaders.getRawHeaders(name, ()))

    def _read(self, request: ApiRequest, account: str) -> tuple[Sequence[MessageRequest | Problem], bool]:
        """Reads the body. An account with a default sender may leave the sender out."""
        return read_messages(request, lenient=bool(self._preparer.default_sender(account)))

    async def _submit(
        self,
        account: str,
        items: Sequence[MessageRequest | Problem],
        single: bool,
        idempotency: Callable[[bytes], Idempotency] | None = None,
        traces: RequestTraces | None = None,
    ) -> Reply:
        """Accepts all items that can be accepted, and answers for each item.

        :param idempotency: makes, of the body of the reply, the record that the store keeps with the request's key.
        :param traces: the traces that the request belongs to.
        """
        began_at = await self._turn(account, items)
        with self._item_keys.taking(account, items) as ids:
            queues: Iterable[QueueKey] = ()
            results: Sequence[Message | Problem | Accepted]
            if ids:
                repeats = await self._item_keys.repeats(account, items, ids)
                queues = repeats.queues
                results, began_at = await self._prepare_with_keys(account, items, ids, repeats, began_at)
            else:
                results, began_at = await self._prepare(account, items, began_at)
            if traces is not None:
                results = [
                    replace(result, trace=traces.of(index)) if type(result) is Message else result
                    for index, result in enumerate(results)
                ]
            messages = [result for result in results if type(result) is Message]
            if not messages:
                return self._accepted(account, results, messages, single, queues)
            reply, request = None, None
            if idempotency is not None:
                reply = self._accepted(account, results, messages, single, queues)
                request = idempotency(reply.body)
            before = await self._accept(messages, began_at, request, frozenset(ids.values()))
            if before is None:
                return reply or self._accepted(account, results, messages, single, queues)
            if request is not None and before.request is not None:
                return _repeated(before.request, request.digest)
            # Another request has brought these messages since they were looked up.
            item_of = {message_id: items[index] for index, message_id in ids.items()}
            known = {view.id: answer_of(account, view, item_of[view.id]) for view in before.messages}
            results = [known.get(result.id, result) if type(result) is Message else result for result in results]
            messages = [message for message in messages if message.id not in known]
            return self._accepted(account, results, messages, single, queues)

    async def _turn(self, account: str, items: Sequence[object]) -> float | None:
        """Waits until a long array may be handled, see `relay.runtime.fair_share`.

        :return: when the work on a long array began; None for a shorter one.
        """
        fair_share, seconds = self._flow.fair_share, self._clock.seconds
        fair_share.heard(account, seconds())
        if len(items) < HEAVY_ITEMS:
            return None
        while (wait_seconds := fair_share.wait_seconds(seconds())) > 0.0:
            # At most one array waits for each connection, and the number of connections is limited.
            await deferLater(self._clock, wait_seconds)
        return seconds()

    async def _accept(
        self,
        messages: Sequence[Message],
        began_at: float | None,
        idempotency: Idempotency | None = None,
        repeatable: Set[bytes] = NO_IDS,
    ) -> AcceptedBefore | None:
        accepting = self._flow.accept(messages, idempotency, repeatable)
        if began_at is None:
            return await accepting
        # This runs until it waits for the disk. Only the work until then has held up other customers.
        durable = Deferred.fromCoroutine(accepting)
        self._flow.fair_share.worked(began_at, self._clock.seconds())
        return await durable

    async def _prepare(
        self,
        account: str,
        items: Sequence[MessageRequest | Submission | Problem],
        began_at: float | None,
        callback: Callable[[str], str] | None = None,
    ) -> tuple[list[Message | Problem], float | None]:
        """Prepares messages, after the decision service has decided about them.

        :param began_at: what `_turn` returned; also the second result, because a wait for decisions ends that turn.
        """
        decisions: Sequence[Decision] = ()
        if self._flow.decisions.active:
            decisions = await self._preparer.decide(account, items)
            began_at = await self._turn(account, items)
        return self._preparer.prepare(account, items, callback, decisions), began_at

    async def _prepare_with_keys(
        self,
        account: str,
        items: Sequence[MessageRequest | Problem],
        ids: Mapping[int, bytes],
        repeats: Repeats,
        began_at: float | None,
    ) -> tuple[list[Message | Problem | Accepted], float | None]:
        """Prepares messages as `_prepare`, gives items with keys their ids, and answers items that are repeats."""
        fresh = [n for n in range(len(items)) if n not in repeats.answers and n not in repeats.doubles]
        results: dict[int, Message | Problem | Accepted] = dict(repeats.answers)
        prepared, began_at = await self._prepare(account, [items[n] for n in fresh], began_at)
        for index, result in zip(fresh, prepared, strict=True):
            if type(result) is Message and index in ids:
                result = replace(result, id=ids[index])
            results[index] = result
        for index, first in repeats.doubles.items():
            other = results[first]
            results[index] = accepted(other) if type(other) is Message else other
        return [results[n] for n in range(len(items))], began_at

    async def take(
        self,
        account: str,
        items: Sequence[MessageRequest | Submission | Problem],
        callback: Callable[[str], str] | None = None,
    ) -> tuple[list[Message | Problem], list[Message]]:
        """Accepts all items that can be accepted. The messages are durable when this returns.

        The caller must write its answer, and then give the messages to `dispatch`.

        :param callback: see `MessagePreparer.prepare`.
        :return: for each item its message or its problem; and the messages alone.
        :raises StoreFull, StoreUnavailable: nothing was accepted.
        """
        results, began_at = await self._prepare(account, items, await self._turn(account, items), callback)
        messages = [result for result in results if type(result) is Message]
        if messages:
            await self._accept(messages, began_at)
        return results, messages

    def dispatch(self, messages: Sequence[Message]) -> None:
        """Gives accepted messages to carriers. Call it only after the answer has been written."""
        self._flow.dispatch(messages)

    async def _submit_once(self, request: ApiRequest, account: str, key: bytes) -> Reply:
        """Submits with an Idempotency-Key. If the same request came before, repeats its answer."""
        if not 0 < len(key) <= LONGEST_KEY or not key.isascii():
            raise Problem(400, f"An Idempotency-Key must have 1 to {LONGEST_KEY} ASCII characters.")
        name = key.decode("ascii")
        if (account, name) in self._repeatable:
            detail = "A request with this Idempotency-Key is being answered now. Try again in a second."
            raise Problem(409, detail, kind="idempotency-in-progress", headers=((b"Retry-After", b"1"),))
        self._repeatable.add((account, name))
        try:
            digest = hashlib.sha256(request.content_type + b"\n" + request.body()).digest()
            earlier = await self._flow.store.repeated(account, name)
            if earlier is not None:
                return _repeated(earlier, digest)
            items, single = self._read(request, account)
            now = self._clock.seconds()
            traces = self._traces(request, account)
            return await self._submit(
                account, items, single, lambda body: Idempotency(account, name, digest, body, now), traces
            )
        finally:
            self._repeatable.discard((account, name))

    def now(self) -> float:
        """The time, in seconds since 1970."""
        return self._clock.seconds()

    def _accepted(
        self,
        account: str,
        results: Sequence[Message | Problem | Accepted],
        messages: Sequence[Message],
        single: bool,
        queues: Iterable[QueueKey] = (),
    ) -> Reply:
        repeated = not messages and any(type(result) is Accepted for result in results)
        if not messages and not repeated:
            # If no item of an array was accepted because there is no room, the answer is the same as for one message.
            for result in results:
                if isinstance(result, Problem) and (single or result.status in (429, 503)):
                    raise result
        if single and messages and messages[0].charge is None:
            body = b'{"id":"%b"}' % id_octets(messages[0].id)
        else:
            answers = [_answer_of(result) for result in results]
            body = msgspec.json.encode(answers[0] if single else answers)
        headers = self._rate_headers(account)
        if repeated:
            headers = (*headers, (b"Idempotent-Replayed", b"true"))
        if queues:
            return Reply(202, body, headers=headers, then=partial(self._answered, messages, queues))
        return Reply(202, body, headers=headers, then=partial(self._flow.dispatch, messages) if messages else None)

    def _answered(self, messages: Sequence[Message], queues: Iterable[QueueKey]) -> None:
        if messages:
            self._flow.dispatch(messages)
        self._flow.wake(queues)

    def _rate_headers(self, account: str) -> tuple[tuple[bytes, bytes], ...]:
        """RateLimit headers (draft-ietf-httpapi-ratelimit-headers) for an account with a limit."""
        allowance = self._accounts.allowance(account, self._clock.seconds())
        if allowance is None:
            return ()
        rate, burst, remaining = allowance
        window = max(1, round(burst / rate))
        reset = max(0, round((burst - remaining) / rate))
        return (
            (b"RateLimit-Policy", b'"messages";q=%d;w=%d' % (burst, window)),
            (b"RateLimit", b'"messages";r=%d;t=%d' % (remaining, reset)),
        )

    async def query(self, request: ApiRequest, account: str) -> Reply:
        """`GET /messages/{id}`."""
        view = await self.find_anywhere(request.path.split(b"/")[2], account)
        return Reply(200, msgspec.json.encode(report(view, self._accounts.get(account).error_codes)))

    async def cancel(self, request: ApiRequest, account: str) -> Reply:
        """`DELETE /messages/{id}`: the message is not to be sent. A second call gives the same answer."""
        segment = request.path.split(b"/")[2]
        view = await self.find(segment, account)
        if view.state != DELETED:
            if not await self._flow.cancel(view.id):
                detail = "A carrier has the message and can't take it back."
                if view.final or view.ending:
                    detail = "The message has ended."
                raise Problem(409, detail, kind="not-cancellable")
            view = await self.find(segment, account)
        return Reply(200, msgspec.json.encode(report(view, self._accounts.get(account).error_codes)))

    async def notify(self, request: ApiRequest, account: str) -> Reply:
        """`POST /messages/{id}/notify`: sends the notification again."""
        view = await self.find_anywhere(request.path.split(b"/")[2], account)
        queues = await self.notify_again(view, account)
        return Reply(202, b'{"id":"%b"}' % id_octets(view.id), then=partial(self._flow.wake, queues))

    async def notify_again(self, view: MessageView, account: str) -> Iterable[QueueKey]:
        """Makes a message's notification owed once more. Returns the queues to wake.

        :raises Problem: the message has not ended, or there is no URL to send it to.
        """
        self.resending.check(view)
        return (await self.resending.again(account, [view])).queues

    async def find(self, segment: bytes, account: str) -> MessageView:
        """The account's message that a path names, if memory has it: something can still be done about it.

        :raises Problem: 404.
        """
        return await self._find(segment, account, self._flow.store.look_up)

    async def find_anywhere(self, segment: bytes, account: str) -> MessageView:
        """The account's message that a path names, in memory or in the history.

        :raises Problem: 404.
        """
        return await self._find(segment, account, lambda message_id: self._lists.look_up(message_id, account))

    async def _find(
        self, segment: bytes, account: str, look_up: Callable[[bytes], Awaitable[MessageView | None]]
    ) -> MessageView:
        message_id = parse_id(segment.decode("latin-1"))
        view = await look_up(message_id) if message_id is not None else None
        if view is None or view.account != account:
            raise Problem(404, "The account has no message with this id, or it ended too long ago.", "id")
        return view


def _repeated(earlier: Idempotency, digest: bytes) -> Reply:
    """The answer of an earlier request with the same Idempotency-Key.

    :raises Problem: 409: the earlier one had another body.
    """
    if earlier.digest != digest:
        detail = "Another body came with this Idempotency-Key in the last 24 hours. Use a new key."
        raise Problem(409, detail, kind="idempotency-conflict")
    return Reply(202, earlier.answer, headers=((b"Idempotent-Replayed", b"true"),))


def _answer_of(result: Message | Problem | Accepted) -> Accepted | ProblemDocument:
    if isinstance(result, Problem):
        return result.document
    return result if isinstance(result, Accepted) else accepted(result)
