"""Takes what a carrier sends to us: receipts, and messages from handsets.

All receipts of one read go to the message flow as one batch. When the batch is durable, they are answered ESME_ROK in
one write. Those that can't be made durable are answered ESME_RX_T_APPN, and the carrier tries again. An unknown id is
never an error, because some carriers stop their queues after an error. A deliver_sm that isn't a receipt is refused
with ESME_RX_P_APPN, unless the configuration names an account for it (`relay.carriers.handset_messages`).
"""

from collections import Counter
from collections.abc import Callable, Sequence, Set

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from relay.carriers.context import CarrierContext
from relay.carriers.read_again import read_again
from relay.carriers.session_api import Responder
from relay.receipts.reader import ReceiptReader
from relay.smpp.message_codec import decode_message
from relay.store.store_values import ReadAgain, StoreUnavailable
from relay.values.carrier_reports import Outcome, Receipt
from relay.values.histogram import SLOW_SECONDS, Histogram
from relay.values.pdus import CodecError, MessagePdu
from relay.values.smpp_constants import (
    ESM_CLASS_DELIVERY_RECEIPT,
    ESM_CLASS_TYPE_MASK,
    ESME_ROK,
    ESME_RX_P_APPN,
    ESME_RX_T_APPN,
    RESPONSE_BIT,
)
from relay.values.states import UNKNOWN

#: Gets the carrier's name and a deliver_sm or data_sm that isn't a receipt. Returns None if nobody can take it now;
#: otherwise a Deferred that fires with the command_status of the answer.
MobileOriginated = Callable[[str, MessagePdu], "Deferred[int] | None"]

#: The body of every deliver_sm_resp and data_sm_resp: an empty message_id (SMPP 3.4 section 4.6.2).
_EMPTY_MESSAGE_ID = b"\0"


class ReceiptIntake:
    """Takes the receipts and handsets' messages of one carrier. They may come over any of its sessions."""

    log = Logger()

    def __init__(self, carrier: CarrierContext, mobile_originated: MobileOriginated) -> None:
        self._settings = carrier.settings
        self._flow = carrier.flow
        self._clock = carrier.clock
        self._tasks = carrier.tasks
        self._mobile_originated = mobile_originated
        self._name = carrier.name
        self._reader = ReceiptReader(carrier.name, carrier.settings.dialect)
        #: How many receipts had each `Outcome`, by its number.
        self.outcomes = [0] * len(Outcome)
        #: How many messages receipts have ended, by the state in the last receipt.
        self.ended: Counter[int] = Counter()
        #: The time from accepting a message to the receipt that ended it.
        self.receipt_seconds = Histogram(SLOW_SECONDS)
        self.mobile_originated = 0
        self.not_durable = 0
        #: How many kept receipts found their message when they were read again.
        self.reread = 0

    def take(self, protocol: Responder, pdus: list[MessagePdu]) -> None:
        """Handles the deliver_sm and data_sm of one read. They are answered when they are durable."""
        now = self._clock.seconds()
        reader = self._reader
        receipts: list[Receipt] = []
        answers: dict[int, list[int]] = {}
        command_id = -1
        sequence_numbers: list[int] = []
        #: The sequence_numbers in the order of the receipts.
        in_order: list[int] = []
        for pdu in pdus:
            # The usual esm_class is checked first, to save a call for each receipt.
            if pdu.esm_class != ESM_CLASS_DELIVERY_RECEIPT and not reader.is_receipt(pdu):
                self._take_mobile_originated(protocol, pdu)
                continue
            receipts.append(reader.read(pdu, now))
            if pdu.command_id != command_id:
                command_id = pdu.command_id
                sequence_numbers = answers.setdefault(command_id, [])
            sequence_numbers.append(pdu.sequence_number)
            in_order.append(pdu.sequence_number)
        if receipts:
            self._tasks.start(self._take_receipts(protocol, receipts, answers, in_order))

    def read_again(self, kept: Receipt) -> Receipt | None:
        """Reads a receipt that the store keeps, with the present dialect; None: it is unreadable."""
        return read_again(self._reader, kept)

    def count_reread(self, batch: Sequence[ReadAgain], outcomes: Sequence[Outcome]) -> int:
        """Counts the kept receipts that found their message when they were read again. Returns how many they are.

        They were counted as orphans or unreadable when they came, so they are not counted as receipts again.
        """
        found = len(outcomes) - outcomes.count(Outcome.ORPHAN)
        self.reread += found
        for again, outcome in zip(batch, outcomes, strict=True):
            if outcome is Outcome.FINAL:
                state = again.receipt.state
                self.ended[UNKNOWN if state is None else state] += 1
        return found

    async def keep(self, receipts: list[Receipt], *, asked_for: bool = False) -> Set[int]:
        """Makes receipts durable. Returns the indexes of those that can't be made durable now: the carrier must send
        these again.

        :param asked_for: whether they are answers to query_sm. Then they don't count in `receipt_seconds`.
        """
        try:
            result = await self._flow.follow_up(self._flow.store.receipts(receipts))
        except StoreUnavailable:
            self.not_durable += len(receipts)
            return frozenset(range(len(receipts)))
        outcomes, refused = result.outcomes, result.refused
        kept = receipts
        if refused:
            self.not_durable += len(refused)
            outcomes = [outcome for index, outcome in enumerate(outcomes) if index not in refused]
            kept = [receipt for index, receipt in enumerate(receipts) if index not in refused]
        ended = self._count(kept, outcomes)
        if ended and not asked_for:
            now = receipts[-1].received_at
            last_at = result.accepted_at
            first_at = result.first_accepted_at or last_at
            self.receipt_seconds.observe_ends(now - first_at, now - last_at, ended)
        return refused

    def _count(self, receipts: list[Receipt], found: Sequence[Outcome]) -> int:
        """Counts a batch by outcome, and by the states that ended messages. Returns how many messages it ended.

        Nearly always each receipt ends its message. Then the counts are made without a loop, which is faster.
        """
        ended = found.count(Outcome.FINAL)
        if ended == len(receipts):
            self.outcomes[Outcome.FINAL] += ended
            states = [receipt.state for receipt in receipts]
        else:
            for outcome in found:
                self.outcomes[outcome] += 1
            pairs = zip(receipts, found, strict=True)
            states = [receipt.state for receipt, outcome in pairs if outcome is Outcome.FINAL]
        for state in set(states):
            self.ended[UNKNOWN if state is None else state] += states.count(state)
        return ended

    async def _take_receipts(
        self, protocol: Responder, receipts: list[Receipt], answers: dict[int, list[int]], in_order: list[int]
    ) -> None:
        refused = {in_order[index] for index in await self.keep(receipts)}
        # If we stop here, then the carrier sends these again, and the store recognizes them as repeated.
        for command_id, numbers in answers.items():
            responses = [(n, ESME_ROK, _EMPTY_MESSAGE_ID) for n in numbers]
            if refused:
                responses = [(n, ESME_RX_T_APPN, b"") if n in refused else (n, status, b) for n, status, b in responses]
            protocol.respond(command_id | RESPONSE_BIT, responses)

    def _take_mobile_originated(self, protocol: Responder, pdu: MessagePdu) -> None:
        self.mobile_originated += 1
        if pdu.esm_class & ESM_CLASS_TYPE_MASK:
            # A damaged PDU is passed on if esm_class marks it as a receipt (`decode_damaged_receipt`). A customer must
            # not get a damaged PDU.
            try:
                decode_message(pdu.command_id, pdu.sequence_number, pdu.body)
            except CodecError as problem:
                self._answer(problem.command_status, protocol, pdu)
                return
        if self._settings.mobile_originated == "refuse" and not self._settings.inbound:
            self._answer(ESME_RX_P_APPN, protocol, pdu)
            return
        handed = self._mobile_originated(self._name, pdu)
        if handed is None:
            # No receiver of the account is bound. The carrier may try again.
            self._answer(ESME_RX_T_APPN, protocol, pdu)
        else:
            # It is answered only when it is durable, or when the customer has answered.
            handed.addCallback(self._answer, protocol, pdu)

    def _answer(self, status: int, protocol: Responder, pdu: MessagePdu) -> None:
        protocol.respond(pdu.command_id | RESPONSE_BIT, [(pdu.sequence_number, status, _EMPTY_MESSAGE_ID)])
