"""One carrier: what the flow, the operator and the carrier's sessions see of it.

Theory of operation: the link has four pieces. `LinkStateMachine` knows where it stands, `PartSender` has the queue and
says what may be sent when, `SubmitResponses` knows what responses mean, and `CarrierSessions` which sessions are bound.
A part is in exactly one place at a time: the queue, a session's window, or the flow's hands.

What the carrier is asked beside messages is `CarrierQueries`, and what it sends of itself goes to its `ReceiptIntake`.
"""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.carriers.bound_sessions import CarrierSessions
from relay.carriers.context import CarrierContext
from relay.carriers.link_state import LinkEvent, LinkState, LinkStateMachine
from relay.carriers.part_queue import PartQueue
from relay.carriers.part_sender import PartSender
from relay.carriers.queries import CarrierQueries
from relay.carriers.receipt_intake import MobileOriginated, ReceiptIntake
from relay.carriers.relay_api import HttpReceipts, NotificationReader
from relay.carriers.responses import SubmitResponses
from relay.carriers.session_api import CarrierSession, MakeKeepers, Responder
from relay.carriers.wanted_form import wanted_form
from relay.config import model
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Drain, Tasks
from relay.text.text_form import TextForm
from relay.values.counters import CarrierCounters
from relay.values.messages import AtCarrier, Receipt
from relay.values.pdus import Answered, LateAnswer, MessagePdu


class CarrierLink:
    """One carrier: takes parts for it, sends them, and says what became of them. Only the reactor thread may call.

    :param keepers: makes what connects to the carrier: `relay.carriers.binds.smpp_binds`, or
        `relay.carriers.http_session.http_binds`.
    :param queue_bytes: texts that its queue holds in memory.
    :param mobile_originated: gets an account's name and a deliver_sm that is no receipt; None: nobody can take it.
    :param notification_reader: reads what another relay sends, where the carrier is one.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        settings: model.Carrier,
        flow: MessageFlow,
        clock: IReactorTime,
        keepers: MakeKeepers,
        *,
        queue_bytes: int,
        mobile_originated: MobileOriginated = lambda account, pdu: None,
        notification_reader: NotificationReader | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.counters = CarrierCounters()
        self._flow = flow
        self._tasks = Tasks(self.log)
        carrier = CarrierContext(name, settings, flow, clock, self.counters, self._tasks)
        self.intake = ReceiptIntake(carrier, mobile_originated)
        self._notification_reader = notification_reader
        self._state = LinkStateMachine()
        self._keepers = keepers(self)
        self._sessions = CarrierSessions(name, settings, len(self._keepers), self.counters)
        self._form = wanted_form(settings)
        self._queries = CarrierQueries(carrier, self.intake, self._form)
        self._sender = PartSender(
            carrier, self._state, self._sessions.senders, self._queries, self._form, queue_bytes=queue_bytes
        )
        self._responses = SubmitResponses(carrier, self._sender, self._queries)
        self._drain = Drain(lambda: self.in_flight, clock)

    # What the flow sees

    @property
    def up(self) -> bool:
        """Whether a submit_sm could be sent now, were there room for it."""
        return self._state.up

    @property
    def room(self) -> int:
        """How many more parts the queue takes."""
        return self.settings.queue - len(self._sender.queue)

    def room_within(self, seconds: float, account: str) -> int:
        """How many more parts of an account would be sent within so many seconds, as far as one can tell."""
        return self._sender.room_within(seconds, account)

    def offer(self, parts: Sequence[Outgoing]) -> None:
        """Queues parts and sends what the windows take."""
        self._sender.put(parts)
        self._sender.pump()

    def take_back(self) -> Sequence[Outgoing]:
        """Gives up the queued parts that another carrier may take as well."""
        return self._sender.queue.take_shared()

    def is_sending(self, message_id: bytes) -> bool:
        """Whether a part of the message has been written, or is about to be, and has no response."""
        return self._sender.is_marking(message_id) or any(
            type(token) is Outgoing and token.id == message_id for keeper in self._keepers for token in keeper.sending()
        )

    @property
    def busy(self) -> bool:
        """Whether any part waits here, or has been written and has no response."""
        return self._sender.busy or any(keeper.sending() for keeper in self._keepers)

    @property
    def queries(self) -> int | None:
        """How many overdue parts the carrier can be asked about now; None where it isn't asked (`query_sm`)."""
        if not self.settings.query_sm or self._queries.given_up:
            return None
        return self._queries.room if self._sender.may_ask else 0

    def ask(self, parts: Sequence[AtCarrier]) -> None:
        """Asks query_sm about overdue parts; what comes of it goes to the flow."""
        self._queries.ask(parts)
        self._sender.pump()

    @property
    def can_cancel(self) -> bool:
        """Whether the carrier can be asked to cancel what it has taken (`cancel_sm`), now."""
        may_be_asked = self.settings.cancel_sm and not self._queries.given_up
        return may_be_asked and self._sender.may_ask and self._queries.cancels_room > 0

    @property
    def can_schedule(self) -> bool:
        """Whether the carrier keeps messages until their schedule_delivery_time (`scheduled_delivery: pass`)."""
        # Over HTTP nothing carries the time.
        return self.settings.scheduled_delivery == "pass" and self.settings.kind != "http"

    @property
    def text_form(self) -> TextForm:
        """What must be known of the carrier before a text is cut into parts."""
        return self._form.text_form

    def cancel(self, part: AtCarrier) -> "Deferred[bool]":
        """Asks cancel_sm; false: the carrier refused, or gave no response."""
        done = self._queries.cancel(part)
        self._sender.pump()
        return done

    # Life

    def start(self) -> None:
        """Begins to bind; returns at once. Receipts and messages may flow from now on."""
        self._state.on(LinkEvent.STARTED)
        for keeper in self._keepers:
            keeper.start()

    async def stop(self, limit_seconds: float) -> None:
        """Sends nothing more, waits up to `limit_seconds` for responses in flight, unbinds and closes."""
        self._state.on(LinkEvent.STOPPED)
        self._sessions.close()
        self._sender.stop()
        self._queries.drop()
        await self._drain.wait(limit_seconds)
        await self._tasks.wait()
        for session in self._sessions.bound:
            session.unbind()
        await DeferredList([keeper.stop() for keeper in self._keepers], consumeErrors=True)

    def retire(self, returned: Callable[[Sequence[Outgoing]], None]) -> None:
        """Sends nothing more, because another link or other carriers take over. The binds stay, and receipts are taken,
        until `stop`, which is to be called some time after it.

        :param returned: gets what is queued, at once, and later what comes back unanswered or to be tried again.
        """
        self._state.on(LinkEvent.RETIRED)
        self._sender.retire(returned)
        self._queries.drop()

    def hold(self, held: bool) -> None:
        """An operator's pause and resume: while held nothing is sent; what comes in is handled as ever."""
        if held:
            self._state.on(LinkEvent.HELD)
            self._queries.drop()
        else:
            self._state.on(LinkEvent.RESUMED)
            if self._sessions.senders:
                self._state.on(LinkEvent.BOUND)
        self._flow.link_changed()
        self._sender.pump()

    # Figures

    @property
    def state(self) -> LinkState:
        """Where it stands."""
        return self._state.state

    @property
    def held(self) -> bool:
        """Whether an operator holds it, or held it to its end."""
        return self._state.held

    @property
    def paused_until(self) -> float:
        """Until when nothing is sent, because the carrier asked for it."""
        return self._sender.paused_until

    @property
    def in_flight(self) -> int:
        """Requests that wait for their response."""
        return sum(session.outstanding for session in self._sessions.senders)

    @property
    def queue(self) -> PartQueue:
        """The parts that wait. To be looked at only."""
        return self._sender.queue

    @property
    def queued(self) -> int:
        """How many parts wait in the queue."""
        return len(self._sender.queue)

    @property
    def bound_count(self) -> int:
        """Sessions that are bound now."""
        return len(self._sessions.bound)

    @property
    def wanted_count(self) -> int:
        """Sessions that the configuration asks for."""
        return len(self._keepers)

    @property
    def last_error(self) -> str:
        """What went wrong last, in words."""
        return self.counters.last_error

    @property
    def query_counts(self) -> Mapping[tuple[str, str], int]:
        """What came of questions since the start, by command and result."""
        return self._queries.counts

    # Receipts that don't come over a session

    @property
    def http_receipts(self) -> HttpReceipts | None:
        """How notifications are read and kept where the carrier is another relay; None where it isn't."""
        reader = self._notification_reader
        return None if reader is None else HttpReceipts(reader, self.intake.keep)

    def read_again(self, kept: Receipt) -> Receipt | None:
        """What a receipt of this carrier that the store keeps says with the dialect of now; None: nothing."""
        return (self._notification_reader or self.intake).read_again(kept)

    # What the sessions report (SessionReports)

    def bound(self, session: CarrierSession) -> None:
        self._sessions.add(session)
        if session.takes_messages:
            self._state.on(LinkEvent.BOUND)
        self._flow.link_changed()
        self._sender.pump()

    def bind_refused(self, command_status: int) -> None:
        self._sessions.refused(command_status)

    def unreachable(self, reason: str) -> None:
        self._sessions.unreachable(reason)

    def lost(self, session: CarrierSession, tokens: Sequence[object], reason: str) -> None:
        self._sessions.remove(session, reason)
        if not self._sessions.senders:
            self._state.on(LinkEvent.LAST_LOST)
            self._queries.drop()
        self._responses.in_doubt(tokens)
        self._queries.lost(session, tokens)
        self._flow.link_changed()
        # What it leaves unanswered may go over another of the sessions.
        self._sent_or_settled()

    def answered(self, session: CarrierSession, answers: list[Answered]) -> None:
        self._responses.take(answers)
        self._sent_or_settled()

    def late_answers(self, session: CarrierSession, answers: list[LateAnswer]) -> None:
        self._responses.take_late(answers)
        self._sent_or_settled()

    def unanswered(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        self._responses.in_doubt(tokens)
        self._queries.unanswered(session, tokens)
        self._sent_or_settled()

    def abandoned(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        # As `lost`, which comes when the connection is closed.
        self._responses.in_doubt(tokens)
        self._queries.lost(session, tokens)
        self._sent_or_settled()

    def unsent(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        self._responses.not_taken([token for token in tokens if type(token) is Outgoing and not token.done])
        # Where the session is down, other carriers may take them.
        self._flow.link_changed()
        self._sent_or_settled()

    def messages(self, session: Responder, pdus: list[MessagePdu]) -> None:
        self.intake.take(session, pdus)

    def pause(self, seconds: float) -> None:
        self._sender.pause(seconds)

    def _sent_or_settled(self) -> None:
        """Windows have room again: sends more, and lets a stop go on that waits for the last response."""
        self._sender.pump()
        self._drain.check()
