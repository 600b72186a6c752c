"""The SMPP sessions of customers: checks binds, takes messages, and finds the receivers of receipts.

Theory of operation. A connection belongs to no account until the relay accepts its bind. From then on it counts against
its login's `max_binds`. All submit_sm of one read go to the message flow as one batch. The flow checks them, gives
them ids, and makes them durable. Then the session answers all of them in one write, and the flow dispatches them. The
account's rate allows or refuses each message alone, in order. `submissions` reads submit_sm, `questions` answers
query_sm and cancel_sm, and `smpp_receivers` sends receipts.
"""

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.accounts.accounts import Accounts
from relay.accounts.login_uses import LoginUses
from relay.accounts.smpp_logins import FIRST, SmppLogin
from relay.config import account_config, daemon_config, listener_config
from relay.customers.bind_check import BindVerdict, check_bind
from relay.customers.bind_guard import BindGuard
from relay.customers.bound_logins import BoundLogins
from relay.customers.questions import CustomerQuestions
from relay.customers.smpp_receivers import AccountReceivers
from relay.customers.submissions import submission, with_default_sender
from relay.decisions.message_questions import decide_all, decided_now
from relay.receipts.writer import ReceiptWriter
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Drain, Tasks
from relay.smpp.message_codec import deliver_body_from_data_sm
from relay.smpp.other_codec import submit_multi_resp_body
from relay.smpp.server import SmppServerProtocol
from relay.smpp.tapping import begin_tap, end_tap
from relay.store.store_values import StoreFull, StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import id_octets
from relay.values.messages import Message, Submission
from relay.values.notifications import Channel, QueueKey
from relay.values.pdus import Accepted, Answered, BindPdu, MessageIdPdu, MessagePdu, SubmitMultiPdu
from relay.values.wire_tap import WireTap

_RESP = c.RESPONSE_BIT
#: If another bind needs the place of a silent session, that session must answer enquire_link in this time.
PROBE_SECONDS: Final = 5.0
#: The beginning of the settings that keep the last use of each SMPP login.
_USED_SETTING: Final = "smpp_used."


class CustomerSessions:
    """Serves all SMPP sessions of customers: checks binds, takes messages, answers queries, and sends receipts.

    It implements `CustomerSide`, which the server's protocols call, and sends the notifications of the SMPP channel.
    """

    log = Logger()

    def __init__(
        self,
        flow: MessageFlow,
        accounts: Accounts,
        settings: listener_config.SmppListener,
        limits: daemon_config.Limits,
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
        self._uses = LoginUses(flow.store, accounts, clock, _USED_SETTING)
        #: The bound sessions.
        self.bound = BoundLogins(accounts, self._uses, clock, SmppServerProtocol.unbind)
        #: By account and login.
        self._receivers: dict[tuple[str, str], AccountReceivers] = {}
        #: By account: queues of logins that the configuration doesn't have any more.
        self._left: dict[str, set[QueueKey]] = {}
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
        await self._uses.stop()

    def drop(self, account: str) -> int:
        """Unbinds all sessions of an account, for an operator. Returns how many they are."""
        sessions = self.bound.of(account)
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
        for protocol in self.bound.of(account):
            if tap is None:
                end_tap(protocol)
            else:
                begin_tap(protocol, tap, f"a session from {protocol.address}")

    def abort(self) -> None:
        """Drops the connections that are still open after `stop`."""
        for protocol in tuple(self._connections):
            protocol.abort()

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    # NotificationSender

    def wake(self, queue_key: QueueKey) -> None:
        account, _, login = queue_key
        if login and login not in self._accounts.smpp_logins(account):
            # The login is gone. The first one gets what it is owed, now or when it binds.
            self._left.setdefault(account, set()).add(queue_key)
            login = FIRST
        receivers = self._receivers.get((account, login))
        if receivers is not None:
            receivers.wake(queue_key)

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
        login = verdict.login
        assert login is not None
        self.bound.add(protocol, login, pdu.password)
        protocol.interface_version = pdu.interface_version or 0x33
        tap = self._taps.get(login.account)
        if tap is not None:
            begin_tap(protocol, tap, f"a session from {protocol.address}, which has sent its bind")
        protocol.session.accept_bind(pdu, self._settings.system_id, now)
        # The response to the bind must leave before the first deliver_sm that waited for it.
        protocol.flush()
        self.log.info(
            "customer_bound: {account} is bound from {address}, as {system_id}{how}",
            account=login.account,
            address=protocol.address,
            system_id=pdu.system_id,
            how="" if login.settings.password.matches(pdu.password) else " with its old password",
        )
        if protocol.session.can_send:
            self._receivers_of(login).add(protocol)
            if login.name == FIRST:
                for queue_key in self._left.pop(login.account, ()):
                    self.wake(queue_key)

    def messages(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        self._tasks.start(self._submit(protocol, pdus))

    def question(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        self._tasks.start(self._questions.answer(protocol, pdu))

    def submit_multi(self, protocol: SmppServerProtocol, pdu: SubmitMultiPdu) -> None:
        self._tasks.start(self._submit_multi(protocol, pdu))

    def answered(self, protocol: SmppServerProtocol, answers: list[Answered]) -> None:
        receivers = self._receivers.get((protocol.account, protocol.login))
        if receivers is not None:
            receivers.answered(answers)
        self._drain.check()

    def accepted(self, protocol: SmppServerProtocol, accepted: Accepted) -> None:
        receivers = self._receivers.get((protocol.account, protocol.login))
        if receivers is not None:
            receivers.accepted(accepted)
        self._drain.check()

    def unanswered(self, protocol: SmppServerProtocol, tokens: Sequence[object]) -> None:
        receivers = self._receivers.get((protocol.account, protocol.login))
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
        if self.bound.remove(protocol):
            session = protocol.session
            self.log.info(
                "customer_left: a session of {account} ended: {reason}; {refused} of its requests were refused unread; "
                "{unknown} of its responses belonged to no request",
                account=account,
                reason=reason,
                refused=session.refused_requests,
                unknown=session.unknown_responses,
            )
        receivers = self._receivers.get((account, protocol.login))
        if receivers is not None:
            receivers.remove(protocol)
            if receivers.empty:
                del self._receivers[account, protocol.login]
        if protocol.login not in self._accounts.smpp_logins(account):
            # What the session had not answered is for another login now.
            self.wake(QueueKey(account, Channel.SMPP.value, protocol.login))

    def mobile_originated(self, account: str, pdu: MessagePdu) -> "Deferred[int] | None":
        """Sends a message from a handset to a receiver of the account's first login. A data_sm becomes a deliver_sm.

        :return: None: no receiver can take it. Otherwise it fires with the customer's command_status.
        """
        receivers = self._receivers.get((account, FIRST))
        if receivers is None:
            return None
        return receivers.offer(pdu.body if pdu.command_id == c.DELIVER_SM else deliver_body_from_data_sm(pdu))

    # Binding

    def _check_bind(self, address: str, pdu: BindPdu, now: float) -> BindVerdict:
        if not self._flow.open:
            return BindVerdict(c.ESME_RBINDFAIL, reason="the relay is stopping")
        verdict = check_bind(self._accounts, self._guard, address, pdu, now)
        login = verdict.login
        if login is not None and len(self.bound.of_login(login)) >= login.settings.max_binds:
            self._probe_silent(login, now)
            most = login.settings.max_binds
            return BindVerdict(c.ESME_RALYBND, reason=f"the login has its {most} sessions already")
        return verdict

    def _note_refusal(self, address: str, pdu: BindPdu, verdict: BindVerdict) -> None:
        login = self._accounts.by_system_id(pdu.system_id)
        tap = None if login is None else self._taps.get(login.account)
        if tap is not None:
            tap.note("", f"a bind from {address} was refused: {c.status_name(verdict.status)}, {verdict.reason}")

    def _probe_silent(self, login: SmppLogin, now: float) -> None:
        """Sends enquire_link on the login's session that has been silent for longest.

        So a session whose peer is frozen ends within `PROBE_SECONDS`, and not after three times `enquire_link_seconds`.
        """
        protocol = min(self.bound.of_login(login), key=lambda protocol: protocol.session.heard_at)
        protocol.session.probe(now, PROBE_SECONDS)
        protocol.flush()

    def _receivers_of(self, login: SmppLogin) -> AccountReceivers:
        account = login.account
        receivers = self._receivers.get((account, login.name))
        if receivers is None:
            accounts = self._accounts
            receivers = self._receivers[account, login.name] = AccountReceivers(
                QueueKey(account, Channel.SMPP.value, login.name),
                self._flow.store,
                self._writer,
                self._clock,
                self._tasks,
                # A reload may have removed the account while its sessions are being unbound.
                error_codes=lambda: (accounts.find(account) or account_config.Account()).error_codes,
                keep_seconds=lambda: (accounts.find(account) or account_config.Account()).receipt_hours * 3600.0,
                counters=self._flow.counters,
            )
        return receivers

    # Submitting

    async def _submit(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        wanted = self._wanted(protocol, pdus)
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
        wanted = self._wanted(protocol, pdu.messages)
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

    def _wanted(self, protocol: SmppServerProtocol, pdus: Sequence[MessagePdu]) -> list[Submission | int]:
        """Makes a submission of each PDU, or the status that refuses it. Both lists have the same order."""
        now, login = self._clock.seconds(), protocol.receipts_to
        wanted = [submission(pdu, now, login) for pdu in pdus]
        configured = self._accounts.find(protocol.account)
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
