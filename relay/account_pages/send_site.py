"""The page that sends a message: shows the form, counts the text, and submits what was entered."""

from collections.abc import Mapping
from functools import partial

from relay.account_pages.gate import Gate, see
from relay.account_pages.page_values import Flash, Session
from relay.account_pages.send_form import entered_values, problems_of, send_card
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow
from relay.http.message_preparer import MessagePreparer
from relay.http.problems import Problem, of_store
from relay.http.types import DefaultSenderRequest, MessageRequest, from_form
from relay.store.store_values import StoreUnavailable
from relay.text.compose import InvalidText, compose
from relay.text.text_size import text_size
from relay.values.ids import id_text
from relay.values.messages import Message


class SendSite:
    """Serves `/my/send`."""

    def __init__(self, gate: Gate, preparer: MessagePreparer, flow: SubmissionFlow, accounts: Customers) -> None:
        self._gate = gate
        self._accounts = accounts
        self._preparer = preparer
        self._flow = flow

    async def show(self, request: ApiRequest, session: Session) -> Reply:
        """`GET /my/send`."""
        settings = self._accounts.get(session.account)
        card = send_card(session, {}, default_sender=settings.senders.default, test_numbers=settings.test_numbers)
        return self._gate.shown(request, session, "Send", "/my/send", card)

    async def send(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /my/send`: submits the message, or only counts its text."""
        values = entered_values(fields)
        default_sender = self._preparer.default_sender(session.account)
        if fields.get("action") == "count":
            return self._again(request, session, values, {})
        problems = problems_of(values, default_sender)
        if problems:
            return self._again(request, session, values, problems, 422)
        try:
            message = await self._submit(session.account, values, default_sender)
        except StoreUnavailable as unavailable:
            return self._refused(request, session, values, of_store(unavailable))
        except Problem as problem:
            return self._refused(request, session, values, problem)
        session.flash = Flash(True, "The message is accepted: it is safe on disk, and will be sent.")
        shown = see(f"/my/messages/{id_text(message.id)}")
        return shown._replace(then=partial(self._flow.dispatch, [message]))

    async def _submit(self, account: str, values: Mapping[str, str], default_sender: str) -> Message:
        """Accepts the message.

        :raises Problem, StoreUnavailable: it is refused.
        """
        kind = DefaultSenderRequest if default_sender else MessageRequest
        wanted = [from_form(values, kind)]
        decisions = await self._preparer.decide(account, wanted)
        (prepared,) = self._preparer.prepare(account, wanted, decisions=decisions)
        if not isinstance(prepared, Message):
            raise prepared
        await self._flow.accept([prepared])
        return prepared

    def _refused(self, request: ApiRequest, session: Session, values: Mapping[str, str], problem: Problem) -> Reply:
        return self._again(
            request, session, values, {problem.document.field: problem.document.detail}, problem.status, problem.headers
        )

    def _again(
        self, request: ApiRequest, session: Session, values: Mapping[str, str], problems: Mapping[str, str],
        status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Reply:  # fmt: skip
        """Shows the form with what the customer has entered."""
        account = session.account
        card = send_card(
            session,
            values,
            problems=problems,
            size=self._size(account, values),
            default_sender=self._preparer.default_sender(account),
            test_numbers=self._accounts.get(account).test_numbers,
        )
        return self._gate.shown(request, session, "Send", "/my/send", card, status=status, headers=headers)

    def _size(self, account: str, values: Mapping[str, str]) -> str:
        """How long the text is, in words; "" if there is none."""
        text = values["text"]
        if not text:
            return ""
        try:
            try:
                sender = values["from"] or self._preparer.default_sender(account)
                _, bodies = self._preparer.compose(values["to"], sender, text, account)
            except InvalidText as problem:
                if problem.field == "text":
                    raise
                # As long as the numbers aren't complete, nobody knows which carriers may get the message.
                bodies = compose("RELAY", "100", text, reference=0).parts
            size = text_size(bodies)
        except InvalidText as problem:
            return problem.reason
        characters = "1 character" if len(text) == 1 else f"{len(text):,} characters"
        parts = "1 part" if size.parts == 1 else f"{size.parts} parts"
        return f"{characters}, {size.alphabet}, {parts}; {size.left} left."
