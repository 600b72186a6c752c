"""The SMPP sessions of customers: checks binds, takes messages, and finds the receivers of receipts.

Theory of operation. A connection belongs to no account until the relay accepts its bind. From then on it counts against
the account's `max_binds`. All submit_sm of one read go to the message flow as one batch. The flow checks them, gives
them ids, and makes them durable. Then the session answers all of them in one write, and the flow dispatches them. The
account's rate allows or refuses each message alone, in order. `submissions` reads submit_sm, `questions` answers
query_sm and cancel_sm, and `smpp_receivers` sends receipts.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.accounts.accounts import Accounts
from relay.config import model
from relay.customers.bind_guard import BindGuard
from relay.customers.questions import CustomerQuestions
from relay.customers.smpp_receivers import AccountReceivers
from relay.customers.submissions import submission, with_default_sender
from relay.decisions.message_questions import decide_all, decided_now
from relay.receipts.writer import ReceiptWriter
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Drain, Tasks
from relay.smpp.message_codec import deliver_body_from_data_sm
from relay.smpp.other_codec import MAX_INTERFACE_VERSION, submit_multi_resp_body
from relay.smpp.server import SmppServerProtocol
from relay.smpp.tapping import begin_tap, end_tap
from relay.store.api import StoreFull, StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import id_octets
from relay.values.messages import Channel, Message, QueueKey, Submission
from relay.values.pdus import Answered, BindPdu, MessageIdPdu, MessagePdu, SubmitMultiPdu
from relay.values.secret import Secret
from relay.values.wire_tap import WireTap

_RESP = c.RESPONSE_BIT
#: If another bind needs the place of a silent session, that session must answer enquire_link in this time.
PROBE_SECONDS: Final = 5.0
#: Compared with the password of a bind with an unknown system_id, so that its check takes the same time as others.
_NOBODY = Secret("no account has this password")


class BindVerdict(msgspec.Struct, frozen=True, gc=False):
    """The decision about a bind.

    :ivar status: ESME_ROK if the bind is accepted.
    :ivar reason: why it is refused, for the log. The customer gets only the status.
    :ivar guessed: whether the system_id or the password was wrong. Only such a bind counts as a failure of the address.
        If others counted, a customer who has to wait, or has too many sessions, would be kept out for trying again.
    """

    status: int
    account: str = ""
    reason: str = ""
    guessed: bool = False


class CustomerSessions:
    """Serves all SMPP sessions of customers: checks binds, takes messages, answers queries, and sends receipts.

    It implements `CustomerSide`, which the server's protocols call, and sends the notifications of the SMPP channel.
    """

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
        self._questions = CustomerQuestions(flow, clock)
        self._tasks = Tasks(self.log)
        self._writer = ReceiptWriter()
        self._sessions: dict[str, list[SmppServerProtocol]] = {}
        self._receivers: dict[str, AccountReceivers] = {}
        self._connections: set[SmppServerProtocol] = set()
        self._drain = Drain(lambda: sum(protocol.session.outstanding for protocol in self._connections), clock)
        #: The accounts that an operator traces.
        self._taps: dict[str, WireTap] = {}
        #: How many binds were refused, by command_status.
        self.binds_refused: dict[int, int] = {}

    # Life

    async def stop(self, limit_seconds: float) -> None:
        """Waits for the answers under way, then unbinds and closes every session.

        Receipts that customers acknowledge within `limit_seconds` are settled when this returns. Customers get the
        others again after the next start.
        """
        await self._tasks.wait()
        for protocol in tuple(self._connections):
            if protocol.account:
                # From here on, no receipt is sent on this session.
                protocol.unbind()
            else:
                protocol.close()
        await self._drain.wait(limit_seconds)
        await self._tasks.wait()

    def drop(self, account: str) -> int:
        """Unbinds all sessions of an account, for an operator or a reload. Returns how many they are."""
        sessions = tuple(self._sessions.get(account, ()))
        for protocol in sessions:
            protocol.unbind()
        return len(sessions)

    def tap(self, account: str, tap: WireTap | None) -> None:
        """Gives `tap` what goes over the sessions of an account, also over later ones; None: nobody gets it any more.

        Of a later session it gets the response to the bind, and what follows.
        """
        self._taps.pop(account, None)
        if tap is not None:
            self._taps[account] = tap
        for protocol in self._sessions.get(account, ()):
            if tap is None:
                end_tap(protocol)
            else:
                begin_tap(protocol, tap, f"a session from {protocol.address}")

    def abort(self) -> None:
        """Drops the connections that are still open after `stop`."""
        for protocol in tuple(self._connections):
            protocol.abort()

    def bound_count(self, account: str) -> int:
        """Sessions of the account that are bound now."""
        return len(self._sessions.get(account, ()))

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    # NotificationSender

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
        verdict = self._check_bind(protocol.address, pdu, now)
        status = verdict.status
        if status != c.ESME_ROK:
            if verdict.guessed:
                self._guard.failed(protocol.address, now)
            self.binds_refused[status] = self.binds_refused.get(status, 0) + 1
            if self._guard.may_try(protocol.address, now):
                # Later guesses in the minute are counted but not logged, so that they don't fill the log.
                self.log.warn(
                    "customer_bind_refused: {system_id} from {address}: {status}, {reason}",
                    system_id=pdu.system_id,
                    address=protocol.address,
                    status=c.status_name(status),
                    reason=verdict.reason,
                )
            if self._taps:
                self._note_refusal(protocol.address, pdu, verdict)
            protocol.session.refuse_bind(pdu, status)
            protocol.flush()
            protocol.close()
            return
        account = verdict.account
        protocol.account = account
        protocol.interface_version = pdu.interface_version or 0x33
        self._sessions.setdefault(account, []).append(protocol)
        tap = self._taps.get(account)
        if tap is not None:
            begin_tap(protocol, tap, f"a session from {protocol.address}, which has sent its bind")
        protocol.session.accept_bind(pdu, self._settings.system_id, now)
        # The response to the bind must leave before the first deliver_sm that waited for it.
        protocol.flush()
        self.log.info("customer_bound: {account} is bound from {address}", account=account, address=protocol.address)
        if protocol.session.can_send:
            self._receivers_of(account).add(protocol)

    def messages(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        self._tasks.start(self._submit(protocol, pdus))

    def question(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        self._tasks.start(self._questions.answer(protocol, pdu))

    def submit_multi(self, protocol: SmppServerProtocol, pdu: SubmitMultiPdu) -> None:
        self._tasks.start(self._submit_multi(protocol, pdu))

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
            session = protocol.session
            self.log.info(
                "customer_left: a session of {account} ended: {reason}; {refused} of its requests were refused unread; "
                "{unknown} of its responses belonged to no request",
                account=account,
                reason=reason,
                refused=session.refused_requests,
                unknown=session.unknown_responses,
            )
        if not sessions:
            self._sessions.pop(account, None)
        receivers = self._receivers.get(account)
        if receivers is not None:
            receivers.remove(protocol)
            if receivers.empty:
                del self._receivers[account]

    def mobile_originated(self, account: str, pdu: MessagePdu) -> "Deferred[int] | None":
        """Sends a message from a handset to one of the account's receivers. A data_sm is sent as a deliver_sm.

        :return: None: no receiver can take it. Otherwise it fires with the customer's command_status.
        """
        receivers = self._receivers.get(account)
        if receivers is None:
            return None
        return receivers.offer(pdu.body if pdu.command_id == c.DELIVER_SM else deliver_body_from_data_sm(pdu))

    # Binding

    def _check_bind(self, address: str, pdu: BindPdu, now: float) -> BindVerdict:
        if not self._guard.may_try(address, now):
            return BindVerdict(c.ESME_RBINDFAIL, reason="too many wrong passwords from its network")
        if not self._flow.open:
            return BindVerdict(c.ESME_RBINDFAIL, reason="the relay is stopping")
        if pdu.interface_version > MAX_INTERFACE_VERSION:
            reason = f"interface_version 0x{pdu.interface_version:02X} is over 0x{MAX_INTERFACE_VERSION:02X}"
            return BindVerdict(c.ESME_RBINDFAIL, reason=reason)
        found = self._accounts.by_system_id(pdu.system_id)
        login = None if found is None else found[1].smpp
        # An unknown name takes the same time and gets the same answer as a wrong password, so that nobody learns which
        # names exist.
        right = (_NOBODY if login is None else login.password).matches(pdu.password)
        if found is None or login is None:
            return BindVerdict(c.ESME_RBINDFAIL, reason="no account has this system_id", guessed=True)
        if login.allow_from and not _within(address, login.allow_from):
            return BindVerdict(c.ESME_RBINDFAIL, reason="its network is not in allow_from")
        if not right:
            return BindVerdict(c.ESME_RBINDFAIL, reason="the password is wrong", guessed=True)
        account = found[0]
        if self._accounts.is_suspended(account):
            return BindVerdict(c.ESME_RBINDFAIL, reason="the account is suspended")
        if len(self._sessions.get(account, ())) >= login.max_binds:
            self._probe_silent(account, now)
            return BindVerdict(c.ESME_RALYBND, reason=f"the account has its {login.max_binds} sessions already")
        return BindVerdict(c.ESME_ROK, account)

    def _note_refusal(self, address: str, pdu: BindPdu, verdict: BindVerdict) -> None:
        found = self._accounts.by_system_id(pdu.system_id)
        tap = None if found is None else self._taps.get(found[0])
        if tap is not None:
            tap.note("", f"a bind from {address} was refused: {c.status_name(verdict.status)}, {verdict.reason}")

    def _probe_silent(self, account: str, now: float) -> None:
        """Sends enquire_link on the account's session that has been silent for longest.

        So a session whose peer is frozen ends within `PROBE_SECONDS`, and not after three times `enquire_link_seconds`.
        """
        sessions = self._sessions.get(account)
        if sessions:
            protocol = min(sessions, key=lambda protocol: protocol.session.heard_at)
            protocol.session.probe(now, PROBE_SECONDS)
            protocol.flush()

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
                # A reload may have removed the account while its sessions are being unbound.
                error_codes=lambda: (accounts.find(account) or model.Account()).error_codes,
                keep_seconds=lambda: (accounts.find(account) or model.Account()).receipt_hours * 3600.0,
                counters=self._flow.counters,
            )
        return receivers

    # Submitting

    async def _submit(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        wanted = self._wanted(protocol.account, pdus)
        if self._flow.decisions.active:
            decided = decided_now(self._flow.decisions, protocol.account, wanted)
            later = [index for index, one in enumerate(decided) if one is None]
            if later:
                # A slow decision delays no other message of the session.
                waiting = [pdus[n] for n in later], [wanted[n] for n in later]
                self._tasks.start(self._submit_later(protocol, *waiting))
                pdus = [pdu for pdu, one in zip(pdus, decided, strict=True) if one is not None]
            wanted = [one for one in decided if one is not None]
        if pdus:
            await self._take(protocol, pdus, wanted)

    async def _submit_later(
        self, protocol: SmppServerProtocol, pdus: list[MessagePdu], wanted: Sequence[Submission | int]
    ) -> None:
        """Submits messages when the decision service has decided about them."""
        decided = await decide_all(self._flow.decisions, protocol.account, wanted)
        # A customer who has gone can't get the ids any more, and will submit the messages again.
        if not protocol.lost:
            await self._take(protocol, pdus, decided)

    async def _take(
        self, protocol: SmppServerProtocol, pdus: Sequence[MessagePdu], wanted: Sequence[Submission | int]
    ) -> None:
        outcomes = self._prepare(protocol.account, wanted)
        messages = [outcome for outcome in outcomes if type(outcome) is Message]
        failure = await self._accept(messages) if messages else c.ESME_ROK
        answers: dict[int, list[tuple[int, int, bytes]]] = {}
        command = -1
        batch: list[tuple[int, int, bytes]] = []
        throttled = False
        for pdu, outcome in zip(pdus, outcomes, strict=True):
            if pdu.command_id != command:
                command = pdu.command_id
                batch = answers.setdefault(command, [])
            if type(outcome) is int:
                batch.append((pdu.sequence_number, outcome, b""))
                throttled = throttled or outcome == c.ESME_RTHROTTLED
            elif failure:
                batch.append((pdu.sequence_number, failure, b""))
            else:
                batch.append((pdu.sequence_number, 0, id_octets(outcome.id) + b"\0"))  # type: ignore[union-attr]
        if throttled:
            protocol.slow_down()
        for command, batch in answers.items():
            protocol.respond(command | _RESP, batch)
        if messages and not failure:
            # If we stop here, then the messages are dispatched after the start: they are durable.
            self._flow.dispatch(messages)

    async def _submit_multi(self, protocol: SmppServerProtocol, pdu: SubmitMultiPdu) -> None:
        account = protocol.account
        wanted = self._wanted(account, pdu.messages)
        if self._flow.decisions.active:
            wanted = await decide_all(self._flow.decisions, account, wanted)
            if protocol.lost:
                return
        outcomes = self._prepare(account, wanted)
        messages = [outcome for outcome in outcomes if type(outcome) is Message]
        failure = await self._accept(messages) if messages else c.ESME_ROK
        failed = list(pdu.failed)
        for one, outcome in zip(pdu.messages, outcomes, strict=True):
            if type(outcome) is int:
                failed.append((one.destination_address, outcome))
                if outcome == c.ESME_RTHROTTLED:
                    protocol.slow_down()
        if failure or not messages:
            # No message was accepted. Clients understand one status, as they do for a submit_sm.
            answer = (pdu.sequence_number, failure or failed[0][1], b"")
        else:
            body = submit_multi_resp_body(id_octets(messages[0].id), failed)
            answer = (pdu.sequence_number, c.ESME_ROK, body)
        protocol.respond(c.SUBMIT_MULTI_RESP, [answer])
        if messages and not failure:
            # If we stop here, then the messages are dispatched after the start: they are durable.
            self._flow.dispatch(messages)

    def _wanted(self, account: str, pdus: Sequence[MessagePdu]) -> list[Submission | int]:
        """Makes a submission of each PDU, or the status that refuses it. Both lists have the same order."""
        now = self._clock.seconds()
        wanted = [submission(pdu, now) for pdu in pdus]
        configured = self._accounts.find(account)
        if configured is not None and (sender := configured.senders.default):
            wanted = [one if type(one) is int else with_default_sender(one, sender) for one in wanted]  # type: ignore[arg-type]
        return wanted

    def _prepare(self, account: str, wanted: Sequence[Submission | int]) -> list[Message | int]:
        """Makes a message of each submission, or the status that refuses it. Both lists have the same order."""
        flow = self._flow
        submissions = [one for one in wanted if type(one) is Submission]
        prepared = iter(flow.prepare(account, submissions, each_alone=True) if submissions else ())
        outcomes: list[Message | int] = []
        for one in wanted:
            if type(one) is int:
                flow.counters.account(account).refuse(one)
                outcomes.append(one)
            else:
                result = next(prepared)
                if type(result) is Message:
                    outcomes.append(result)
                else:
                    outcomes.append(result.command_status)  # type: ignore[union-attr]
        return outcomes

    async def _accept(self, messages: list[Message]) -> int:
        """Makes the messages durable. Returns ESME_ROK, or the status that refuses all of them."""
        try:
            await self._flow.accept(messages)
        except StoreUnavailable as reason:
            return c.ESME_RMSGQFUL if isinstance(reason, StoreFull) else c.ESME_RSYSERR
        return c.ESME_ROK


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
