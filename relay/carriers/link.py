"""One carrier: its queue, its binds, and what its answers mean.

Theory of operation: parts wait in one queue for all binds of the carrier. `_pump` fills the windows from it as far as
windows, rate and pauses allow, and runs whenever one of these may have changed. Every answer is classed once
(`relay.carriers.submit_results`): taken, later (the whole link pauses), or refused (the next carrier, or the end). A
part is in exactly one place at a time: this queue, a session's window, or the flow's hands. What was written and not
answered when a session ended is in doubt, and `in_doubt` of the configuration says what happens to it. Where that is to
end, the journal is told before the carrier is (`_mark_and_write`), so that the same holds after the death of this
process.

The queue itself is a `PartQueue`, its sessions are `CarrierSessions`, what the carrier is asked beside messages is
`CarrierQueries`, and what it sends of itself goes to its `ReceiptIntake`.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from relay.carriers.binds import smpp_binds
from relay.carriers.bound_sessions import CarrierSessions
from relay.carriers.part_queue import PartQueue
from relay.carriers.queries import CarrierQueries
from relay.carriers.receipt_intake import MobileOriginated, ReceiptIntake
from relay.carriers.submit_results import AnswerClass, class_of
from relay.config import model
from relay.receipts.dialects import CarrierIds
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Drain, Tasks
from relay.smpp.client import BindRequest, SmppClientProtocol
from relay.store.api import StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.counters import CarrierCounters
from relay.values.messages import AtCarrier, Ending, PartsReceipted, Receipt, Submitted
from relay.values.pdus import Answered, LateAnswer, MessagePdu
from relay.values.rate import TokenBucket
from relay.values.states import EXPIRED, REJECTED, UNKNOWN

#: How much of a rate may be saved up: enough that a timer that fires late costs nothing.
_RATE_BURST_SECONDS = 0.25

#: While the journal can't be written, marks are tried again after this; and bodies, while it can't be read.
_JOURNAL_AGAIN_SECONDS = 1.0

#: What is to be written to a session.
Write = tuple[SmppClientProtocol, list[tuple[bytes, object]]]


class CarrierLink:
    """See the module's text. Only the reactor thread may call.

    :param endpoint: where the carrier is.
    :param fraction: random numbers from 0 to 1, for the jitter of reconnects.
    :param mobile_originated: gets an account's name and a deliver_sm that is no receipt; None: nobody can take it.
    :param make_binds: makes what stands for the binds of a carrier that is not spoken to over SMPP: each is its own
        session. `endpoint` is None then.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        settings: model.Carrier,
        flow: MessageFlow,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        *,
        queue_bytes: int,
        pdu_bytes: int,
        fraction: Callable[[], float],
        mobile_originated: MobileOriginated = lambda account, pdu: None,
        make_binds: "Callable[[CarrierLink], list[Any]] | None" = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._flow = flow
        self._clock = clock
        self._tasks = Tasks(self.log)
        self.intake = ReceiptIntake(name, settings, flow, clock, mobile_originated)
        self._response_key = CarrierIds(settings.dialect).response_key
        self._queries = CarrierQueries(name, settings, flow, self.intake, clock)
        self._parts_receipted = PartsReceipted[settings.parts_receipted.upper()].value
        self._receipt_seconds = settings.receipt_hours * 3600.0
        self._queue = PartQueue(queue_bytes, flow.store, self, self._tasks, flow.cancelled)
        self._unreadable_journal = ""
        self._rate = TokenBucket(settings.rate, max(2.0, settings.rate * _RATE_BURST_SECONDS), clock.seconds())
        self.paused_until = 0.0
        self._throttled_in_a_row = 0
        self._wake_up: IDelayedCall | None = None
        self._next_sender = 0
        #: An operator's pause: the binds stay, nothing is sent.
        self.held = False
        #: Nothing new is sent any more.
        self._stopping = False
        #: Where parts go once this link has retired.
        self._returned: Callable[[Sequence[Outgoing]], None] | None = None
        self._drain = Drain(lambda: self.in_flight, clock)
        #: While parts are being marked in the journal before they are written (`in_doubt: end`).
        self._marking = False
        self._being_marked: list[Outgoing] = []
        self.counters = CarrierCounters()
        if make_binds is not None:
            self._binds: Sequence[Any] = make_binds(self)
        else:
            assert endpoint is not None
            self._binds = smpp_binds(settings, endpoint, self, clock, pdu_bytes=pdu_bytes, fraction=fraction)
        self._sessions = CarrierSessions(name, self._binds, self.counters)
        #: Looked at for every batch.
        self._senders = self._sessions.senders

    # What the flow sees

    @property
    def up(self) -> bool:
        """Whether a submit_sm could be sent now, were there room for it."""
        return bool(self._senders) and not self.held and not self._stopping

    @property
    def room(self) -> int:
        """How many more parts the queue takes."""
        return self.settings.queue - len(self._queue)

    def offer(self, parts: Sequence[Outgoing]) -> None:
        """Queues parts and sends what the windows take."""
        self._queue.put(parts)
        self._pump()

    def take_back(self) -> Sequence[Outgoing]:
        """Gives up the queued parts that another carrier may take as well."""
        return self._queue.take_shared()

    def is_sending(self, message_id: bytes) -> bool:
        """Whether a part of the message has been written, or is about to be, and has no answer."""
        return any(part.id == message_id for part in self._being_marked) or any(
            type(token) is Outgoing and token.id == message_id
            for protocol in self._senders
            for token in protocol.sending()
        )

    @property
    def busy(self) -> bool:
        """Whether any part waits here, or has been written and has no answer."""
        return bool(self._queue) or bool(self._being_marked) or self.in_flight > 0

    @property
    def queries(self) -> int | None:
        """How many overdue parts the carrier can be asked about now; None where it is never asked (`query_sm`)."""
        if not self.settings.query_sm:
            return None
        return self._queries.room if self._may_ask else 0

    def ask(self, parts: Sequence[AtCarrier]) -> None:
        """Asks query_sm about overdue parts; what comes of it goes to the flow."""
        self._queries.ask(parts)
        self._pump()

    @property
    def can_cancel(self) -> bool:
        """Whether the carrier can be asked to cancel what it has taken (`cancel_sm`), now."""
        return self.settings.cancel_sm and self._may_ask and self._queries.cancels_room > 0

    @property
    def can_schedule(self) -> bool:
        """Whether the carrier keeps messages until their schedule_delivery_time (`scheduled_delivery: pass`)."""
        # Over HTTP nothing carries the time.
        return self.settings.scheduled_delivery == "pass" and self.settings.kind != "http"

    def cancel(self, part: AtCarrier) -> "Deferred[bool]":
        """Asks cancel_sm; false: the carrier refused, or gave no answer."""
        done = self._queries.cancel(part)
        self._pump()
        return done

    @property
    def query_counts(self) -> Mapping[tuple[str, str], int]:
        """What came of questions since the start, by command and result."""
        return self._queries.counts

    # Life

    def start(self) -> None:
        """Begins to bind; returns at once. Receipts and messages may flow from now on."""
        for bind in self._binds:
            bind.start()

    async def stop(self, limit_seconds: float) -> None:
        """Sends nothing more, waits up to `limit_seconds` for answers in flight, unbinds and closes."""
        self._stopping = True
        self._sessions.close()
        self._cancel_wake_up()
        self._queries.drop()
        await self._drain.wait(limit_seconds)
        await self._tasks.wait()
        await self._queries.wait()
        await self.intake.wait()
        for protocol in self._sessions.bound:
            protocol.unbind()
        await DeferredList([bind.stop() for bind in self._binds], consumeErrors=True)

    def retire(self, returned: Callable[[Sequence[Outgoing]], None]) -> None:
        """Sends nothing more, because another link or other carriers take over. The binds stay, and receipts are taken,
        until `stop`, which is to be called some time after it.

        :param returned: gets what is queued, at once, and later what comes back unanswered or to be tried again.
        """
        self._stopping = True
        self._returned = returned
        queued = self._queue.clear()
        self._queries.drop()
        if queued:
            returned(queued)

    def hold(self, held: bool) -> None:
        """An operator's pause and resume: while held nothing is sent; what comes in is handled as ever."""
        self.held = held
        if held:
            self._queries.drop()
        self._flow.link_changed()
        self._pump()

    def pause(self, seconds: float) -> None:
        """Sends nothing for so long, because the carrier said when to come again."""
        self.paused_until = max(self.paused_until, self._clock.seconds() + seconds)

    # Figures

    @property
    def in_flight(self) -> int:
        """submit_sm that wait for their response."""
        return sum(protocol.session.outstanding for protocol in self._senders)

    @property
    def queued(self) -> int:
        """Parts that wait in the queue."""
        return len(self._queue)

    @property
    def bound_count(self) -> int:
        """Sessions that are bound now."""
        return len(self._sessions.bound)

    @property
    def wanted_count(self) -> int:
        """Sessions that the configuration asks for."""
        return self._sessions.wanted_count

    @property
    def last_error(self) -> str:
        """What went wrong last, in words."""
        return self.counters.last_error

    # What the connections report (CarrierBind)

    def bound(self, protocol: SmppClientProtocol) -> None:
        self._sessions.add(protocol)
        self._flow.link_changed()
        self._pump()

    def connect_failed(self, request: BindRequest, reason: str) -> None:
        self._sessions.unreachable(reason)

    def bind_refused(self, protocol: SmppClientProtocol, command_status: int) -> None:
        self._sessions.refused(protocol, command_status)

    def read_again(self, kept: Receipt) -> Receipt | None:
        """What a receipt of this carrier that the store keeps says with the dialect of now; None: nothing."""
        return self.intake.read_again(kept)

    def messages(self, protocol: SmppClientProtocol, pdus: list[MessagePdu]) -> None:
        self.intake.take(protocol, pdus)

    def lost(self, protocol: SmppClientProtocol, tokens: Sequence[object], reason: str) -> None:
        was_bound = self._sessions.remove(protocol, reason)
        self._doubt(tokens)
        self._queries.lost(tokens)
        if not self._senders:
            self._queries.drop()
        if was_bound:
            self._flow.link_changed()
        # What it leaves unanswered may go over another of the binds.
        self._pump()
        self._drain.check()

    def answered(self, protocol: SmppClientProtocol, answers: list[Answered]) -> None:
        now = self._clock.seconds()
        due_at_after_expiry = self._receipt_seconds
        response_key = self._response_key
        parts_receipted = self._parts_receipted
        name = self.name
        taken: list[Submitted] = []
        later: list[Outgoing] = []
        others: list[Answered] = []
        for answer in answers:
            part = answer.token
            if type(part) is not Outgoing:
                others.append(answer)
                continue
            if answer.command_status == 0:
                part.done = True
                taken.append(
                    Submitted(
                        part.id,
                        part.part,
                        name,
                        response_key(answer.message_id),
                        now,
                        part.expires_at + due_at_after_expiry,
                        parts_receipted,
                    )
                )
            elif class_of(answer.command_status) is AnswerClass.LATER:
                self.counters.last_error = c.status_name(answer.command_status)
                later.append(part)
            else:
                self._refused(part, answer.command_status, now)
        first, last = (answers[0].token, answers[-1].token) if answers else (None, None)
        if type(first) is Outgoing and type(last) is Outgoing:
            self.counters.response_seconds.observe_ends(now - first.sent_at, now - last.sent_at, len(answers))
        if taken:
            self.counters.taken += len(taken)
            self._throttled_in_a_row = 0
            # Nobody waits for this to be durable: if we stop here, then the part is in doubt after the start.
            self._tasks.start(self._flow.submitted(self._with_given_ids(taken, answers)))
        if later:
            self._try_later(later, now)
        if others and self._queries.answered(others):
            self._throttled(now)
        self._pump()
        self._drain.check()

    def late_answers(self, protocol: SmppClientProtocol, answers: list[LateAnswer]) -> None:
        # Only a late "taken" says something that is still worth knowing; the part itself is being sent again unless
        # it is still queued, where `done` keeps that from happening.
        self.answered(
            protocol,
            [
                Answered(a.token, c.SUBMIT_SM_RESP, 0, a.message_id)
                for a in answers
                if a.command_status == 0 and isinstance(a.token, Outgoing) and not a.token.done
            ],
        )

    def unanswered(self, protocol: SmppClientProtocol, tokens: list[object]) -> None:
        self._doubt(tokens)
        self._queries.unanswered(tokens)
        self._pump()
        self._drain.check()

    def abandoned(self, protocol: SmppClientProtocol, tokens: list[object]) -> None:
        # As `lost`, which comes when the connection is closed.
        self._doubt(tokens)
        self._queries.lost(tokens)
        self._pump()
        self._drain.check()

    # What answers lead to

    def _with_given_ids(self, taken: list[Submitted], answers: list[Answered]) -> list[Submitted]:
        """The same, with the ids as the carrier wrote them where it may have to be told them."""
        if not self.settings.query_sm and not self.settings.cancel_sm:
            return taken
        given = [a.message_id for a in answers if a.command_status == 0 and type(a.token) is Outgoing]
        return self._queries.named(taken, given)

    def _try_later(self, parts: list[Outgoing], now: float) -> None:
        self.counters.throttled += len(parts)
        self._throttled(now)
        self._unmark(parts)
        self._enqueue_first(parts)

    def _throttled(self, now: float) -> None:
        # Answers of one window come together and mean one thing; the pause grows only with fresh refusals after it.
        if now >= self.paused_until:
            self._throttled_in_a_row += 1
            self.counters.pauses += 1
            pause_seconds = self.settings.throttle_seconds * min(2 ** (self._throttled_in_a_row - 1), 32)
            self.paused_until = now + pause_seconds
            self.log.info("carrier_throttled: {carrier} said {status}; pausing for {pause_seconds} s",
                          carrier=self.name, status=self.counters.last_error, pause_seconds=pause_seconds)  # fmt: skip

    def _refused(self, part: Outgoing, command_status: int, now: float) -> None:
        self.counters.refused += 1
        self.counters.last_error = c.status_name(command_status)
        elsewhere = tuple(name for name in part.carriers if name != self.name)
        if elsewhere and class_of(command_status) is AnswerClass.ELSEWHERE:
            part.carriers = elsewhere
            self._unmark([part])
            self._flow.send([part])
            return
        error = c.status_name(command_status).encode()
        self._end([Ending(part.id, REJECTED, now, error, self.name)])

    def _doubt(self, tokens: Iterable[object]) -> None:
        parts = [token for token in tokens if type(token) is Outgoing and not token.done]
        if not parts:
            return
        self.counters.in_doubt += len(parts)
        if self.settings.in_doubt == "resend":
            self._enqueue_first(parts)
        else:
            now = self._clock.seconds()
            self._end([Ending(part.id, UNKNOWN, now, b"", self.name) for part in parts])

    def _end(self, endings: list[Ending]) -> None:
        self._flow.end_later(endings)

    # The queue

    def bodies_fetched(self) -> None:
        self._unreadable_journal = ""
        self._pump()

    def bodies_unreadable(self, reason: str) -> None:
        if reason != self._unreadable_journal:
            self._unreadable_journal = reason
            self.log.error("texts_unreadable: texts that wait for {carrier}: {reason}; tried again every second",
                           carrier=self.name, reason=reason)  # fmt: skip
        self._wake_up_in(_JOURNAL_AGAIN_SECONDS)

    def _enqueue_first(self, parts: list[Outgoing]) -> None:
        """Puts parts back at the head, in their order; they count although the limit may be passed by a window."""
        if self._returned is not None:
            self._returned(parts)
            return
        self._queue.put_first(parts)

    @property
    def _may_ask(self) -> bool:
        return self.up and self._clock.seconds() >= self.paused_until

    def _send_questions(self) -> None:
        """As far as windows, rate and pauses allow; they go before messages, which they are few beside."""
        now = self._clock.seconds()
        if not self.up:
            return
        if now < self.paused_until:
            self._wake_up_in(self.paused_until - now)
            return
        for protocol in self._senders:
            room = min(protocol.session.room, self._queries.waiting)
            allowed = self._rate.take_up_to(room, now) if room > 0 else 0
            if room > 0 and allowed <= 0:
                self._wake_up_in(self._rate.seconds_until_one(now))
                return
            for command_id, batch in self._queries.next(allowed):
                protocol.send(command_id, batch)

    def _pump(self) -> None:
        if self._queries.waiting:
            self._send_questions()
        queue = self._queue
        if not queue or not self._senders or self.held or self._stopping or self._marking:
            return
        now = self._clock.seconds()
        if now < self.paused_until:
            self._wake_up_in(self.paused_until - now)
            return
        senders = self._senders
        count = len(senders)
        # Each pump begins with the next session, so that a short queue is spread over all of them.
        first = self._next_sender = (self._next_sender + 1) % count
        marks_first = self.settings.in_doubt == "end"
        to_mark: list[Write] = []
        for index in range(count):
            protocol = senders[(first + index) % count]
            room = min(protocol.session.room, len(queue))
            if room <= 0:
                continue
            allowed = self._rate.take_up_to(room, now)
            if allowed <= 0:
                self._wake_up_in(self._rate.seconds_until_one(now))
                break
            batch = self._next_batch(allowed, now)
            self._rate.give_back(allowed - len(batch))
            if batch and marks_first:
                to_mark.append((protocol, batch))
            elif batch:
                self.counters.submitted += len(batch)
                protocol.send(c.SUBMIT_SM, batch)
            if not queue:
                break
        if to_mark:
            self._tasks.start(self._mark_and_write(to_mark))

    async def _mark_and_write(self, writes: list[Write]) -> None:
        """Has the journal know, before the carrier does, what is being written to it. One batch at a time."""
        parts = [part for _, batch in writes for _, part in batch if type(part) is Outgoing]
        self._marking = True
        self._being_marked = parts
        try:
            await self._flow.store.sending([(part.id, part.part) for part in parts], self.name)
        except StoreUnavailable:
            self._enqueue_first(parts)
            self._wake_up_in(_JOURNAL_AGAIN_SECONDS)
            return
        finally:
            self._marking = False
            self._being_marked = []
        unwritten: list[Outgoing] = []
        for protocol, batch in writes:
            if protocol in self._senders and not self._stopping:
                self.counters.submitted += len(batch)
                protocol.send(c.SUBMIT_SM, batch)
            else:
                unwritten += [part for _, part in batch if type(part) is Outgoing]
        if unwritten:
            self._unmark(unwritten)
            self._enqueue_first(unwritten)
        self._pump()

    def _unmark(self, parts: list[Outgoing]) -> None:
        """The carrier has not got these, for certain: should we die now, they may be sent again."""
        if self.settings.in_doubt == "end":
            self._tasks.start(self._take_marks_away([(part.id, part.part) for part in parts]))

    async def _take_marks_away(self, parts: list[tuple[bytes, int]]) -> None:
        # With a broken disk the store keeps it and writes it later.
        with contextlib.suppress(StoreUnavailable):
            await self._flow.store.sending(parts, "")

    def _next_batch(self, count: int, now: float) -> list[tuple[bytes, object]]:
        """Takes up to `count` parts off the queue's head that can be sent now."""
        batch, expired = self._queue.take(count, now)
        if expired:
            self.counters.expired += len(expired)
            self._end([Ending(part.id, EXPIRED, now, b"", self.name) for part in expired])
        return batch

    # Time

    def _wake_up_in(self, seconds: float) -> None:
        if self._wake_up is None:
            self._wake_up = self._clock.callLater(max(0.001, seconds), self._woken)

    def _woken(self) -> None:
        self._wake_up = None
        self._pump()

    def _cancel_wake_up(self) -> None:
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None
