"""Handles the carrier's responses to submit_sm, and parts that get no response.

Theory of operation: each response has one of four classes (`relay.carriers.submit_results`):

* taken: the store is told the carrier message id.
* later: the part goes back to the queue's head, and the sender pauses.
* elsewhere: the part goes to the next carrier of its route. If there is none, its message ends.
* refused: the message ends; with `failover` after REJECTD, the part goes to the next carrier, too.

A part that was written and got no response is in doubt. The carrier's key `in_doubt` says whether it is sent again, or
its message ends as UNKNOWN.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from operator import attrgetter
from typing import Final

from twisted.logger import Logger

from relay.carriers.context import CarrierContext
from relay.carriers.part_sender import PartSender
from relay.carriers.queries import CarrierQueries
from relay.carriers.submit_results import AnswerClass, class_of
from relay.receipts.dialects import CarrierIds
from relay.routing.carrier_order import RouteCarriers, without
from relay.routing.flow_api import Outgoing
from relay.values import smpp_constants as c
from relay.values.carrier_reports import PartsReceipted, Submitted
from relay.values.messages import Ending
from relay.values.pdus import Accepted, Answered, LateAnswer
from relay.values.states import REJECTED, UNKNOWN

#: The least time between two log lines about responses without an id.
_LOG_SECONDS: Final = 60.0

_SENT_AT: Final = attrgetter("sent_at")
_SENT_BEFORE: Final = attrgetter("sent_before")


class SubmitResponses:
    """Handles the results of submit_sm. It belongs to one `CarrierLink`, and only that calls it."""

    log = Logger()

    def __init__(self, carrier: CarrierContext, sender: PartSender, queries: CarrierQueries) -> None:
        settings = carrier.settings
        self._carrier = carrier
        self._sender = sender
        self._queries = queries
        self._ids = CarrierIds(settings.dialect)
        self._parts_receipted = PartsReceipted[settings.parts_receipted.upper()].value
        self._receipt_seconds = settings.receipt_hours * 3600.0
        self._last_due_at = 0.0
        self._without_id_logged_until = 0.0
        #: If the carrier may be asked about its ids, they are kept as it wrote them.
        #: A carrier over HTTP gives a part that is posted again its first id, so its receipt may be older.
        self._knows_sent_at = settings.kind != "http"
        self._keeps_given_ids = settings.query_sm or settings.cancel_sm

    def take(self, answers: Sequence[Answered], *, late: bool = False) -> None:
        """Handles a batch of responses to messages and to queries.

        :param late: whether the parts may have been sent again since. Then it isn't known when they were sent first.
        """
        carrier = self._carrier
        now = carrier.clock.seconds()
        response_key = self._ids.response_key
        parts_receipted = self._parts_receipted
        name = carrier.name
        taken: list[Submitted] = []
        sent_at: list[float] = []
        later: list[Outgoing] = []
        others: list[Answered] = []
        without_id = 0
        for answer in answers:
            part = answer.token
            if type(part) is not Outgoing:
                others.append(answer)
                continue
            if answer.command_status == 0:
                part.done = True
                # A receipt of an earlier submit_sm of this part may have come already.
                sent_at.append(0.0 if part.sent_before else part.sent_at)
                key = response_key(answer.message_id)
                if not key:
                    without_id += 1
                taken.append(
                    Submitted(
                        part.id,
                        part.part,
                        name,
                        key,
                        now,
                        self._receipt_due_at(part.expires_at),
                        parts_receipted,
                    )
                )
            elif class_of(answer.command_status) is AnswerClass.LATER:
                carrier.counters.last_error = c.status_name(answer.command_status)
                later.append(part)
            else:
                self._refused(part, answer.command_status, now)
        if answers:
            self._observe(answers[0].token, answers[-1].token, len(answers), now)
        if taken:
            if self._keeps_given_ids:
                taken = self._with_given_ids(taken, answers)
            self._taken(taken, sent_at if self._knows_sent_at and not late else (), without_id, now)
        if later:
            carrier.counters.throttled += len(later)
            self._sender.throttled(now)
            self.not_taken(later)
        if others and self._queries.answered(others):
            self._sender.throttled(now)

    def take_accepted(self, accepted: Accepted) -> None:
        """Does for many responses that all say ESME_ROK what `take` does for each, with fewer steps for each part."""
        parts = accepted.tokens
        if self._keeps_given_ids or set(map(type, parts)) != {Outgoing}:
            self.take(accepted.each())
            return
        now = self._carrier.clock.seconds()
        parts_receipted = self._parts_receipted
        name = self._carrier.name
        keys = self._ids.response_keys(accepted.message_ids)
        expires_at = due_at = -1.0
        taken: list[Submitted] = []
        for part, key in zip(parts, keys, strict=True):
            part.done = True  # type: ignore[attr-defined]
            if part.expires_at is not expires_at:  # type: ignore[attr-defined]
                # Messages that came in one read have the same object.
                expires_at = part.expires_at  # type: ignore[attr-defined]
                due_at = self._receipt_due_at(expires_at)
            taken.append(
                Submitted(
                    part.id,  # type: ignore[attr-defined]
                    part.part,  # type: ignore[attr-defined]
                    name,
                    key,
                    now,
                    due_at,
                    parts_receipted,
                )
            )
        sent_at: Sequence[float] = ()
        if self._knows_sent_at:
            sent_at = list(map(_SENT_AT, parts))
            if any(map(_SENT_BEFORE, parts)):
                # A receipt of an earlier submit_sm of such a part may have come already.
                sent_at = [0.0 if _SENT_BEFORE(part) else _SENT_AT(part) for part in parts]
        self._observe(parts[0], parts[-1], len(parts), now)
        self._taken(taken, sent_at, keys.count(b""), now)

    def _receipt_due_at(self, expires_at: float) -> float:
        """When the receipt of a part is due, in whole seconds.

        Few messages have the same microsecond, but all messages of a second can share a second: the result is the last
        one again if it is the same. This saves 32 octets for each message that waits, if they come one by one.
        """
        due_at = float(ceil(expires_at + self._receipt_seconds))
        if due_at != self._last_due_at:
            self._last_due_at = due_at
        return self._last_due_at

    def _taken(self, taken: list[Submitted], sent_at: Sequence[float], without_id: int, now: float) -> None:
        carrier = self._carrier
        carrier.counters.taken += len(taken)
        self._sender.throttled_no_more()
        if without_id:
            self._count_without_id(without_id, now)
        # Nothing waits until this is durable. If we stop here, then the part is in doubt after the next start.
        carrier.flow.follow_up_later(carrier.flow.store.submitted(taken, sent_at))

    def take_late(self, answers: Sequence[LateAnswer]) -> None:
        """Handles responses that came after the response timeout.

        Only "taken" is still useful. The part may have been sent again already. If it is still queued, `done` keeps it
        from being sent again.
        """
        self.take(
            [
                Answered(a.token, c.SUBMIT_SM_RESP, 0, a.message_id)
                for a in answers
                if a.command_status == 0 and isinstance(a.token, Outgoing) and not a.token.done
            ],
            late=True,
        )

    def not_taken(self, parts: list[Outgoing]) -> None:
        """Puts parts back at the queue's head that certainly did not reach the carrier."""
        self._sender.unmark(parts)
        self._sender.put_back(parts)

    def in_doubt(self, tokens: Iterable[object]) -> None:
        """Handles requests without a response, which the carrier may have."""
        parts = [token for token in tokens if type(token) is Outgoing and not token.done]
        if not parts:
            return
        carrier = self._carrier
        carrier.counters.in_doubt += len(parts)
        if carrier.settings.in_doubt == "resend":
            for part in parts:
                part.sent_before = True
            self._sender.put_back(parts)
        else:
            now = carrier.clock.seconds()
            carrier.flow.end_later([Ending(part.id, UNKNOWN, now, b"", carrier.name) for part in parts])

    def _refused(self, part: Outgoing, command_status: int, now: float) -> None:
        carrier = self._carrier
        carrier.counters.refused += 1
        reason = carrier.counters.last_error = c.status_name(command_status)
        elsewhere = without(part.carriers, (carrier.name,))
        if elsewhere and (
            class_of(command_status) is AnswerClass.ELSEWHERE
            or (type(elsewhere) is RouteCarriers and elsewhere.go_on_after(reason.encode()))
        ):
            part.carriers = elsewhere
            self._sender.unmark([part])
            carrier.flow.send([part])
        else:
            carrier.flow.end_later([Ending(part.id, REJECTED, now, reason.encode(), carrier.name)])

    def _count_without_id(self, count: int, now: float) -> None:
        """Counts parts that the carrier took without giving an id, and logs it once a minute at most."""
        counters = self._carrier.counters
        counters.without_id += count
        if now < self._without_id_logged_until:
            return
        self._without_id_logged_until = now + _LOG_SECONDS
        self.log.warn(
            "carrier_gave_no_id: {carrier} took messages without giving a message_id, {count} since the start. No "
            "receipt can be matched to them. Ask the carrier",
            carrier=self._carrier.name, count=counters.without_id,
        )  # fmt: skip

    def _observe(self, first: object, last: object, count: int, now: float) -> None:
        """Counts how long the responses took, from the times of the first and the last of them."""
        if type(first) is Outgoing and type(last) is Outgoing:
            seconds = self._carrier.counters.response_seconds
            seconds.observe_ends(now - first.sent_at, now - last.sent_at, count)

    def _with_given_ids(self, taken: list[Submitted], answers: Sequence[Answered]) -> list[Submitted]:
        """Adds the ids as the carrier wrote them."""
        given = [a.message_id for a in answers if a.command_status == 0 and type(a.token) is Outgoing]
        return self._queries.named(taken, given)
