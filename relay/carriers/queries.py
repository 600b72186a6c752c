"""Asks one carrier about parts that it has taken: query_sm for overdue parts, and cancel_sm for customers.

Theory of operation: queries wait here. The carrier's link sends them before messages, as far as its windows, rate and
pauses allow. query_sm use at most `_SHARE` of the windows. The relay makes a `Receipt` of the answer to a query_sm, and
handles it like any other receipt. If the answer has no final state, or makes no sense, or if no answer comes, the store
is told, and decides.

A query has the id as the carrier wrote it (`AtCarrier.given_id`), because the canonical id has lost case, zeros or
base. If that spelling was not kept, the canonical id is used if the carrier could have written it. Otherwise the
carrier isn't asked.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from relay.carriers.context import CarrierContext
from relay.carriers.receipt_intake import ReceiptIntake
from relay.carriers.session_api import CarrierSession
from relay.carriers.submit_results import AnswerClass, class_of
from relay.receipts.dates import DoneDates
from relay.receipts.dialects import UNHEARD_OF, CarrierIds, CarrierStates, resolve
from relay.smpp.other_codec import cancel_sm_body, decode_query_sm_resp, query_sm_body
from relay.text.carrier_form import PLAIN_CARRIER_FORM, CarrierForm
from relay.text.compose import source_address
from relay.values import smpp_constants as c
from relay.values.carrier_reports import AtCarrier, QueryOutcome, Receipt, Submitted
from relay.values.messages import source_of
from relay.values.pdus import Answered, CodecError

#: The share of all windows that query_sm may use. At least one is always allowed.
_SHARE: Final = 0.1
#: How many cancel_sm may wait or be under way at once. Further ones are refused.
_CANCELS: Final = 1_000
#: If the carrier says that a message is under way, the relay waits once more: as long as for the receipt, but at most
#: this long.
_LONGEST_WAIT_SECONDS: Final = 24 * 3600.0
#: After so many sessions in a row that ended with a query unanswered, the carrier is not asked any more.
_DEATHS: Final = 2
#: ton, npi and an address without a character.
_UNKNOWN_SOURCE: Final = b"\0\0\0"
#: Answers by which the carrier says that it gets too many requests.
_THROTTLING: Final = frozenset({c.ESME_RTHROTTLED, c.ESME_RMSGQFUL})


class _Query(msgspec.Struct, frozen=True, eq=False):
    """The token of a query_sm."""

    part: AtCarrier


class _Cancel(msgspec.Struct, frozen=True, eq=False):
    """The token of a cancel_sm."""

    part: AtCarrier
    done: "Deferred[bool]"


class CarrierQueries:
    """Sends query_sm and cancel_sm to one carrier, and reads its answers. Only its `CarrierLink` calls it.

    :ivar counts: how many queries had which result since the start, by command (`query_sm`, `cancel_sm`) and result:
        `answered`, `refused`, `unanswered`; for query_sm also `later` (will be asked again).
    """

    log = Logger()

    def __init__(self, carrier: CarrierContext, intake: ReceiptIntake, form: CarrierForm = PLAIN_CARRIER_FORM) -> None:
        self._form = form
        settings = carrier.settings
        self._name = carrier.name
        self._flow = carrier.flow
        self._intake = intake
        self._clock = carrier.clock
        self._new_source = source_address(settings.replace_sender) if settings.replace_sender else b""
        self._tasks = carrier.tasks
        self._ids = CarrierIds(settings.dialect)
        self._dates = DoneDates(resolve(settings.dialect).time_zone or "")
        self._states = CarrierStates(settings.dialect)
        self._most_queries = max(1, int(_SHARE * settings.window * settings.binds))
        self._response_timeout_seconds = settings.response_timeout_seconds
        self._wait_seconds = min(settings.receipt_hours * 3600.0, _LONGEST_WAIT_SECONDS)
        self._queries: deque[_Query] = deque()
        self._cancels: deque[_Cancel] = deque()
        self._queries_under_way = 0
        self._cancels_under_way = 0
        self._unknown_command = False
        #: Sessions in a row that ended with a question unanswered, and whether anything was asked since the last one.
        self._deaths = 0
        self._asked_since_death = False
        #: Sessions that a question has silenced: its time ended in silence. With when they had last been heard.
        self._silent: dict[CarrierSession, float] = {}
        self.counts = {
            (command, result): 0
            for command in ("query_sm", "cancel_sm")
            for result in ("answered", "refused", "unanswered", "later")
        }

    # Asking

    @property
    def given_up(self) -> bool:
        """Whether the carrier is asked no more, because its sessions end when it is asked."""
        return self._deaths >= _DEATHS

    @property
    def room(self) -> int:
        """How many more query_sm may be queued."""
        return max(0, self._most_queries - self._queries_under_way - len(self._queries))

    @property
    def cancels_room(self) -> int:
        """How many more cancel_sm may be queued."""
        return max(0, _CANCELS - self._cancels_under_way - len(self._cancels))

    @property
    def waiting(self) -> int:
        """How many queries wait to be sent."""
        return len(self._queries) + len(self._cancels)

    def named(self, taken: Sequence[Submitted], given: Sequence[bytes]) -> list[Submitted]:
        """Adds the ids as the carrier wrote them to parts that it has taken.

        :param given: the message_id of each submit_sm_resp, in the order of `taken`.
        """
        return [
            msgspec.structs.replace(s, given_id=b"" if given_id == s.carrier_message_id else given_id)
            for s, given_id in zip(taken, given, strict=True)
        ]

    def ask(self, parts: Iterable[AtCarrier]) -> None:
        """Queues query_sm. A part ends without a query if its id can't be written as the carrier would."""
        unknown = []
        for part in parts:
            if self._can_be_named(part):
                self._queries.append(_Query(part))
            else:
                unknown.append(part)
        self._give_up(unknown)

    def cancel(self, part: AtCarrier) -> "Deferred[bool]":
        """Queues a cancel_sm. Its Deferred fires with whether the carrier has cancelled the part, and never fails."""
        if not self._can_be_named(part):
            return succeed(False)
        cancel = _Cancel(part, Deferred())
        self._cancels.append(cancel)
        return cancel.done

    def next(self, count: int) -> list[tuple[int, list[tuple[bytes, object]]]]:
        """Takes up to `count` queries that may be sent now. cancel_sm come first, because customers wait for them.

        :return: each command_id, with its requests for `SessionProtocol.send`.
        """
        cancels: list[tuple[bytes, object]] = []
        queries: list[tuple[bytes, object]] = []
        while self._cancels and len(cancels) < count:
            cancel = self._cancels.popleft()
            cancels.append((cancel_sm_body(cancel.part.given_id, self._addresses(cancel.part)), cancel))
        while self._queries and len(cancels) + len(queries) < count:
            query = self._queries.popleft()
            addresses = self._addresses(query.part)
            source = source_of(addresses)
            queries.append((query_sm_body(query.part.given_id, addresses[0], addresses[1], source), query))
        self._asked_since_death = self._asked_since_death or bool(cancels or queries)
        self._cancels_under_way += len(cancels)
        self._queries_under_way += len(queries)
        return [(command_id, b) for command_id, b in ((c.CANCEL_SM, cancels), (c.QUERY_SM, queries)) if b]

    def _addresses(self, part: AtCarrier) -> bytes:
        """The addresses with which the carrier has the part. A source that isn't known for certain is left empty, as
        SMPP 3.4 sections 4.8.1 and 4.9.1 allow."""
        source = self._new_source
        if not source and self._flow.routes.replace_senders:
            source = _UNKNOWN_SOURCE
        addresses = source + part.addresses[part.addresses.index(0, 2) + 1 :] if source else part.addresses
        return self._form.addresses(addresses) if part.adapt else addresses

    def _can_be_named(self, part: AtCarrier) -> bool:
        given_id = part.given_id
        return 0 < len(given_id) <= 64 and self._ids.response_key(given_id) == part.carrier_message_id

    # Results

    def answered(self, answers: Iterable[Answered]) -> bool:
        """Handles responses. True: one said that the carrier gets too many requests."""
        throttled = False
        receipts: list[tuple[AtCarrier, Receipt]] = []
        ending: list[AtCarrier] = []
        for answer in answers:
            token, status = answer.token, answer.command_status
            if not self.given_up and isinstance(token, _Cancel | _Query):
                self._deaths = 0
            throttled = throttled or status in _THROTTLING
            if isinstance(token, _Cancel):
                self._cancels_under_way -= 1
                ok = status == c.ESME_ROK and answer.command_id == c.CANCEL_SM_RESP
                self._count("cancel_sm", "answered" if ok else "refused")
                token.done.callback(ok)
            elif isinstance(token, _Query):
                self._queries_under_way -= 1
                if status != c.ESME_ROK and class_of(status) is AnswerClass.LATER:
                    # The store will ask for this part again.
                    self._count("query_sm", "later")
                    continue
                receipt = self._receipt(token.part, answer)
                self._count("query_sm", "refused" if receipt is None else "answered")
                if receipt is None:
                    ending.append(token.part)
                else:
                    receipts.append((token.part, receipt))
            self._say_unknown(status)
        self._give_up(ending)
        if receipts:
            self._tasks.start(self._keep(receipts))
        return throttled

    def _receipt(self, part: AtCarrier, answer: Answered) -> Receipt | None:
        """Makes a receipt of a query_sm_resp; None: it has no final state, or is about another message."""
        if answer.command_id != c.QUERY_SM_RESP or answer.command_status != c.ESME_ROK:
            return None
        try:
            message_id, final_date, message_state, error_code = decode_query_sm_resp(answer.body)
        except CodecError:
            return None
        # The sequence_number says which query it answers. If the response has an id, it must be of the same message.
        same = {b"", self._ids.response_key(message_id), self._ids.text_key(message_id), self._ids.tlv_key(message_id)}
        if message_id and part.carrier_message_id not in same:
            return None
        meaning = self._states.of_number(message_state)
        if meaning is UNHEARD_OF:
            return None
        error = b"%d" % error_code if error_code else b""
        now = self._clock.seconds()
        done_at = self._dates.at(final_date, now)
        return Receipt(
            self._name, (part.carrier_message_id,), meaning.state, meaning.final, now, error, carrier_done_at=done_at
        )

    async def _keep(self, answers: list[tuple[AtCarrier, Receipt]]) -> None:
        refused = await self._intake.keep([receipt for _, receipt in answers], asked_for=True)
        if refused:
            # These can't be made durable now. The store will ask for their parts again.
            answers = [answer for index, answer in enumerate(answers) if index not in refused]
        under_way = [
            QueryOutcome(part.id, part.part, receipt.received_at, receipt.received_at + self._wait_seconds)
            for part, receipt in answers
            if not receipt.final
        ]
        if under_way:
            self._flow.follow_up_later(self._flow.store.query_outcomes(under_way))

    def unanswered(self, session: CarrierSession, tokens: Iterable[object]) -> None:
        """Handles queries that got no response in time: overdue parts end, and cancel_sm are refused."""
        ending: list[AtCarrier] = []
        for token in tokens:
            if isinstance(token, _Query):
                self._queries_under_way -= 1
                self._count("query_sm", "unanswered")
                ending.append(token.part)
            elif isinstance(token, _Cancel):
                self._cancels_under_way -= 1
                self._count("cancel_sm", "unanswered")
                token.done.callback(False)
            else:
                continue
            # Responses to what was sent before the question may still have come.
            if session.heard_at <= self._clock.seconds() - self._response_timeout_seconds / 2:
                self._silent[session] = session.heard_at
        self._give_up(ending)

    def lost(self, session: CarrierSession, tokens: Iterable[object]) -> None:
        """Handles queries whose session has ended: query_sm are repeated later, and cancel_sm are refused.

        If this happens twice in a row, the queries may be the reason why the sessions end, and the carrier gets no
        more of them. A session that was silent after a query until its end counts, too.
        """
        questions = [token for token in tokens if isinstance(token, _Cancel | _Query)]
        silent_since = self._silent.pop(session, None)
        if questions or (silent_since is not None and silent_since == session.heard_at):
            self._died()
        for token in questions:
            if isinstance(token, _Query):
                self._queries_under_way -= 1
                self._count("query_sm", "later")
            else:
                self._cancels_under_way -= 1
                self._count("cancel_sm", "unanswered")
                token.done.callback(False)

    def _died(self) -> None:
        # Several sessions that one outage ends, with questions from before it, are one death.
        if not self._asked_since_death or self.given_up:
            return
        self._asked_since_death = False
        self._deaths += 1
        if self.given_up:
            self.drop()
            self.log.warn("carrier_dies_of_questions: twice in a row a session with {carrier} ended on a query_sm or "
                          "cancel_sm; it is asked no more until a restart or a change of its settings. Set query_sm "
                          "and cancel_sm to false for it", carrier=self._name)  # fmt: skip

    def drop(self) -> None:
        """Drops all waiting queries, because the link has ended. They are handled as in `lost`."""
        self._queries.clear()
        cancels = list(self._cancels)
        self._cancels.clear()
        for cancel in cancels:
            self._count("cancel_sm", "unanswered")
            cancel.done.callback(False)

    def _give_up(self, parts: Sequence[AtCarrier]) -> None:
        if parts:
            now = self._clock.seconds()
            outcomes = [QueryOutcome(part.id, part.part, now) for part in parts]
            self._flow.follow_up_later(self._flow.store.query_outcomes(outcomes))

    def _count(self, command: str, result: str) -> None:
        self.counts[command, result] += 1

    def _say_unknown(self, status: int) -> None:
        if status == c.ESME_RINVCMDID and not self._unknown_command:
            self._unknown_command = True
            self.log.warn("carrier_knows_no_questions: {carrier} doesn't know query_sm or cancel_sm: it answered "
                          "ESME_RINVCMDID. Set the key to false for it", carrier=self._name)  # fmt: skip
