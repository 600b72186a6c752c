"""A simulated carrier: an SMPP server that takes messages and sends receipts for them.

Theory of operation: `relay.simulator.decisions` decides about each message, and this module has the sockets. All
submit_sm of one read are decided together and answered in one write. Messages that will get a receipt wait in a queue,
in the order of their times (all delays are the same, so a deque stays in order). One timer moves those that are due to
a mailbox. Each system_id has a mailbox, whichever of its binds submitted. The mailbox sends receipts to its bound
receivers and transceivers in turn, as far as their windows allow. When a session ends, its unanswered receipts go back
to the head of the mailbox. A receipt that was refused for now is sent again after a pause.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relay.config.carrier_config import Simulator
from relay.simulator.decisions import Fate, Randomness, Simulation, Taken
from relay.simulator.simulator_connection import SimulatorFactory, SimulatorProtocol
from relay.smpp.other_codec import MAX_INTERFACE_VERSION
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, BindPdu, MessageIdPdu, MessagePdu

#: Answers to a receipt after which a carrier gives it up. Everything else is "not now".
_REFUSED_FOR_GOOD = frozenset({c.ESME_RX_P_APPN, c.ESME_RX_R_APPN, c.ESME_RINVCMDID})
#: Pause before a receipt that was answered "not now" is sent again.
RETRY_SECONDS = 0.5
#: Messages remembered for query_sm and cancel_sm.
REMEMBERED = 100_000
#: Receipts that are due within this time are sent together. A timer for each would take longer than to send them.
_TICK_SECONDS = 0.002


class Counters(msgspec.Struct):
    """Counts of the simulated carrier since it was made.

    :ivar submits: submit_sm and data_sm that arrived, with any result.
    :ivar taken: those that were taken; `throttled`, `rejected` and `dropped` count the others.
    :ivar receipts_owed: receipts that will be sent or were, and replies that were: the goal that `acked` reaches when
        all is well.
    :ivar receipts_sent: deliver_sm written, repetitions included.
    :ivar acked: receipts that were answered ESME_ROK.
    :ivar nacked: answers to receipts that were anything else.
    :ivar queried: query_sm that were answered, with any status.
    :ivar cancelled: messages that a cancel_sm ended.
    """

    submits: int = 0
    taken: int = 0
    throttled: int = 0
    rejected: int = 0
    dropped: int = 0
    receipts_owed: int = 0
    receipts_sent: int = 0
    acked: int = 0
    nacked: int = 0
    queried: int = 0
    cancelled: int = 0

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(self).items())


class _Mailbox:
    """The receipts for one system_id, and the sessions that can take them."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.receivers: deque[SimulatorProtocol] = deque()
        self.waiting: deque[bytes] = deque()

    def pump(self) -> None:
        """Sends as many as the receivers' windows take, to each in turn."""
        waiting = self.waiting
        receivers = self.receivers
        for remaining in range(len(receivers), 0, -1):
            if not waiting:
                return
            receiver = receivers[0]
            receivers.rotate(-1)
            count = min(receiver.session.room, -(-len(waiting) // remaining))
            if count:
                self._counters.receipts_sent += count
                batch = [(body, body) for body in islice(waiting, count)]
                for _ in range(count):
                    waiting.popleft()
                receiver.send(c.DELIVER_SM, batch)

    def give_back(self, bodies: Sequence[object]) -> None:
        """Puts unacknowledged receipts back to the head of the queue, in their old order."""
        self.waiting.extendleft(reversed(bodies))  # type: ignore[arg-type]


class SimulatedCarrier:
    """The simulated carrier: give `factory` to a server endpoint.

    It accepts every login. Logins with one system_id are one customer of the carrier: their binds share the receipts.

    :param clock: whose `seconds()` also dates the receipts.
    :param randomness: a `random.Random` with the settings' seed.
    :raises ValueError: the settings' `states` can't be used; the text says why.
    """

    def __init__(self, settings: Simulator, clock: IReactorTime, randomness: Randomness) -> None:
        self.counters = Counters()
        self.factory = SimulatorFactory(self, clock)
        self.settings = settings
        self._clock = clock
        # There are a hundred numbers for each millisecond, so a restarted carrier doesn't give the same ids again.
        self._simulation = Simulation(settings, randomness, (1 << 40) + int(clock.seconds() * 100_000))
        self._remembered: OrderedDict[bytes, Taken] = OrderedDict()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._due: deque[tuple[Taken, _Mailbox]] = deque()
        self._retries: deque[tuple[float, bytes, _Mailbox]] = deque()
        self._late_responses: deque[tuple[float, SimulatorProtocol, int, list[tuple[int, int, bytes]]]] = deque()
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._sessions: set[SimulatorProtocol] = set()
        self._stopped = False

    @property
    def sessions(self) -> int:
        """The number of connections."""
        return len(self._sessions)

    @property
    def bound_sessions(self) -> int:
        """The number of bound sessions."""
        return sum(1 for session in self._sessions if session.system_id is not None)

    def stop(self) -> None:
        """Drops all connections and forgets all receipts. The caller closes the port. A second call does nothing."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for session in list(self._sessions):
            session.abort()

    def end_all(self) -> None:
        """Sends all receipts now that would be sent later. For tests that wait for events and not for the clock."""
        mailboxes: dict[int, _Mailbox] = {}
        while self._due:
            taken, mailbox = self._due.popleft()
            self._receipt_to(mailbox, taken)
            mailboxes[id(mailbox)] = mailbox
        for mailbox in mailboxes.values():
            mailbox.pump()

    # Called by the protocols

    def connected(self, protocol: SimulatorProtocol) -> None:
        """A connection was made."""
        self._sessions.add(protocol)
        if self._stopped:
            protocol.abort()

    def bound(self, protocol: SimulatorProtocol, pdu: BindPdu) -> None:
        """A login. Receipts that waited for it are sent at once."""
        if pdu.interface_version > MAX_INTERFACE_VERSION:
            protocol.session.refuse_bind(pdu, c.ESME_RBINDFAIL)
            protocol.flush()
            protocol.close()
            return
        protocol.session.accept_bind(pdu, "simulator", self._clock.seconds())
        mailbox = self._mailboxes.get(pdu.system_id)
        if mailbox is None:
            mailbox = self._mailboxes[pdu.system_id] = _Mailbox(self.counters)
        protocol.system_id = pdu.system_id
        # The response leaves before the first receipt: the session keeps the order of its output.
        if protocol.session.can_send:
            mailbox.receivers.append(protocol)
            mailbox.pump()

    def submitted(self, protocol: SimulatorProtocol, pdus: Sequence[MessagePdu]) -> None:
        """One read's messages: decides, answers, and notes the receipts to come."""
        mailbox = self._mailbox_of(protocol)
        if mailbox is None:
            return
        settings = self.settings
        counters = self.counters
        decide = self._simulation.decide
        now = self._clock.seconds()
        responses: list[tuple[int, int, bytes]] = []
        taken: list[Taken] = []
        dropped = False
        for pdu in pdus:
            counters.submits += 1
            fate = decide(pdu, now)
            if type(fate) is Taken:
                taken.append(fate)
                responses.append((pdu.sequence_number, c.ESME_ROK, fate.response_id + b"\0"))
            elif fate is Fate.DROP:
                counters.dropped += 1
                dropped = True
                break
            elif type(fate) is int:
                if fate == c.ESME_RTHROTTLED:
                    counters.throttled += 1
                else:
                    counters.rejected += 1
                responses.append((pdu.sequence_number, fate, b""))
        self._take(taken)
        counters.receipts_owed += sum(one.receipts for one in taken)
        if dropped:
            # It is as if the carrier were killed: it has taken the messages, perhaps without answering.
            self._due.extend((one, mailbox) for one in taken)
            protocol.abort()
        elif settings.receipt_first:
            for one in taken:
                self._receipt_to(mailbox, one)
            mailbox.pump()
            command_id = pdus[0].command_id | c.RESPONSE_BIT
            self._late_responses.append((now + settings.receipt_delay_seconds, protocol, command_id, responses))
            if settings.receipt_delay_seconds == 0:
                self._turn()
        else:
            protocol.respond(pdus[0].command_id | c.RESPONSE_BIT, responses)
            if settings.intermediate:
                mailbox.waiting.extend(self._simulation.intermediate(one) for one in taken if one.receipts)
                counters.receipts_owed += sum(1 for one in taken if one.receipts)
                mailbox.pump()
            self._due.extend((one, mailbox) for one in taken)
            if settings.receipt_delay_seconds == 0:
                self._turn()
        self._arm()

    def question(self, protocol: SimulatorProtocol, pdu: MessageIdPdu) -> None:
        """query_sm and cancel_sm, for the messages still remembered."""
        status, body = self._simulation.answer(pdu, self._remembered.get(pdu.message_id))
        if pdu.command_id == c.QUERY_SM:
            self.counters.queried += 1
        elif status == c.ESME_ROK:
            self.counters.cancelled += 1
        protocol.respond(pdu.command_id | c.RESPONSE_BIT, [(pdu.sequence_number, status, body)])

    def acknowledged(self, protocol: SimulatorProtocol, answers: Sequence[Answered]) -> None:
        """Answers to receipts: done, given up, or due again after a pause."""
        mailbox = self._mailbox_of(protocol)
        if mailbox is None:
            return
        counters = self.counters
        for answer in answers:
            if answer.command_status == c.ESME_ROK:
                counters.acked += 1
                continue
            counters.nacked += 1
            if answer.command_status not in _REFUSED_FOR_GOOD:
                self._retries.append((self._clock.seconds() + RETRY_SECONDS, answer.token, mailbox))  # type: ignore[arg-type]
        mailbox.pump()
        self._arm()

    def unacknowledged(self, protocol: SimulatorProtocol, bodies: Sequence[object]) -> None:
        """Receipts that were not answered before their session ended, or in time."""
        mailbox = self._mailbox_of(protocol)
        if mailbox is not None and bodies:
            mailbox.give_back(bodies)
            mailbox.pump()

    def ended(self, protocol: SimulatorProtocol) -> None:
        """Sends no more receipts on this session: it is lost, or unbound."""
        if protocol.lost:
            self._sessions.discard(protocol)
        mailbox = self._mailbox_of(protocol)
        if mailbox is not None and protocol in mailbox.receivers:
            mailbox.receivers.remove(protocol)

    # Inside

    def _mailbox_of(self, protocol: SimulatorProtocol) -> _Mailbox | None:
        return None if protocol.system_id is None else self._mailboxes[protocol.system_id]

    def _take(self, taken: Sequence[Taken]) -> None:
        self.counters.taken += len(taken)
        remembered = self._remembered
        for one in taken:
            remembered[one.response_id] = one
        while len(remembered) > REMEMBERED:
            remembered.popitem(last=False)

    def _receipt_to(self, mailbox: _Mailbox, taken: Taken) -> None:
        taken.ended = True
        if taken.receipts:
            body = self._simulation.receipt(taken)
            mailbox.waiting.append(body)
            if taken.receipts > 1:
                mailbox.waiting.append(body)
        if taken.replied:
            replies = self._simulation.replies(taken)
            self.counters.receipts_owed += len(replies)
            mailbox.waiting.extend(replies)

    def _turn(self) -> None:
        """Does all that is due now."""
        now = self._clock.seconds() + _TICK_SECONDS
        touched: dict[int, _Mailbox] = {}
        due = self._due
        while due and due[0][0].due_at <= now:
            taken, mailbox = due.popleft()
            self._receipt_to(mailbox, taken)
            touched[id(mailbox)] = mailbox
        retries = self._retries
        while retries and retries[0][0] <= now:
            _, body, mailbox = retries.popleft()
            mailbox.waiting.append(body)
            touched[id(mailbox)] = mailbox
        late = self._late_responses
        while late and late[0][0] <= now:
            _, protocol, command_id, responses = late.popleft()
            protocol.respond(command_id, responses)
        for mailbox in touched.values():
            mailbox.pump()

    def _arm(self) -> None:
        times = []
        if self._due:
            times.append(self._due[0][0].due_at)
        if self._retries:
            times.append(self._retries[0][0])
        if self._late_responses:
            times.append(self._late_responses[0][0])
        if not times or self._stopped:
            return
        earliest = min(times)
        if self._timer is not None:
            if self._timer_at <= earliest:
                return
            self._timer.cancel()
        self._timer_at = earliest
        self._timer = self._clock.callLater(max(0.0, earliest - self._clock.seconds()), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._turn()
        self._arm()
