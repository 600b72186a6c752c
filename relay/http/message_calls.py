"""The handlers that submit messages, show and cancel a message, and send its notification again."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.config.urls import UrlProblem
from relay.history.message_lists import MessageLists
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Compose, Customers, SubmissionFlow
from relay.http.item_keys import ItemKeys, Repeats
from relay.http.multipart import MULTIPART
from relay.http.problems import Problem, ProblemDocument, invalid_field, of_refusal
from relay.http.types import (
    LONGEST_SCHEDULE_SECONDS,
    MOST_MESSAGES,
    Accepted,
    AttemptReport,
    DefaultSenderRequest,
    MessageReport,
    MessageRequest,
    from_form,
    instant,
    problem_of,
)
from relay.store.api import Idempotency
from relay.text.passthrough import compose_raw
from relay.text.tlv_text import read_tlvs, write_tlvs
from relay.values.ids import id_text, parse_id
from relay.values.messages import (
    ADAPT_ADDRESSES,
    ADAPT_TEXT,
    Message,
    MessageView,
    QueueKey,
    Submission,
    destination_of,
    source_of,
)
from relay.values.states import DELETED, ENROUTE, SCHEDULED, customer_words
from relay.webhooks.body import error_of

FORM: Final = b"application/x-www-form-urlencoded"
#: The media types of a form, which `ApiRequest.form` reads.
FORMS: Final = frozenset({FORM, MULTIPART})

LONGEST_KEY: Final = 255

#: An array with at least so many items waits for its turn. A shorter one is handled at once.
HEAVY_ITEMS: Final = 20


class Messages:
    """The handlers of `/messages`."""

    def __init__(
        self,
        flow: SubmissionFlow,
        accounts: Customers,
        compose: Compose,
        clock: IReactorTime,
        lists: MessageLists | None = None,
    ) -> None:
        self._flow = flow
        self._lists = lists or MessageLists(flow.store)
        self._accounts = accounts
        self._compose = compose
        self._clock = clock
        self._repeatable: set[tuple[str, str]] = set()
        self._item_keys = ItemKeys(flow, accounts, clock)

    async def submit(self, request: ApiRequest, account: str) -> Reply:
        """`POST /messages`: submits a message, or an array of them."""
        key = request.header(b"Idempotency-Key")
        if key is not None:
            return await self._submit_once(request, account, key)
        items, single = _requests(request, self._lenient(account))
        return await self._submit(account, items, single)

    async def _submit(
        self,
        account: str,
        items: Sequence[MessageRequest | Problem],
        single: bool,
        idempotency: Callable[[bytes], Idempotency] | None = None,
    ) -> Reply:
        """Accepts all items that can be accepted, and answers for each item.

        :param idempotency: makes, of the body of the reply, the record that the store keeps with the request's key.
        """
        began_at = await self._turn(account, items)
        with self._item_keys.taking(account, items) as ids:
            queues: Iterable[QueueKey] = ()
            results: Sequence[Message | Problem | Accepted]
            if ids:
                repeats = await self._item_keys.repeats(account, items, ids)
                queues = repeats.queues
                results = self._prepare_with_keys(account, items, ids, repeats)
            else:
                results = self.prepare(account, items)
            messages = [result for result in results if type(result) is Message]
            if messages and idempotency is not None:
                reply = self._accepted(account, results, messages, single, queues)
                await self._accept(messages, began_at, idempotency(reply.body))
                return reply
            if messages:
                await self._accept(messages, began_at)
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
        self, messages: Sequence[Message], began_at: float | None, idempotency: Idempotency | None = None
    ) -> None:
        accepting = self._flow.accept(messages, idempotency)
        if began_at is None:
            await accepting
            return
        # This runs until it waits for the disk. Only the work until then has held up other customers.
        durable = Deferred.fromCoroutine(accepting)
        self._flow.fair_share.worked(began_at, self._clock.seconds())
        await durable

    def _prepare_with_keys(
        self, account: str, items: Sequence[MessageRequest | Problem], ids: Mapping[int, bytes], repeats: Repeats
    ) -> list[Message | Problem | Accepted]:
        """Does what `prepare` does, gives items with keys their ids, and answers items that are repeats."""
        fresh = [n for n in range(len(items)) if n not in repeats.answers and n not in repeats.doubles]
        results: dict[int, Message | Problem | Accepted] = dict(repeats.answers)
        for index, result in zip(fresh, self.prepare(account, [items[n] for n in fresh]), strict=True):
            if type(result) is Message and index in ids:
                result = msgspec.structs.replace(result, id=ids[index])
            results[index] = result
        for index, first in repeats.doubles.items():
            other = results[first]
            results[index] = Accepted(id_text(other.id)) if type(other) is Message else other
        return [results[n] for n in range(len(items))]

    async def take(
        self,
        account: str,
        items: Sequence[MessageRequest | Submission | Problem],
        callback: Callable[[str], str] | None = None,
    ) -> tuple[list[Message | Problem], list[Message]]:
        """Accepts all items that can be accepted. The messages are durable when this returns.

        The caller must write its answer, and then give the messages to `dispatch`.

        :param callback: see `prepare`.
        :return: for each item its message or its problem; and the messages alone.
        :raises StoreFull, StoreUnavailable: nothing was accepted.
        """
        began_at = await self._turn(account, items)
        results = self.prepare(account, items, callback)
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
                if earlier.digest != digest:
                    detail = "Another body came with this Idempotency-Key in the last 24 hours. Use a new key."
                    raise Problem(409, detail, kind="idempotency-conflict")
                return Reply(202, earlier.answer, headers=((b"Idempotent-Replayed", b"true"),))
            items, single = _requests(request, self._lenient(account))
            now = self._clock.seconds()
            return await self._submit(
                account, items, single, lambda body: Idempotency(account, name, digest, body, now)
            )
        finally:
            self._repeatable.discard((account, name))

    def prepare(
        self,
        account: str,
        items: Sequence[MessageRequest | Submission | Problem],
        callback: Callable[[str], str] | None = None,
    ) -> list[Message | Problem]:
        """Makes a message or a problem of each item, in order. The caller must accept and dispatch the messages.

        :param items: of a `Submission` only the notification URL is checked.
        :param callback: changes a message's notification URL after its check, see `relay.webhooks.callbacks`.
        """
        results: list[Message | Problem] = []
        submissions: list[Submission] = []
        for item in items:
            if isinstance(item, Problem):
                results.append(item)
                continue
            try:
                submissions.append(self._submission(account, item, callback))
            except Problem as problem:
                results.append(problem)
            else:
                results.append(_PENDING)
        prepared = iter(self._flow.prepare(account, submissions)) if submissions else iter(())
        for index, result in enumerate(results):
            if result is _PENDING:
                outcome = next(prepared)
                results[index] = outcome if isinstance(outcome, Message) else of_refusal(outcome)
        return results

    def compose(self, to: str, sender: str, text: str, account: str) -> tuple[bytes, tuple[bytes, ...]]:
        """The addresses and the submit_sm bodies of a text.

        :param account: whose routes say in which form the carriers want the text; "": as GSM 03.38 or UCS-2.
        :raises InvalidText: it can't be sent.
        """
        return self._compose(to, sender, text, account=account)

    def now(self) -> float:
        """The time, in seconds since 1970."""
        return self._clock.seconds()

    def default_sender(self, account: str) -> str:
        """The sender of the account's messages that name none; "" if they must name one."""
        return self._accounts.get(account).senders.default

    def _lenient(self, account: str) -> bool:
        """Whether the account's messages may come without a sender."""
        return bool(self.default_sender(account))

    def _submission(
        self, account: str, item: MessageRequest | Submission, callback: Callable[[str], str] | None
    ) -> Submission:
        url = item.notification_url
        if url is not None:
            try:
                self._accounts.check_url(account, url)
            except UrlProblem as problem:
                raise invalid_field("notification_url", str(problem)) from None
            if callback is not None:
                url = callback(url)
        if isinstance(item, Submission):
            return item if url is item.notification_url else msgspec.structs.replace(item, notification_url=url)
        try:
            source = item.from_ or self.default_sender(account)
            adapt = ADAPT_TEXT
            tlvs = _tlvs(item)
            if item.data_coding is None and item.payload is None and item.udh is None:
                if item.text is UNSET:
                    raise Problem(422, "The field 'text' is missing.", "text", kind="missing-field")
                flash = item.class_ is not None
                addresses, parts = self._compose(
                    item.to, source, item.text or "", account=account, flash=flash, tlvs=tlvs
                )
            else:
                addresses, parts = _ready_made(item, source, tlvs)
                adapt = ADAPT_ADDRESSES
        except ValueError as problem:
            raise invalid_field(getattr(problem, "field", ""), getattr(problem, "reason", str(problem))) from None
        return Submission(
            addresses,
            parts,
            0,
            "http",
            item.validity_seconds,
            item.reference,
            url,
            self._scheduled_seconds(item),
            item.priority or 0,
            adapt=adapt,
        )

    def _scheduled_seconds(self, item: MessageRequest) -> float:
        """How long the message is to wait; 0.0: it is sent at once.

        :raises Problem: too long.
        """
        if item.send_at is None:
            return 0.0
        seconds = item.send_at.timestamp() - self._clock.seconds()
        if seconds > LONGEST_SCHEDULE_SECONDS:
            raise invalid_field("send_at", "At most 30 days ahead.")
        return max(0.0, seconds)

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
        if single and messages:
            body = b'{"id":"%b"}' % id_text(messages[0].id).encode()
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
                if view.final:
                    detail = "The message has ended."
                raise Problem(409, detail, kind="not-cancellable")
            view = await self.find(segment, account)
        return Reply(200, msgspec.json.encode(report(view, self._accounts.get(account).error_codes)))

    async def notify(self, request: ApiRequest, account: str) -> Reply:
        """`POST /messages/{id}/notify`: sends the notification again."""
        view = await self.find(request.path.split(b"/")[2], account)
        queues = await self.notify_again(view, account)
        return Reply(202, b'{"id":"%b"}' % id_text(view.id).encode(), then=partial(self._flow.wake, queues))

    async def notify_again(self, view: MessageView, account: str) -> Iterable[QueueKey]:
        """Makes a message's notification owed once more. Returns the queues to wake.

        :raises Problem: the message has not ended, or there is no URL to send it to.
        """
        if not view.final:
            raise Problem(409, "The message has not ended yet. Its notification will come.", kind="not-final")
        if not (view.notification_url or self._accounts.notification_url(account)):
            detail = "Set one with PUT /account/notification-url, or poll GET /notifications."
            raise Problem(409, detail, kind="no-notification-url")
        return (await self._flow.store.notify_again(account, [view.id], self._clock.seconds())).queues

    async def find(self, segment: bytes, account: str) -> MessageView:
        """The account's message that a path names, if memory has it: something can still be done about it.

        :raises Problem: 404.
        """
        return await self._find(segment, account, self._flow.store.look_up)

    async def find_anywhere(self, segment: bytes, account: str) -> MessageView:
        """The account's message that a path names, in memory or in the history.

        :raises Problem: 404.
        """
        return await self._find(segment, account, self._lists.look_up)

    async def _find(
        self, segment: bytes, account: str, look_up: Callable[[bytes], Awaitable[MessageView | None]]
    ) -> MessageView:
        message_id = parse_id(segment.decode("latin-1"))
        view = await look_up(message_id) if message_id is not None else None
        if view is None or view.account != account:
            raise Problem(404, "The account has no message with this id, or it ended too long ago.", "id")
        return view


def _tlvs(item: MessageRequest) -> bytes:
    if not item.tlvs:
        return b""
    try:
        return write_tlvs(read_tlvs(item.tlvs))
    except ValueError as problem:
        said = str(problem)
        raise invalid_field("tlvs", f"{said[0].upper()}{said[1:]}.") from None


def _ready_made(item: MessageRequest, source: str, tlvs: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Makes the one part of an item that has octets instead of a text.

    :raises Problem, ValueError: the octets can't be sent.
    """
    if item.text:
        raise invalid_field("text", "Give either a text, or data_coding and payload without a text.")
    if item.class_ is not None:
        raise invalid_field("class", "The data_coding of ready-made octets says their class; leave class out.")
    if item.data_coding is None:
        raise invalid_field("data_coding", "Give a data_coding together with udh and payload.")
    udh, payload = bytes.fromhex(item.udh or ""), bytes.fromhex(item.payload or "")
    return compose_raw(source, item.to, data_coding=item.data_coding, udh=udh, payload=payload, tlvs=tlvs)


def _answer_of(result: Message | Problem | Accepted) -> Accepted | ProblemDocument:
    if isinstance(result, Problem):
        return result.document
    return result if isinstance(result, Accepted) else Accepted(id_text(result.id))


#: The place-holder for an item until the message flow has accepted or refused it.
_PENDING: Final[Any] = Problem(500, "")

#: The type of a request, by whether messages may come without a sender.
_KINDS: Final[dict[bool, type[MessageRequest]]] = {False: MessageRequest, True: DefaultSenderRequest}
_decode_one_or_many: Final = {
    lenient: msgspec.json.Decoder(kind | list[kind]).decode  # type: ignore[valid-type]
    for lenient, kind in _KINDS.items()
}
_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one: Final = {lenient: msgspec.json.Decoder(kind).decode for lenient, kind in _KINDS.items()}


def _requests(request: ApiRequest, lenient: bool) -> tuple[Sequence[MessageRequest | Problem], bool]:
    """Reads the body. Returns the items, and whether the body is a single message.

    :param lenient: messages may come without a sender.
    :raises Problem: the body can't be read. If only one item of an array is wrong, its place has the problem.
    """
    if request.content_type in FORMS:
        return [from_form(request.form(), _KINDS[lenient])], True
    raw = request.body()
    try:
        decoded = _decode_one_or_many[lenient](raw)
    except msgspec.ValidationError as error:
        if raw.lstrip()[:1] != b"[":
            raise problem_of(error) from None
        return _checked(_requests_one_by_one(raw, lenient)), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise not_json() from None
    if type(decoded) is list:
        return _checked(decoded), False
    return [decoded], True


def _checked(items: Sequence[MessageRequest | Problem]) -> Sequence[MessageRequest | Problem]:
    if not 1 <= len(items) <= MOST_MESSAGES:
        raise Problem(422, f"An array must have 1 to {MOST_MESSAGES} messages; this one has {len(items)}.")
    return items


def _requests_one_by_one(raw: bytes, lenient: bool) -> list[MessageRequest | Problem]:
    items: list[MessageRequest | Problem] = []
    try:
        raw_items = _decode_raw(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise not_json() from None
    for item in raw_items:
        try:
            items.append(_decode_one[lenient](item))
        except msgspec.ValidationError as error:
            items.append(problem_of(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            items.append(not_json())
    return items


def not_json() -> Problem:
    """Makes the problem with a body that isn't JSON: 400."""
    return Problem(400, "The body must be JSON, or a form with the Content-Type of a form.", kind="not-json")


def report(view: MessageView, error_codes: str) -> MessageReport:
    """Makes the report about a message that its customer sees."""
    carrier_error = view.carrier_error.encode("latin-1", "replace")
    words = customer_words(ENROUTE if view.state == SCHEDULED else view.state, carrier_error)
    if view.waits_for_its_time:
        words = words._replace(status="SCHEDULED")
    return MessageReport(
        id=id_text(view.id),
        to=destination_of(view.addresses).decode("latin-1"),
        from_=source_of(view.addresses).decode("latin-1"),
        reference=view.reference,
        status=words.status,
        send_status=words.send_status,
        error=error_of(words, carrier_error, error_codes),
        carrier=view.carrier,
        carrier_error=view.carrier_error,
        parts=len(view.parts),
        submitted_at=instant(view.accepted_at),
        done_at=None if view.told_done_at is None else instant(view.told_done_at),
        send_at=instant(view.scheduled_at) if view.scheduled_at else UNSET,
        learnt_at=instant(view.done_at) if view.carrier_done_at and view.done_at is not None else UNSET,
        attempts=[
            AttemptReport(a.channel, a.attempt, instant(a.at), a.answer, round(a.seconds, 3), a.status)
            for a in view.attempts
        ],
    )
