"""Sends delivery receipts to the bound receivers of a login.

Theory of operation: the queue is in the store and not here. When the store wakes it, or when a session's window has
room, this code claims as many notifications as the windows can take. It sends each as a deliver_sm to one session. The
answer ESME_ROK settles a notification. After any other answer it is tried again later: the store wakes the queue when
it is due. When a session ends, its unanswered notifications are released. While no receiver is bound, nothing is
claimed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relay.customers.segmented_messages import Segmented, SegmentSender
from relay.receipts.writer import ReceiptWriter
from relay.runtime.tasks import Tasks
from relay.smpp.server import SmppServerProtocol
from relay.store.api import NotificationStore
from relay.store.store_values import StoreUnavailable
from relay.text.without_parameters import without_parameters
from relay.values.counters import Counters
from relay.values.notifications import Attempt, Notification, QueueKey, Verdict
from relay.values.pdus import Accepted, Answered
from relay.values.smpp_constants import (
    DELIVER_SM,
    DELIVER_SM_RESP,
    ESME_ROK,
    ESME_RX_P_APPN,
    ESME_RX_R_APPN,
    ESME_RX_T_APPN,
    status_name,
)

#: Pauses before a receipt that the customer refused is sent again. The last one repeats until the receipt is too old.
_RETRY_PAUSES_SECONDS = (5.0, 30.0, 300.0, 1800.0)

#: Statuses by which the customer refuses a receipt for good (SMPP 3.4 section 5.1.3).
_REFUSED_FOR_GOOD = frozenset({ESME_RX_P_APPN, ESME_RX_R_APPN})

#: The most notifications claimed at once, because those that are claimed are in memory.
_CLAIM_LIMIT = 1000


#: From this interface_version on, a PDU may have optional parameters.
_HAS_PARAMETERS = 0x34


class _Offered(msgspec.Struct, frozen=True, eq=False):
    """The token of a deliver_sm with a handset's message. `done` fires with the customer's command_status."""

    done: "Deferred[int]"


class AccountReceivers:
    """Sends deliver_sm to the bound receivers and transceivers of one login of an account.

    :param queue_key: the login's queue. `wake` may name others, of logins that are gone.
    :param error_codes: returns the account's present `error_codes`.
    :param keep_seconds: the age after which a notification isn't tried again when the customer refuses it.
    """

    def __init__(
        self,
        queue_key: QueueKey,
        store: NotificationStore,
        writer: ReceiptWriter,
        clock: IReactorTime,
        tasks: Tasks,
        *,
        error_codes: Callable[[], str],
        keep_seconds: Callable[[], float],
        counters: Counters | None = None,
    ) -> None:
        self._queue_key = queue_key
        self._store = store
        self._writer = writer
        self._clock = clock
        self._tasks = tasks
        self._error_codes = error_codes
        self._keep_seconds = keep_seconds
        self._sessions: list[SmppServerProtocol] = []
        self._next_session = 0
        #: The queues that may have notifications, in the order in which they are asked.
        self._owed: dict[QueueKey, None] = {}
        self._claiming = False
        self._segments = SegmentSender()
        counters = counters or Counters()
        self._attempts = counters.account(queue_key.account).channels[queue_key.channel].attempts
        self._told_seconds = counters.notification_seconds[queue_key.channel]

    def add(self, protocol: SmppServerProtocol) -> None:
        """Adds a bound session that may get deliver_sm. Receipts that waited for it are sent."""
        self._sessions.append(protocol)
        self.wake(self._queue_key)

    def remove(self, protocol: SmppServerProtocol) -> None:
        """Removes a session that has ended. Does nothing for a session that was never added."""
        if protocol in self._sessions:
            self._sessions.remove(protocol)
        self._segments.session_ended(protocol)

    @property
    def empty(self) -> bool:
        """Whether nobody is bound and nothing is under way."""
        return not self._sessions and not self._claiming

    def wake(self, queue_key: QueueKey) -> None:
        """Tells that a queue may have notifications. A further call takes almost no time."""
        self._owed[queue_key] = None
        self._serve()

    def answered(self, answers: list[Answered]) -> None:
        """Takes the customer's answers to deliver_sm, and settles their notifications."""
        now = self._clock.seconds()
        attempts: list[Attempt] = []
        first: Notification | None = None
        last: Notification | None = None
        refused = 0
        for answer in answers:
            notification = answer.token
            if type(notification) is not Notification:
                if isinstance(notification, _Offered):
                    notification.done.callback(answer.command_status)
                elif isinstance(notification, Segmented):
                    self._segments.answered(notification, answer.command_status)
                continue
            if answer.command_status == ESME_ROK:
                attempts.append(Attempt(notification, Verdict.DELIVERED, now))
                first = first or notification
                last = notification
            else:
                attempt = self._refused(notification, now, answer.command_status)
                attempts.append(attempt)
                refused += 1
        if attempts:
            if first is not None and last is not None:
                count = len(attempts) - refused
                self._attempts[Verdict.DELIVERED] += count
                self._told_seconds.observe_ends(now - first.done_at, now - last.done_at, count)
            self._tasks.start(self._settle(attempts))
        self._segments.pump()
        if self._owed:
            self._serve()

    def accepted(self, accepted: Accepted) -> None:
        """Takes answers of the customer that all say ESME_ROK."""
        tokens = accepted.tokens
        if set(map(type, tokens)) != {Notification}:
            self.answered(accepted.each())
            return
        now = self._clock.seconds()
        notifications: Sequence[Notification] = tokens  # type: ignore[assignment]
        self._attempts[Verdict.DELIVERED] += len(notifications)
        first, last = notifications[0], notifications[-1]
        self._told_seconds.observe_ends(now - first.done_at, now - last.done_at, len(notifications))
        self._tasks.start(self._settle([Attempt(n, Verdict.DELIVERED, now) for n in notifications]))
        if self._owed:
            self._serve()

    def unanswered(self, tokens: Sequence[object]) -> None:
        """Takes the tokens of deliver_sm that got no answer. Their notifications go back to the head of the queue."""
        for token in tokens:
            if isinstance(token, _Offered):
                token.done.callback(ESME_RX_T_APPN)
            elif isinstance(token, Segmented):
                self._segments.lost(token)
        self._release([token for token in tokens if type(token) is Notification])

    def _release(self, released: Sequence[Notification]) -> None:
        """Gives notifications back that got no answer."""
        if released:
            self._store.release(released)
            for queue_key in {notification.queue_key for notification in released}:
                self.wake(queue_key)

    def offer(self, body: bytes) -> "Deferred[int] | None":
        """Sends a deliver_sm with a handset's message to one session.

        :return: None: no session has room. Otherwise it fires with the customer's command_status, or with
            ESME_RX_T_APPN if no answer came.
        """
        for protocol in self._sessions:
            if protocol.session.room > 0:
                offered = _Offered(Deferred())
                bodies = [body] if protocol.interface_version >= _HAS_PARAMETERS else without_parameters(body)
                if len(bodies) == 1:
                    protocol.send(DELIVER_SM, [(bodies[0], offered)])
                else:
                    self._segments.send(protocol, bodies, partial(_answer, offered))
                return offered.done
        return None

    def _refused(self, notification: Notification, now: float, command_status: int) -> Attempt:
        answer = status_name(command_status)
        pause_seconds = _RETRY_PAUSES_SECONDS[min(notification.attempt, len(_RETRY_PAUSES_SECONDS)) - 1]
        too_late = now + pause_seconds > notification.owed_since + self._keep_seconds()
        if too_late or command_status in _REFUSED_FOR_GOOD:
            self._attempts[Verdict.GIVEN_UP] += 1
            return Attempt(notification, Verdict.GIVEN_UP, now, answer=answer)
        self._attempts[Verdict.RETRY] += 1
        return Attempt(notification, Verdict.RETRY, now, now + pause_seconds, answer)

    async def _settle(self, attempts: list[Attempt]) -> None:
        try:
            # If we stop before this is durable, the customer gets these receipts again. It must drop those whose id and
            # status it has already.
            await self._store.settle(attempts)
        except StoreUnavailable:
            # The store keeps the verdicts in memory, and writes them when it can write again.
            return

    def _serve(self) -> None:
        if not self._claiming and self._sessions and self._room() > 0:
            self._claiming = True
            self._tasks.start(self._claim())

    def _room(self) -> int:
        return sum(protocol.session.room for protocol in self._sessions)

    async def _claim(self) -> None:
        try:
            while self._owed:
                limit = min(self._room(), _CLAIM_LIMIT)
                if limit <= 0:
                    return
                queue_key = next(iter(self._owed))
                del self._owed[queue_key]
                claim = await self._store.claim(queue_key, limit, self._clock.seconds())
                if claim.more:
                    self._owed[queue_key] = None
                self._send(queue_key, claim.notifications)
        finally:
            self._claiming = False

    def _send(self, queue_key: QueueKey, notifications: Sequence[Notification]) -> None:
        """Spreads notifications over the sessions' windows, and releases those for which no window has room."""
        write = self._writer.deliver_sm_body
        error_codes = self._error_codes()
        start = 0
        sessions = self._sessions
        for _ in range(len(sessions)):
            if start == len(notifications):
                return
            self._next_session = (self._next_session + 1) % len(sessions)
            protocol = sessions[self._next_session]
            room = protocol.session.room
            if room <= 0:
                continue
            batch = notifications[start : start + room]
            start += len(batch)
            if protocol.interface_version >= _HAS_PARAMETERS:
                protocol.send(DELIVER_SM, [(write(n, error_codes, True), n) for n in batch])
            else:
                start -= len(batch) - self._send_without_parameters(protocol, batch, error_codes)
        if start < len(notifications):
            # While the claim was under way, a session has ended, or its window has filled up.
            self._store.release(notifications[start:])
            self._owed[queue_key] = None

    def _send_without_parameters(
        self, protocol: SmppServerProtocol, batch: Sequence[Notification], error_codes: str
    ) -> int:
        """Sends notifications to a session of SMPP 3.3, as many as its window has room for. Returns their number."""
        sent = 0
        ready: list[tuple[bytes, Notification]] = []
        for notification in batch:
            if protocol.session.room <= len(ready):
                break
            sent += 1
            body = self._writer.deliver_sm_body(notification, error_codes, False)
            # Receipts have no parameters here. A long message from a handset may need several deliver_sm.
            bodies = [body] if notification.inbound is None else without_parameters(body)
            if len(bodies) == 1:
                ready.append((bodies[0], notification))
            else:
                if ready:
                    protocol.send(DELIVER_SM, ready)
                ready = []
                self._segments.send(protocol, bodies, partial(self._segments_ended, notification))
        if ready:
            protocol.send(DELIVER_SM, ready)
        return sent

    def _segments_ended(self, notification: Notification, command_status: int | None) -> None:
        """The customer has answered a message that was sent in segments; None: the session ended before."""
        if command_status is None:
            self._release([notification])
        else:
            self.answered([Answered(notification, DELIVER_SM_RESP, command_status, b"")])


def _answer(offered: _Offered, command_status: int | None) -> None:
    """The customer has answered a handset's message; None: the session ended before."""
    offered.done.callback(ESME_RX_T_APPN if command_status is None else command_status)
