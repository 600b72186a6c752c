"""Customers on SMPP: who may bind, what a submit_sm becomes, and who gets the receipts.

Theory of operation: a connection belongs to nobody until its bind is accepted; then it counts against the account's
`max_binds`. One read's submit_sm go to the flow as one batch: checked and given ids, made durable, answered in one
write, and only then dispatched. Receipts are the business of the account's `AccountReceivers`.
"""

import ipaddress
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.accounts.accounts import Accounts
from relay.config import model
from relay.customers.bind_guard import BindGuard
from relay.customers.smpp_receivers import AccountReceivers
from relay.receipts.writer import ReceiptWriter
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Drain, Tasks
from relay.smpp.message_codec import deliver_body_from_data_sm, submit_body_from_data_sm, with_registered_delivery
from relay.smpp.other_codec import query_sm_resp_body
from relay.smpp.server import SmppServerProtocol
from relay.smpp.times import smpp_time_text, validity_seconds
from relay.store.api import StoreFull, StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import id_octets, parse_id
from relay.values.messages import Channel, Message, MessageView, QueueKey, Refused, Submission, same_addresses
from relay.values.pdus import Answered, BindPdu, MessageIdPdu, MessagePdu
from relay.values.states import ENROUTE, SCHEDULED

_RESP = c.RESPONSE_BIT
#: What a wrong name or password is answered with: only these count as failures of the address. Who is told to wait, or
#: has too many sessions, would otherwise be kept out for trying again.
_GUESSED = frozenset({c.ESME_RINVSYSID, c.ESME_RINVPASWD})


class CustomerSessions:
    """See the module's text. Implements what the server's protocols ask (`CustomerSide`) and serves SMPP queues."""

    log = Logger()

    def __init__(
        self,
        flow: MessageFlow,
        accounts: Accounts,
        settings: model.SmppListener,
        limits: model.Limits,
        clock: IReactorTime,
    ) -> None:
        self._flow = flow
        self._accounts = accounts
        self._settings = settings
        self._clock = clock
        self._guard = BindGuard(settings.failed_binds_a_minute, limits.connections, limits.connections_per_address)
        self._tasks = Tasks(self.log)
        self._writer = ReceiptWriter()
        self._sessions: dict[str, list[SmppServerProtocol]] = {}
        self._receivers: dict[str, AccountReceivers] = {}
        self._connections: set[SmppServerProtocol] = set()
        self._drain = Drain(lambda: sum(protocol.session.outstanding for protocol in self._connections), clock)
        self.submitted = 0
        self.refused = 0
        #: Binds that were refused, by command_status.
        self.binds_refused: dict[int, int] = {}

    # Life

    async def stop(self, limit_seconds: float) -> None:
        """Waits for the answers under way, unbinds every session and closes it. What customers answer to deliver_sm
        within `limit_seconds` is settled when this returns; the others are told again after the next start."""
        await self._tasks.wait()
        for protocol in tuple(self._connections):
            if protocol.account:
                # Nothing more is sent on it from here on.
                protocol.unbind()
            else:
                protocol.close()
        await self._drain.wait(limit_seconds)
        await self._tasks.wait()

    def drop(self, account: str) -> int:
        """An operator's wish, or a reload that took the account away: unbinds its sessions, and says how many."""
        sessions = tuple(self._sessions.get(account, ()))
        for protocol in sessions:
            protocol.unbind()
        return len(sessions)

    def abort(self) -> None:
        """Drops what a polite end left open."""
        for protocol in tuple(self._connections):
            protocol.abort()

    def bound_count(self, account: str) -> int:
        """Sessions of the account that are bound now."""
        return len(self._sessions.get(account, ()))

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    # LaneServer

    def wake(self, queue_key: QueueKey) -> None:
        receivers = self._receivers.get(queue_key.account)
        if receivers is not None:
            receivers.wake()

    # CustomerSide

    def connected(self, protocol: SmppServerProtocol, address: str) -> bool:
        self._connections.add(protocol)
        return self._guard.opened(address)

    def bind(self, protocol: SmppServerProtocol, pdu: BindPdu) -> None:
        now = self._clock.seconds()
        status, account = self._check_bind(protocol.address, pdu, now)
        if status != c.ESME_ROK:
            if status in _GUESSED:
                self._guard.failed(protocol.address, now)
            self.binds_refused[status] = self.binds_refused.get(status, 0) + 1
            if self._guard.may_try(protocol.address, now):
                # Who goes on guessing after that is counted and not logged: the log would be the next thing to fill.
                self.log.warn("customer_bind_refused: {system_id} from {address}: {status}", system_id=pdu.system_id,
                              address=protocol.address, status=c.status_name(status))  # fmt: skip
            protocol.session.refuse_bind(pdu, status)
            protocol.flush()
            protocol.close()
            return
        protocol.account = account
        protocol.interface_version = pdu.interface_version or 0x33
        self._sessions.setdefault(account, []).append(protocol)
        protocol.session.accept_bind(pdu, self._settings.system_id, now)
        # The response is in the output before the first deliver_sm that waited for this bind.
        protocol.flush()
        self.log.info("customer_bound: {account} is bound from {address}", account=account, address=protocol.address)
        if protocol.session.can_send:
            self._receivers_of(account).add(protocol)

    def messages(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        self._tasks.start(self._submit(protocol, pdus))

    def question(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        self._tasks.start(self._query(protocol, pdu) if pdu.command_id == c.QUERY_SM else self._cancel(protocol, pdu))

    def answered(self, protocol: SmppServerProtocol, answers: list[Answered]) -> None:
        receivers = self._receivers.get(protocol.account)
        if receivers is not None:
            receivers.answered(answers)
        self._drain.check()

    def unanswered(self, protocol: SmppServerProtocol, tokens: Sequence[object]) -> None:
        receivers = self._receivers.get(protocol.account)
        if receivers is not None:
            receivers.unanswered(tokens)
        self._drain.check()

    def lost(self, protocol: SmppServerProtocol, reason: str) -> None:
        self._connections.discard(protocol)
        self._drain.check()
        self._guard.closed(protocol.address)
        account = protocol.account
        if not account:
            return
        sessions = self._sessions.get(account, [])
        if protocol in sessions:
            sessions.remove(protocol)
            self.log.info("customer_left: a session of {account} ended: {reason}", account=account, reason=reason)
        if not sessions:
            self._sessions.pop(account, None)
        receivers = self._receivers.get(account)
        if receivers is not None:
            receivers.remove(protocol)
            if receivers.empty:
                del self._receivers[account]

    def mobile_originated(self, account: str, pdu: MessagePdu) -> "Deferred[int] | None":
        """Hands a message from a handset to one of the account's receivers; None where none can take it.

        A data_sm is handed over as the deliver_sm that says the same.

        :return: fires with the customer's command_status.
        """
        receivers = self._receivers.get(account)
        if receivers is None:
            return None
        return receivers.offer(pdu.body if pdu.command_id == c.DELIVER_SM else deliver_body_from_data_sm(pdu))

    # Binding

    def _check_bind(self, address: str, pdu: BindPdu, now: float) -> tuple[int, str]:
        if not self._guard.may_try(address, now):
            return c.ESME_RBINDFAIL, ""
        if not self._flow.open:
            return c.ESME_RBINDFAIL, ""
        if pdu.interface_version and not 0x33 <= pdu.interface_version <= 0x50:
            return c.ESME_RBINDFAIL, ""
        found = self._accounts.by_system_id(pdu.system_id)
        if found is None or found[1].smpp is None:
            return c.ESME_RINVSYSID, ""
        account, login = found[0], found[1].smpp
        if login.allow_from and not _within(address, login.allow_from):
            # Before the password: nobody from elsewhere learns whether it was the right one.
            return c.ESME_RBINDFAIL, ""
        if not login.password.matches(pdu.password):
            return c.ESME_RINVPASWD, ""
        if len(self._sessions.get(account, ())) >= login.max_binds:
            return c.ESME_RALYBND, ""
        return c.ESME_ROK, account

    def _receivers_of(self, account: str) -> AccountReceivers:
        receivers = self._receivers.get(account)
        if receivers is None:
            accounts = self._accounts
            receivers = self._receivers[account] = AccountReceivers(
                QueueKey(account, Channel.SMPP.value),
                self._flow.store,
                self._writer,
                self._clock,
                self._tasks,
                # A reload may have taken the account away while its sessions are being unbound.
                error_codes=lambda: (accounts.find(account) or model.Account()).error_codes,
                keep_seconds=lambda: (accounts.find(account) or model.Account()).receipt_hours * 3600.0,
                counters=self._flow.counters,
            )
        return receivers

    # Submitting

    async def _submit(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        now = self._clock.seconds()
        flow = self._flow
        submissions: list[Submission] = []
        refused: list[tuple[int, int, int]] = []
        taken_pdus: list[MessagePdu] = []
        for pdu in pdus:
            submission = _submission(pdu, now)
            if type(submission) is int:
                refused.append((pdu.command_id, pdu.sequence_number, submission))
                flow.counters.account(protocol.account).refuse(submission)
            else:
                submissions.append(submission)  # type: ignore[arg-type]
                taken_pdus.append(pdu)
        results = flow.prepare(protocol.account, submissions) if submissions else []
        messages: list[Message] = []
        answers: dict[int, list[tuple[int, int, bytes]]] = {}
        command = -1
        batch: list[tuple[int, int, bytes]] = []
        for pdu, result in zip(taken_pdus, results, strict=True):
            if type(result) is Message:
                messages.append(result)
                if pdu.command_id != command:
                    command = pdu.command_id
                    batch = answers.setdefault(command, [])
                batch.append((pdu.sequence_number, 0, id_octets(result.id) + b"\0"))
            elif isinstance(result, Refused):
                refused.append((pdu.command_id, pdu.sequence_number, result.command_status))
        if messages:
            try:
                await flow.accept(messages)
            except StoreUnavailable as reason:
                status = c.ESME_RMSGQFUL if isinstance(reason, StoreFull) else c.ESME_RSYSERR
                answers = {
                    command: [(sequence_number, status, b"") for sequence_number, _, _ in batch]
                    for command, batch in answers.items()
                }
                self.refused += len(messages)
                messages = []
        self.submitted += len(messages)
        self.refused += len(refused)
        for command, sequence_number, status in refused:
            answers.setdefault(command, []).append((sequence_number, status, b""))
            if status == c.ESME_RTHROTTLED:
                protocol.slow_down()
        for command, batch in answers.items():
            protocol.respond(command | _RESP, batch)
        if messages:
            # If we stop here, then the messages are dispatched after the start: they are durable.
            flow.dispatch(messages)

    # Questions

    async def _find(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> MessageView | None:
        message_id = parse_id(pdu.message_id.decode("latin-1"))
        if message_id is None:
            return None
        view = await self._flow.store.look_up(message_id)
        if view is None or view.account != protocol.account or not same_addresses(pdu, view.addresses):
            return None
        return view

    async def _query(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        view = await self._find(protocol, pdu)
        if view is None:
            protocol.respond(c.QUERY_SM_RESP, [(pdu.sequence_number, c.ESME_RQUERYFAIL, b"")])
            return
        final_date = smpp_time_text(view.done_at) if view.final and view.done_at is not None else b""
        state = ENROUTE if view.state == SCHEDULED else view.state
        error = int(view.carrier_error) if view.carrier_error.isdecimal() and int(view.carrier_error) < 256 else 0
        body = query_sm_resp_body(id_octets(view.id), final_date, state, error)
        protocol.respond(c.QUERY_SM_RESP, [(pdu.sequence_number, c.ESME_ROK, body)])

    async def _cancel(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        view = await self._find(protocol, pdu)
        status = c.ESME_RCANCELFAIL
        if view is not None:
            try:
                if await self._flow.cancel(view.id):
                    status = c.ESME_ROK
            except StoreUnavailable:
                status = c.ESME_RSYSERR
        protocol.respond(c.CANCEL_SM_RESP, [(pdu.sequence_number, status, b"")])


def _submission(pdu: MessagePdu, now: float) -> Submission | int:
    """What a submit_sm (or data_sm) asks for, or the status that says why it can't be had."""
    if not pdu.destination:
        return c.ESME_RINVDSTADR
    if pdu.schedule_delivery_time:
        # Messages for later would have to be kept with their text for as long: not supported.
        return c.ESME_RINVSCHED
    if pdu.esm_class & c.ESM_CLASS_TYPE_MASK:
        return c.ESME_RINVESMCLASS
    validity: float | None = None
    if pdu.validity_period:
        try:
            validity = validity_seconds(pdu.validity_period, now)
        except ValueError:
            return c.ESME_RINVEXPIRY
    if pdu.command_id == c.SUBMIT_SM:
        body = with_registered_delivery(pdu, c.REGISTERED_DELIVERY_FINAL)
    else:
        body = submit_body_from_data_sm(pdu, c.REGISTERED_DELIVERY_FINAL)
    return Submission(pdu.addresses, (body,), pdu.registered_delivery, "smpp", validity)


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
