"""Offers Kannel's `/cgi-bin/sendsms`: its customers change only the host name.

The user name is the account's name, and the password is its API key. docs/migration.md lists every parameter.
`relay.webhooks.callbacks` makes the callbacks.
"""

from functools import partial
from itertools import count
from typing import Final

from twisted.logger import Logger

from relay.http.api_request import ApiRequest, Reply
from relay.http.logins import Logins
from relay.http.message_calls import Messages
from relay.http.message_preparer import MessagePreparer
from relay.http.migration.gateway_fields import Fields, Refusal, text_of, validity_seconds
from relay.http.migration.kannel_message import KannelMessage, is_text, names_coding, parts_of, read_message
from relay.http.migration.kannel_request import read_fields
from relay.http.problems import Problem, of_value
from relay.store.store_values import StoreUnavailable
from relay.text.compose import destination_address, source_address
from relay.values.messages import ADAPT_ADDRESSES, ADAPT_TEXT, Submission
from relay.webhooks.callbacks import kannel_callback

log = Logger()

_TYPE: Final = b"text/html"
#: The relay accepts these fields, but they have no effect: the operator's routes choose the carrier.
_IGNORED: Final = ("smsc", "meta-data")


class Kannel:
    """Answers `GET` and `POST /cgi-bin/sendsms`, and refuses `/cgi-bin/sendota`."""

    def __init__(self, messages: Messages, preparer: MessagePreparer, logins: Logins) -> None:
        self._messages = messages
        self._preparer = preparer
        self._logins = logins
        self._references = count()
        self._noted: set[tuple[str, str]] = set()

    async def send(self, request: ApiRequest, _: str) -> Reply:
        """Submits a message to one or more numbers, and answers like Kannel's smsbox."""
        try:
            return await self._send(request, read_fields(request))
        except Refusal as refusal:
            return Reply(refusal.status, refusal.text.encode(), _TYPE)
        except StoreUnavailable:
            return Reply(503, b"Temporal failure, try again later.", _TYPE)

    async def _send(self, request: ApiRequest, fields: Fields) -> Reply:
        user = text_of(fields, "username") or text_of(fields, "user")
        key = text_of(fields, "password") or text_of(fields, "pass")
        account = self._logins.by_login(request, user, key, "send")
        if account is None:
            raise Refusal(403, "Authorization failed for sendsms")
        message = read_message(fields, self._preparer.default_sender(account))
        self._note_ignored(account, fields)
        validity = validity_seconds(message.validity_minutes, account)
        items = [self._item(message, to, validity, account) for to in message.recipients]
        results, taken = await self._messages.take(account, items, partial(kannel_callback, mask=message.mask))
        if not taken:
            first = results[0]
            assert isinstance(first, Problem)
            raise _refusal(first)
        left_out = message.left_out + len(results) - len(taken)
        if left_out:
            log.info(
                "kannel_numbers_left_out: {count} numbers of a request of {account} can't be sent to; the others were",
                count=left_out,
                account=account,
            )
        then = partial(self._messages.dispatch, taken)
        return Reply(202, b"0: Accepted for delivery", _TYPE, then=then)

    def _note_ignored(self, account: str, fields: Fields) -> None:
        """Logs that a field has no effect: once for each account and field."""
        for name in _IGNORED:
            if fields.get(name) and (account, name) not in self._noted:
                self._noted.add((account, name))
                log.info(
                    "kannel_field_ignored: {account} sends {field}, which has no effect here",
                    account=account,
                    field=name,
                )

    async def refuse_ota(self, request: ApiRequest, _: str) -> Reply:
        """Refuses `/cgi-bin/sendota`, and says what to do instead."""
        reason = b"OTA settings are not sent here; send the ready-made octets with udh by sendsms, rejected"
        return Reply(400, reason, _TYPE)

    def _item(self, message: KannelMessage, to: str, validity: float | None, account: str) -> Submission | Problem:
        try:
            text_parts: tuple[bytes, ...] = ()
            if is_text(message):
                # If the customer sets a data_coding, the text can only be GSM or UCS-2. So the account's form for texts
                # doesn't apply.
                form_of = "" if names_coding(message) else account
                addresses, text_parts = self._preparer.compose(to, message.sender, message.text or "", form_of)
            else:
                addresses = source_address(message.sender) + destination_address(to)
            parts = parts_of(message, addresses, text_parts, next(self._references))
        except ValueError as problem:
            return of_value(problem)
        return Submission(
            addresses,
            parts,
            0,
            "http",
            validity,
            message.reference,
            message.url,
            message.deferred_minutes * 60.0,
            message.fields.priority_flag,
            adapt=ADAPT_TEXT if text_parts else ADAPT_ADDRESSES,
        )


def _refusal(problem: Problem) -> Refusal:
    if problem.status in (429, 503):
        return Refusal(503, "Temporal failure, try again later.")
    if problem.kind in ("no-route", "no-price"):
        return Refusal(403, "Not routable. Do not try again.")
    if problem.document.field == "notification_url":
        return Refusal(400, "DLR-URL field misformed, rejected")
    return Refusal(400, f"{problem.document.detail.rstrip('.')}, rejected")
