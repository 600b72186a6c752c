"""Customers' requests about their messages: query_sm and cancel_sm."""

from relay.routing.flow import MessageFlow
from relay.smpp.other_codec import query_sm_resp_body
from relay.smpp.server import SmppServerProtocol
from relay.smpp.times import smpp_time_text
from relay.store.api import StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import id_octets, parse_id
from relay.values.messages import MessageView, same_addresses
from relay.values.network_errors import error_number
from relay.values.pdus import MessageIdPdu
from relay.values.states import ENROUTE, SCHEDULED


class CustomerQuestions:
    """Answers query_sm and cancel_sm from the store and the flow."""

    def __init__(self, flow: MessageFlow) -> None:
        self._flow = flow

    async def answer(self, protocol: SmppServerProtocol, pdu: MessageIdPdu) -> None:
        """Answers one query_sm or cancel_sm. A message of another account counts as unknown."""
        if pdu.command_id == c.QUERY_SM:
            await self._query(protocol, pdu)
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
        state = ENROUTE if view.state == SCHEDULED else view.state
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
