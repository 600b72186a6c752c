"""The link to one carrier. The message flow, the operator's side and the carrier's sessions call it.

Theory of operation: the link has six pieces. `LinkStateMachine` has its state. `PartSender` has the queue, and decides
which parts are sent when. `CarrierSessions` knows which sessions are bound. `SubmitResponses` handles the responses to
messages. `CarrierQueries` sends query_sm and cancel_sm. `ReceiptIntake` takes receipts and messages from handsets.
At any time a part is in exactly one place: in the queue, in a session's window, or with the message flow.
"""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.carriers.api_receipts import ApiReceiptReader, ApiReceiptTaker
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
from relay.config import carrier_config
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Drain, Tasks
from relay.text.text_form import TextForm
from relay.values.carrier_reports import AtCarrier, Receipt
from relay.values.counters import CarrierCounters
from relay.values.pdus import Accepted, Answered, LateAnswer, MessagePdu
from relay.values.wire_tap import WireTap


class CarrierLink:
    """The link to one carrier: takes parts, sends them, and reports their results. Only the reactor thread may call.

    :param keepers: makes what connects to the carrier: `relay.carriers.binds.smpp_binds`, or
        `relay.carriers.http_session.http_binds`.
    :param queue_bytes: how many octets of texts its queue keeps in memory.
    :param mobile_originated: gets the carrier's name and a deliver_sm that isn't a receipt.
    :param notification_reader: reads the receipts of a carrier over HTTP (another relay, or kind api); None: it is
        spoken to over SMPP.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        settings: carrier_config.Carrier,
        flow: MessageFlow,
        clock: IReactorTime,
        keepers: MakeKeepers,
        *,
        queue_bytes: int,
        mobile_originated: MobileOriginated = lambda carrier, pdu: None,
        notification_reader: NotificationReader | ApiReceiptReader | None = None,
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

    # For the message flow

    @property
    def up(self) -> bool:
        """Whether a submit_sm could be sent now, if a window had room."""
        return self._state.up

    @property
    def room(self) -> int:
        """How many more parts the queue can take."""
        return self.settings.queue - len(self._sender.queue)

    def room_within(self, seconds: float, account: str) -> int:
        """An estimate of how many more parts of an account could be sent within so many seconds."""
        return self._sender.room_within(seconds, account)

    def offer(self, parts: Sequence[Outgoing]) -> None:
        """Queues parts, and sends as many as the windows take."""
        self._sender.put(parts)
        self._sender.pump()

    def take_back(self) -> Sequence[Outgoing]:
        """Removes the queued parts that another carrier may take, too, and returns them."""
        return self._sender.queue.take_shared()

    def withdraw(self, account: str) -> Sequence[Outgoing]:
        """Removes the queued parts of an account, and returns them. What has been written is not affected."""
        return self._sender.queue.withdraw(account)

    def tap(self, tap: WireTap | None) -> None:
        """Gives an operator's trace what goes between us and the carrier from now on; None: that ends."""
        for keeper in self._keepers:
            keeper.tap(tap)

    def drop_cancelled(self) -> None:
        """Removes the queued parts of messages that were cancelled, instead of when their turn comes."""
        self._sender.queue.drop_cancelled()

    def is_sending(self, message_id: bytes) -> bool:
        """Whether a part of the message has been written, or is about to be written, and has no response."""
        return self._sender.is_marking(message_id) or any(
            type(token) is Outgoing and token.id == message_id for keeper in self._keepers for token in keeper.sending()
        )

    @property
    def busy(self) -> bool:
        """Whether any part waits here, or has been written and has no response."""
        return self._sender.busy or any(keeper.sending() for keeper in self._keepers)

    @property
    def queries(self) -> int | None:
        """About how many overdue parts the carrier can be asked now; None: it is not asked (`query_sm`)."""
        if not self.settings.query_sm or self._queries.given_up:
            return None
        return self._queries.room if self._sender.may_ask else 0

    def ask(self, parts: Sequence[AtCarrier]) -> None:
        """Asks the carrier about overdue parts (query_sm). The results go to the message flow."""
        self._queries.ask(parts)
        self._sender.pump()

    @property
    def can_cancel(self) -> bool:
        """Whether the carrier can be asked now to cancel a part that it has taken (`cancel_sm`)."""
        may_be_asked = self.settings.cancel_sm and not self._queries.given_up
        return may_be_asked and self._sender.may_ask and self._queries.cancels_room > 0

    @property
    def can_schedule(self) -> bool:
        """Whether the carrier keeps messages until their schedule_delivery_time (`scheduled_delivery: pass`)."""
        # The HTTP API has no field for the time.
        return self.settings.scheduled_delivery == "pass" and self.settings.kind not in ("http", "api")

    @property
    def text_form(self) -> TextForm:
        """What must be known of the carrier before a text is cut into parts."""
        return self._form.text_form

    def cancel(self, part: AtCarrier) -> "Deferred[bool]":
        """Asks the carrier to cancel a part (cancel_sm). False: the carrier refused, or gave no response."""
        done = self._queries.cancel(part)
        self._sender.pump()
        return done

    # Start and stop

    def start(self) -> None:
        """Begins to bind, and returns at once. Messages and receipts may come and go from now on."""
        self._state.on(LinkEvent.STARTED)
        for keeper in self._keepers:
            keeper.start()

    async def stop(self, limit_seconds: float) -> None:
        """Sends nothing more, waits up to `limit_seconds` for outstanding responses, unbinds and closes."""
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
        """Sends nothing more, because another link or other carriers take over.

        The sessions stay bound and take receipts until the caller calls `stop`.

        :param returned: gets the queued parts at once, and later those that were not answered or must be sent again.
        """
        self._state.on(LinkEvent.RETIRED)
        self._sender.retire(returned)
        self._queries.drop()

    def hold(self, held: bool) -> None:
        """Holds the carrier, or resumes it, for an operator. While it is held, nothing is sent. Receipts are taken."""
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
        """The state of the link."""
        return self._state.state

    @property
    def held(self) -> bool:
        """Whether an operator holds the carrier. It stays true after the link has ended."""
        return self._state.held

    @property
    def paused_until(self) -> float:
        """Until when nothing is sent, because the carrier asked for a pause."""
        return self._sender.paused_until

    @property
    def in_flight(self) -> int:
        """How many requests wait for their response."""
        return sum(session.outstanding for session in self._sessions.senders)

    @property
    def queue(self) -> PartQueue:
        """The queued parts. The caller may only read them."""
        return self._sender.queue

    @property
    def queued(self) -> int:
        """How many parts wait in the queue."""
        return len(self._sender.queue)

    @property
    def bound_count(self) -> int:
        """How many sessions are bound now."""
        return len(self._sessions.bound)

    @property
    def wanted_count(self) -> int:
        """How many sessions the configuration asks for."""
        return len(self._keepers)

    @property
    def last_error(self) -> str:
        """The last error, in words."""
        return self.counters.last_error

    @property
    def query_counts(self) -> Mapping[tuple[str, str], int]:
        """How many queries had which result since the start, by command and result."""
        return self._queries.counts

    # Receipts that don't come over sessions

    @property
    def http_receipts(self) -> HttpReceipts | None:
        """Takes the notifications of a carrier that is another relay; None: it isn't one."""
        reader = self._notification_reader
        return HttpReceipts(reader, self.intake.keep) if isinstance(reader, NotificationReader) else None

    @property
    def api_receipts(self) -> ApiReceiptTaker | None:
        """Takes the receipts of a carrier of kind api; None: it is of another kind."""
        reader = self._notification_reader
        return ApiReceiptTaker(reader, self.intake.keep) if isinstance(reader, ApiReceiptReader) else None

    def read_again(self, kept: Receipt) -> Receipt | None:
        """Reads a receipt that the store keeps, with the present dialect; None: it is unreadable."""
        return (self._notification_reader or self.intake).read_again(kept)

    # Reports of the sessions (SessionReports)

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
        # Its unanswered parts may be sent over another session.
        self._sent_or_settled()

    def answered(self, session: CarrierSession, answers: list[Answered]) -> None:
        self._responses.take(answers)
        self._sent_or_settled()

    def accepted(self, session: CarrierSession, accepted: Accepted) -> None:
        self._responses.take_accepted(accepted)
        self._sent_or_settled()

    def late_answers(self, session: CarrierSession, answers: list[LateAnswer]) -> None:
        self._responses.take_late(answers)
        self._sent_or_settled()

    def unanswered(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        self._responses.in_doubt(tokens)
        self._queries.unanswered(session, tokens)
        self._sent_or_settled()

    def abandoned(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        # `lost` does the same, but it is called only when the connection is closed.
        self._responses.in_doubt(tokens)
        self._queries.lost(session, tokens)
        self._sent_or_settled()

    def unsent(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        self._responses.not_taken([token for token in tokens if type(token) is Outgoing and not token.done])
        # If no session is bound, other carriers may take them.
        self._flow.link_changed()
        self._sent_or_settled()

    def messages(self, session: Responder, pdus: list[MessagePdu]) -> None:
        self.intake.take(session, pdus)

    def pause(self, seconds: float) -> None:
        self._sender.pause(seconds)

    def _sent_or_settled(self) -> None:
        """Sends more parts, because windows have room again. If a stop waits for the last response, lets it go on."""
        self._sender.pump()
        self._drain.check()
