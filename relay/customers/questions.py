"""Customers' requests about their messages: query_sm, cancel_sm and replace_sm."""

from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.customers.submissions import replacement
from relay.decisions.message_questions import decide_all
from relay.routing.flow import MessageFlow
from relay.smpp.other_codec import query_sm_resp_body
from relay.smpp.server import SmppServerProtocol
from relay.smpp.times import smpp_time_text
from relay.store.store_values import StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import id_octets, parse_id
from relay.values.message_view import MessageView
from relay.values.messages import Submission, same_addresses
from relay.values.network_errors import error_number
from relay.values.pdus import MessageIdPdu, ReplacePdu
from relay.values.states import ENROUTE, SCHEDULED

#: The state SCHEDULED is of SMPP 5.0 (section 4.7.15); customers that speak 3.4 may not read it.
_KNOWS_SCHEDULED: Final = 0x50


class CustomerQuestions:
    """Answers query_sm, cancel_sm and replace_sm from the store and the flow."""

    def __init__(self, flow: MessageFlow, clock: IReactorTime) -> None:
        self._flow = flow
        self._clock = clock

    async def answer(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        """Answers one query_sm or cancel_sm. A message of another account counts as unknown."""
        if pdu.command_id == c.QUERY_SM:
            await self._query(protocol, pdu)
        elif isinstance(pdu, ReplacePdu):
            status = await self._replace(protocol, pdu)
            protocol.respond(c.REPLACE_SM_RESP, [(pdu.sequence_number, status, b"")])
        else:
            await self._cancel(protocol, pdu)

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
        done_at = view.told_done_at
        final_date = smpp_time_text(done_at) if view.final and done_at is not None else b""
        state = view.state
        if state == SCHEDULED and not (view.waits_for_its_time and protocol.interface_version >= _KNOWS_SCHEDULED):
            state = ENROUTE
        # One octet, SMPP 3.4 section 4.8.2.
        error = error_number(view.carrier_error)
        error = error if error < 256 else 0
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

    async def _replace(self, protocol: SmppServerProtocol, pdu: ReplacePdu) -> int:
        """The command_status of the answer."""
        view = await self._find(protocol, pdu)
        if view is None or view.final:
            return c.ESME_RREPLACEFAIL
        if not self._flow.may_submit(view.account):
            # A replacement costs as much as a message.
            return c.ESME_RTHROTTLED
        try:
            [body] = await self._flow.store.bodies([(view.id, 0)])
            if body is None:
                return c.ESME_RREPLACEFAIL
            wanted = replacement(pdu, view, body, self._clock.seconds())
            if isinstance(wanted, int):
                return wanted
            if self._flow.decisions.active:
                # The decision service may refuse the new text. Tags and sender stay those of the first decision.
                new = Submission(view.addresses, (wanted.body,))
                [decided] = await decide_all(self._flow.decisions, view.account, [new])
                if isinstance(decided, int):
                    return decided
            return c.ESME_ROK if await self._flow.replace(wanted) else c.ESME_RREPLACEFAIL
        except StoreUnavailable:
            return c.ESME_RSYSERR
