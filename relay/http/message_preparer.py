"""Makes messages of what customers ask for over HTTP. Nothing is accepted or stored here."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET
from twisted.internet.interfaces import IReactorTime

from relay.config.urls import UrlProblem
from relay.decisions.message_questions import question_about
from relay.http.collaborators import Compose, Customers, SubmissionFlow
from relay.http.problems import Problem, invalid_field, of_refusal, of_value
from relay.http.types import LONGEST_SCHEDULE_SECONDS, MessageRequest
from relay.text.passthrough import compose_raw
from relay.text.tlv_text import read_tlvs, write_tlvs
from relay.values.decision import PASSED, Decision, Question
from relay.values.messages import ADAPT_ADDRESSES, ADAPT_TEXT, Message, Submission

#: The place-holder for an item until the message flow has accepted or refused it.
_PENDING: Final[Any] = Problem(500, "")


class MessagePreparer:
    """Makes a message of each item of a request, or the problem that the customer is told."""

    def __init__(self, flow: SubmissionFlow, accounts: Customers, compose: Compose, clock: IReactorTime) -> None:
        self._flow = flow
        self._accounts = accounts
        self._compose = compose
        self._clock = clock

    def prepare(
        self,
        account: str,
        items: Sequence[MessageRequest | Submission | Problem],
        callback: Callable[[str], str] | None = None,
        decisions: Sequence[Decision] = (),
    ) -> list[Message | Problem]:
        """Makes a message or a problem of each item, in order. The caller must accept and dispatch the messages.

        :param items: of a `Submission` only the notification URL is checked.
        :param callback: changes a message's notification URL after its check, see `relay.webhooks.callbacks`.
        :param decisions: what `decide` returned for these items.
        """
        results: list[Message | Problem] = []
        submissions: list[Submission] = []
        for index, item in enumerate(items):
            if isinstance(item, Problem):
                results.append(item)
                continue
            try:
                submissions.append(self._submission(account, item, callback, decisions[index] if decisions else PASSED))
            except Problem as problem:
                results.append(problem)
            else:
                results.append(_PENDING)
        prepared = iter(self._flow.prepare(account, submissions)) if submissions else iter(())
        for index, result in enumerate(results):
            if result is _PENDING:
                outcome = next(prepared)
                results[index] = outcome if isinstance(outcome, Message) else of_refusal(outcome)
        return results

    async def decide(self, account: str, items: Sequence[MessageRequest | Submission | Problem]) -> Sequence[Decision]:
        """Asks the decision service about the items, if there is one. Returns its decisions for `prepare`."""
        decisions = self._flow.decisions
        if not decisions.active:
            return ()
        questions = [self._question(account, item) for item in items if not isinstance(item, Problem)]
        decided = iter(await decisions.decide(account, questions))
        return [PASSED if isinstance(item, Problem) else next(decided) for item in items]

    def _question(self, account: str, item: MessageRequest | Submission) -> Question:
        if isinstance(item, Submission):
            return question_about(account, item)
        text = item.text or None
        length = len(item.payload or "") // 2 if text is None else len(text)
        sender = item.from_ or self.default_sender(account)
        return Question(account, sender, item.to.removeprefix("+"), length, text)

    def compose(self, to: str, sender: str, text: str, account: str) -> tuple[bytes, tuple[bytes, ...]]:
        """The addresses and the submit_sm bodies of a text.

        :param account: whose routes say in which form the carriers want the text; "": as GSM 03.38 or UCS-2.
        :raises InvalidText: it can't be sent.
        """
        return self._compose(to, sender, text, account=account)

    def default_sender(self, account: str) -> str:
        """The sender of the account's messages that name none; "" if they must name one."""
        return self._accounts.get(account).senders.default

    def _submission(
        self,
        account: str,
        item: MessageRequest | Submission,
        callback: Callable[[str], str] | None,
        decision: Decision,
    ) -> Submission:
        if decision.refused is not None:
            self._flow.count_refusal(account, decision.refused.command_status)
            raise of_refusal(decision.refused)
        url = item.notification_url
        if url is not None:
            try:
                self._accounts.check_url(account, url)
            except UrlProblem as problem:
                raise invalid_field("notification_url", str(problem)) from None
            if callback is not None:
                url = callback(url)
        if isinstance(item, Submission):
            if decision is PASSED and url is item.notification_url:
                return item
            return msgspec.structs.replace(item, notification_url=url, tags=decision.tags, source=decision.source)
        try:
            source = item.from_ or self.default_sender(account)
            adapt = ADAPT_TEXT
            tlvs = _tlvs(item)
            if item.data_coding is None and item.payload is None and item.udh is None:
                if item.text is UNSET:
                    raise Problem(422, "The field 'text' is missing.", "text", kind="missing-field")
                flash = item.class_ is not None
                addresses, parts = self._compose(
                    item.to, source, item.text or "", account=account, flash=flash, tlvs=tlvs, tags=decision.tags
                )
            else:
                addresses, parts = _ready_made(item, source, tlvs)
                adapt = ADAPT_ADDRESSES
        except ValueError as problem:
            raise of_value(problem) from None
        return Submission(
            addresses,
            parts,
            0,
            "http",
            item.validity_seconds,
            item.reference,
            url,
            self._scheduled_seconds(item),
            item.priority or 0,
            adapt=adapt,
            tags=decision.tags,
            source=decision.source,
        )

    def _scheduled_seconds(self, item: MessageRequest) -> float:
        """How long the message is to wait; 0.0: it is sent at once.

        :raises Problem: too long.
        """
        if item.send_at is None:
            return 0.0
        seconds = item.send_at.timestamp() - self._clock.seconds()
        if seconds > LONGEST_SCHEDULE_SECONDS:
            raise invalid_field("send_at", "At most 30 days ahead.")
        return max(0.0, seconds)


def _tlvs(item: MessageRequest) -> bytes:
    if not item.tlvs:
        return b""
    try:
        return write_tlvs(read_tlvs(item.tlvs))
    except ValueError as problem:
        said = str(problem)
        raise invalid_field("tlvs", f"{said[0].upper()}{said[1:]}.") from None


def _ready_made(item: MessageRequest, source: str, tlvs: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Makes the one part of an item that has octets instead of a text.

    :raises Problem, ValueError: the octets can't be sent.
    """
    if item.text:
        raise invalid_field("text", "Give either a text, or data_coding and payload without a text.")
    if item.class_ is not None:
        raise invalid_field("class", "The data_coding of ready-made octets says their class; leave class out.")
    if item.data_coding is None:
        raise invalid_field("data_coding", "Give a data_coding together with udh and payload.")
    udh, payload = bytes.fromhex(item.udh or ""), bytes.fromhex(item.payload or "")
    return compose_raw(source, item.to, data_coding=item.data_coding, udh=udh, payload=payload, tlvs=tlvs)
