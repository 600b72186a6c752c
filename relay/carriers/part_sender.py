"""Sends parts to one carrier. It has the carrier's queue, and decides how many parts may be sent when.

Theory of operation: parts wait in one queue for all sessions of the carrier. `pump` moves parts from the queue to the
sessions' windows, as far as windows, rate and pauses allow. It is called whenever one of these may have changed.
Queries to the carrier go before messages; there are only few of them.

With `in_doubt: end`, parts are marked in the journal before they are written to the carrier (`_mark_and_write`). So
after a kill, the next start knows which parts are in doubt.
"""

import contextlib
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from relay.carriers.context import CarrierContext
from relay.carriers.link_state import LinkStateMachine
from relay.carriers.part_queue import PartQueue
from relay.carriers.queries import CarrierQueries
from relay.carriers.sending_speed import SendingSpeed
from relay.carriers.session_api import CarrierSession, Request
from relay.routing.flow_api import Outgoing
from relay.smpp.message_codec import with_source
from relay.store.store_values import StoreUnavailable
from relay.text.carrier_form import CarrierForm
from relay.text.compose import source_address
from relay.values import smpp_constants as c
from relay.values.messages import Ending
from relay.values.rate import TokenBucket
from relay.values.states import EXPIRED

#: How many seconds of a rate may be saved up. So no time is lost if a timer fires late.
_RATE_BURST_SECONDS = 0.25
#: The pause before marks are written again while the journal can't be written, and before bodies are read again.
_JOURNAL_AGAIN_SECONDS = 1.0
#: How often a relay of a cluster looks whether it may send again.
_GATE_AGAIN_SECONDS = 0.2
#: Each refusal after a pause doubles the next pause, up to so many times the first pause.
_LONGEST_PAUSE_FACTOR = 32

#: Requests that are about to be written, and their session.
Write = tuple[CarrierSession, list[Request]]


class PartSender:
    """Sends the parts that wait for one carrier. It belongs to one `CarrierLink`, and only its pieces call it.

    :param sessions: the bound sessions that take messages. It is always the same list.
    :param queries: the queries, which are sent before messages.
    :param form: of messages that came over HTTP.
    """

    log = Logger()

    def __init__(
        self,
        carrier: CarrierContext,
        state: LinkStateMachine,
        sessions: list[CarrierSession],
        queries: CarrierQueries,
        form: CarrierForm,
        *,
        queue_bytes: int,
    ) -> None:
        settings = carrier.settings
        self._form = None if form.changes_nothing else form
        self._carrier = carrier
        self._clock = carrier.clock
        self._state = state
        self._sessions = sessions
        self._queries = queries
        flow = carrier.flow
        self._gate = flow.gate
        self.queue = PartQueue(queue_bytes, flow.store, self, carrier.tasks, flow.cancelled, flow.share_of)
        self._speed = SendingSpeed(settings.rate)
        self._rate = TokenBucket(settings.rate, max(2.0, settings.rate * _RATE_BURST_SECONDS), self._clock.seconds())
        #: Until when nothing is sent, because the carrier asked for a pause.
        self.paused_until = 0.0
        self._throttled_in_a_row = 0
        self._wake_up: IDelayedCall | None = None
        self._next_session = 0
        #: The address of `replace_sender`; b"": senders stay.
        self._new_source = source_address(settings.replace_sender) if settings.replace_sender else b""
        #: Whether parts are marked in the journal before they are written to the carrier.
        self._marks_first = settings.in_doubt == "end"
        self._marking = False
        #: Whether parts are being taken from the queue, and whether bodies were fetched meanwhile.
        self._taking = self._fetched_at_once = False
        self._being_marked: list[Outgoing] = []
        self._unreadable_journal = ""
        #: Gets the parts after the link has retired.
        self._returned: Callable[[Sequence[Outgoing]], None] | None = None

    # Parts in and out

    @property
    def busy(self) -> bool:
        """Whether any part waits here."""
        return bool(self.queue) or bool(self._being_marked)

    def put(self, parts: Sequence[Outgoing]) -> None:
        """Queues parts; `pump` sends them."""
        self.queue.put(parts)

    def room_within(self, seconds: float, account: str) -> int:
        """An estimate of how many more parts of an account could be sent within so many seconds."""
        now = self._clock.seconds()
        taken = self._carrier.counters.taken
        speed = self._speed.at(now, taken, busy=bool(self.queue))
        if speed is None:
            # Nothing is known against it.
            return len(self.queue) + self._carrier.settings.queue
        left_seconds = seconds - max(0.0, self.paused_until - now)
        return max(0, int(left_seconds * speed - self.queue.ahead_of(account)))

    def put_back(self, parts: Sequence[Outgoing]) -> None:
        """Puts parts back at the queue's head, in their order. The queue may exceed its limit by a window."""
        if self._returned is not None:
            self._returned(parts)
        else:
            self.queue.put_first(parts)

    def is_marking(self, message_id: bytes) -> bool:
        """Whether a part of the message is being marked in the journal, and will be written after that."""
        return any(part.id == message_id for part in self._being_marked)

    def retire(self, returned: Callable[[Sequence[Outgoing]], None]) -> None:
        """Gives the queued parts to `returned` at once, and later those that come back."""
        self._returned = returned
        queued = self.queue.clear()
        if queued:
            returned(queued)

    # Pauses

    def pause(self, seconds: float) -> None:
        """Sends nothing for so many seconds."""
        self.paused_until = max(self.paused_until, self._clock.seconds() + seconds)

    def throttled(self, now: float) -> None:
        """Sends nothing for a while, because the carrier can't take more now."""
        # All refusals of one window come together and count once. The pause grows only with refusals after its end.
        if now >= self.paused_until:
            carrier = self._carrier
            factor = min(2**self._throttled_in_a_row, _LONGEST_PAUSE_FACTOR)
            self._throttled_in_a_row = min(self._throttled_in_a_row + 1, _LONGEST_PAUSE_FACTOR)
            carrier.counters.pauses += 1
            pause_seconds = carrier.settings.throttle_seconds * factor
            self.paused_until = now + pause_seconds
            self.log.info("carrier_throttled: {carrier} answered {status}; the relay pauses for {pause_seconds} s",
                          carrier=carrier.name, status=carrier.counters.last_error,
                          pause_seconds=pause_seconds)  # fmt: skip

    def throttled_no_more(self) -> None:
        """Tells that the carrier takes messages. The next pause will be short again."""
        self._throttled_in_a_row = 0

    @property
    def may_ask(self) -> bool:
        """Whether a query could be sent now, if a window had room."""
        return self._state.up and self._clock.seconds() >= self.paused_until

    def stop(self) -> None:
        """Stops the timers for good."""
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None

    # Sending

    def pump(self) -> None:
        """Sends as many parts as windows, rate and pauses allow. It may be called at any time."""
        if not self._gate.open:
            # Another relay of the cluster may have these parts now.
            self._wake_up_in(_GATE_AGAIN_SECONDS)
            return
        if self._queries.waiting:
            self._send_questions()
        queue = self.queue
        if not queue or not self._state.up or self._marking:
            return
        now = self._clock.seconds()
        if now < self.paused_until:
            self._wake_up_in(self.paused_until - now)
            return
        sessions = self._sessions
        count = len(sessions)
        # Each call begins with the next session, so that all sessions are used, even if the queue is short.
        first = self._next_session = (self._next_session + 1) % count
        to_mark: list[Write] = []
        for index in range(count):
            session = sessions[(first + index) % count]
            room = min(session.room, len(queue))
            if room <= 0:
                continue
            allowed = self._rate.take_up_to(room, now)
            if allowed <= 0:
                self._wake_up_in(self._rate.seconds_until_one(now))
                break
            batch = self._next_batch(allowed, now)
            self._rate.give_back(allowed - len(batch))
            if batch and self._marks_first:
                to_mark.append((session, batch))
            elif batch:
                self._carrier.counters.submitted += len(batch)
                session.send(c.SUBMIT_SM, batch)
            if not queue:
                break
        if to_mark:
            self._carrier.tasks.start(self._mark_and_write(to_mark))
        if self._fetched_at_once:
            self._fetched_at_once = False
            self.pump()

    def _next_batch(self, count: int, now: float) -> list[Request]:
        """Takes up to `count` parts that can be sent now from the queue's head, and ends those that have expired."""
        self._taking = True
        try:
            batch, expired = self.queue.take(count, now)
        finally:
            self._taking = False
        if expired:
            carrier = self._carrier
            carrier.counters.expired += len(expired)
            carrier.flow.end_later([Ending(part.id, EXPIRED, now, b"", carrier.name) for part in expired])
        if source := self._new_source:
            batch = [(with_source(body, source), token) for body, token in batch]
        form = self._form
        if form is not None:
            return [
                (form.body(body, part.adapt), part) if isinstance(part, Outgoing) and part.adapt else (body, part)
                for body, part in batch
            ]
        return batch

    def _send_questions(self) -> None:
        now = self._clock.seconds()
        if not self._state.up:
            return
        if now < self.paused_until:
            self._wake_up_in(self.paused_until - now)
            return
        for session in self._sessions:
            room = min(session.room, self._queries.waiting)
            allowed = self._rate.take_up_to(room, now) if room > 0 else 0
            if room > 0 and allowed <= 0:
                self._wake_up_in(self._rate.seconds_until_one(now))
                return
            for command_id, batch in self._queries.next(allowed):
                session.send(command_id, batch)

    # Marks in the journal

    async def _mark_and_write(self, writes: list[Write]) -> None:
        """Marks parts in the journal, and then writes them to the carrier. Only one batch is marked at a time."""
        carrier = self._carrier
        parts = [part for _, batch in writes for _, part in batch if type(part) is Outgoing]
        self._marking = True
        self._being_marked = parts
        try:
            await carrier.flow.store.sending([(part.id, part.part) for part in parts], carrier.name)
        except StoreUnavailable:
            self.put_back(parts)
            self._wake_up_in(_JOURNAL_AGAIN_SECONDS)
            return
        finally:
            self._marking = False
            self._being_marked = []
        unwritten: list[Outgoing] = []
        for session, batch in writes:
            if session in self._sessions and not self._state.over and self._gate.open:
                carrier.counters.submitted += len(batch)
                session.send(c.SUBMIT_SM, batch)
            else:
                unwritten += [part for _, part in batch if type(part) is Outgoing]
        if unwritten:
            self.unmark(unwritten)
            self.put_back(unwritten)
        self.pump()

    def unmark(self, parts: list[Outgoing]) -> None:
        """Removes the marks of parts that certainly did not reach the carrier. They may be sent again after a kill."""
        if self._marks_first:
            self._carrier.tasks.start(self._take_marks_away([(part.id, part.part) for part in parts]))

    async def _take_marks_away(self, parts: list[tuple[bytes, int]]) -> None:
        # If the journal can't be written, the store keeps this and writes it later.
        with contextlib.suppress(StoreUnavailable):
            await self._carrier.flow.store.sending(parts, "")

    # Reports of the queue

    def bodies_fetched(self) -> None:
        """Goes on sending, because bodies have been read from the journal."""
        self._unreadable_journal = ""
        if self._taking:
            # The store had them at hand. `pump` has taken parts that it has not sent yet, and goes on by itself.
            self._fetched_at_once = True
        else:
            self.pump()

    def bodies_unreadable(self, reason: str) -> None:
        """Tries again later, because bodies can't be read from the journal now."""
        if reason != self._unreadable_journal:
            self._unreadable_journal = reason
            self.log.error("texts_unreadable: can't read texts for {carrier}: {reason}. The relay tries every second",
                           carrier=self._carrier.name, reason=reason)  # fmt: skip
        self._wake_up_in(_JOURNAL_AGAIN_SECONDS)

    # Time

    def _wake_up_in(self, seconds: float) -> None:
        if self._wake_up is None:
            self._wake_up = self._clock.callLater(max(0.001, seconds), self._woken)

    def _woken(self) -> None:
        self._wake_up = None
        self.pump()
