"""The formats of another relay that is a carrier over HTTP: items to post, their answers, and notifications.

Theory of operation: parts are posted as items of one `POST /messages`. `relay.text.passthrough` says what an item has.
The answer has an id or a problem for each item. A problem is converted to the SMPP status with the same meaning, so
that the link needs to know only one kind of answer. Notifications come as POSTs that are signed as Standard Webhooks
says. The relay makes receipts of them, and handles these like receipts over SMPP.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, Set
from typing import Any, Final, NamedTuple

import msgspec

from relay.accounts.signing import secret_key, signature
from relay.config.carrier_config import Carrier, Dialect
from relay.receipts.dialects import CarrierIds, CarrierStates
from relay.store.table.orphans import is_unreadable
from relay.text.passthrough import read_part
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt

#: How many seconds a notification's timestamp may be before or after now. An older one may be a replay by an attacker.
REPLAY_SECONDS: Final = 300

#: The longest id that a relay may give: as many characters as SMPP allows for a message_id.
LONGEST_ID: Final = 64

#: The most notifications in one POST: the maximum of an account's `notification_batch`.
MOST_NOTIFICATIONS: Final = 1000

#: The bounds of a message's validity in the API.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 604_800.0


class BadNotification(Exception):
    """A POST is not a notification of this carrier. The text says why.

    :ivar forged: whether its signature is missing, wrong or too old.
    """

    def __init__(self, reason: str, *, forged: bool) -> None:
        super().__init__(reason)
        self.forged = forged


# Messages to the other relay


class _Item(msgspec.Struct, omit_defaults=True):
    to: str
    sender: str = msgspec.field(name="from")
    text: str | None
    reference: str | None = None
    idempotency_key: str | None = None
    validity_seconds: float | None = None
    data_coding: int | None = None
    udh: str | None = None
    payload: str | None = None


def item_json(body: bytes, name: str, validity_seconds: float) -> bytes:
    """Makes an item of the posted array from one part.

    :param body: the body of its submit_sm.
    :param name: the part's own name. It is the key with which the other relay accepts the part only once, and the
        reference that the other relay shows.
    :param validity_seconds: the rest of its validity. It is brought within the API's bounds.
    :raises CodecError: `body` isn't the body of a submit_sm.
    """
    part = read_part(body)
    validity_seconds = round(min(max(validity_seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS), 3)
    if part.text is not None:
        item = _Item(part.to, part.sender, part.text, name, name, validity_seconds)
    else:
        item = _Item(
            part.to,
            part.sender,
            None,
            name,
            name,
            validity_seconds,
            part.data_coding,
            part.udh.hex() or None,
            part.payload.hex(),
        )
    return msgspec.json.encode(item)


class _Answer(msgspec.Struct):
    id: str = ""
    status: int = 0
    type: str = ""
    field: str = ""


_decode_answers = msgspec.json.Decoder(list[_Answer]).decode


def read_answers(content: bytes, count: int) -> list[tuple[int, bytes]]:
    """Reads the answer to a posted array. Returns a command_status and the carrier message id for each item.

    :raises ValueError: it isn't an answer to so many items.
    """
    try:
        answers = _decode_answers(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"the answer is not an array of ids and problems: {problem}") from None
    if len(answers) != count:
        raise ValueError(f"the answer to {count} messages has {len(answers)} items")
    results: list[tuple[int, bytes]] = []
    for answer in answers:
        if answer.id:
            if len(answer.id) > LONGEST_ID:
                raise ValueError(f"the answer has an id of {len(answer.id)} characters")
            results.append((c.ESME_ROK, answer.id.encode()))
        elif answer.status >= 400:
            results.append((status_of(answer.status, answer.type, answer.field), b""))
        else:
            # This is no reason to refuse a message.
            raise ValueError("the answer has an item that is neither an id nor a problem")
    return results


def status_of(status: int, kind: str = "", field: str = "") -> int:
    """The command_status with the same meaning as a problem document.

    :param kind: the document's `type`.
    """
    if status == 429:
        return c.ESME_RTHROTTLED
    if status == 503:
        return c.ESME_RMSGQFUL
    if status >= 500 or (field == "idempotency_key" and kind.endswith("unknown-field")):
        # The second condition is for a relay that is too old for keys. It is better to wait for a newer one than to
        # lose the message.
        return c.ESME_RSYSERR
    if field == "to" or kind.endswith("no-route"):
        return c.ESME_RINVDSTADR
    if field == "from":
        return c.ESME_RINVSRCADR
    return c.ESME_RSUBMITFAIL


# Notifications from the other relay


class NotificationReader:
    """Makes receipts of a carrier's notifications.

    :param key: the key in the signing secret, see `relay.accounts.signing.secret_key`.
    """

    def __init__(self, carrier: str, dialect: Dialect, key: bytes) -> None:
        self._carrier = carrier
        self._key = key
        self._key_of = CarrierIds(dialect).response_key
        self._states = CarrierStates(dialect)

    def check(self, webhook_id: bytes, timestamp: bytes, signatures: bytes, body: bytes, now: float) -> None:
        """Checks that a POST is from the carrier, unchanged and recent. The first three parameters are its headers.

        :raises BadNotification: it isn't.
        """
        if not (webhook_id and timestamp and signatures):
            raise BadNotification("webhook-id, webhook-timestamp or webhook-signature is missing.", forged=True)
        expected = signature([self._key], webhook_id, timestamp, body)
        # After a change of its secret, a sender signs with both secrets for a while.
        if not any(hmac.compare_digest(expected, given) for given in signatures.split(b" ")):
            raise BadNotification("webhook-signature was not made with this carrier's signing_secret.", forged=True)
        if not timestamp.isdigit() or len(timestamp) > 12:
            raise BadNotification("webhook-timestamp is not a number of seconds since 1970.", forged=True)
        ahead_seconds = int(timestamp) - now
        if abs(ahead_seconds) > REPLAY_SECONDS:
            # This is checked after the signature. So the POST is a replay, or one of the two clocks is wrong.
            raise BadNotification(
                f"webhook-timestamp is {abs(ahead_seconds):.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this "
                f"relay's clock; at most {REPLAY_SECONDS} s are allowed. Check both clocks.",
                forged=True,
            )

    def read(self, body: bytes, carrier_error: bytes, now: float) -> list[Receipt]:
        """Reads the receipts in a POST's body: one object, or an array of them.

        An item that can't be read becomes an unreadable receipt.

        :param carrier_error: the header X-Relay-Carrier-Error, which comes only with single objects. It has the error
            of the carrier behind the other relay.
        :raises BadNotification: the body isn't JSON, or has anything other than objects.
        """
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadNotification("The body is not JSON.", forged=False) from None
        items = decoded if isinstance(decoded, list) else [decoded]
        if not all(isinstance(item, dict) for item in items):
            raise BadNotification("Expected a notification, or an array of them.", forged=False)
        if len(items) > MOST_NOTIFICATIONS:
            reason = f"An array may have up to {MOST_NOTIFICATIONS} notifications; this one has {len(items)}."
            raise BadNotification(reason, forged=False)
        if len(items) != 1:
            carrier_error = b""
        return [self._receipt(item, carrier_error, now) for item in items]

    def read_again(self, kept: Receipt) -> Receipt | None:
        """Does what `relay.carriers.read_again.read_again` does, for receipts that came as notifications."""
        try:
            [receipt] = self.read(kept.raw, kept.error, kept.received_at)
        except (BadNotification, ValueError):
            # The body was cut, or the receipt came when the carrier was still on SMPP.
            return None
        return None if is_unreadable(receipt) else msgspec.structs.replace(receipt, carrier=kept.carrier)

    def _receipt(self, item: dict[str, Any], carrier_error: bytes, now: float) -> Receipt:
        message_id, status, error = item.get("id"), item.get("status"), item.get("error")
        raw = msgspec.json.encode(item)
        if not isinstance(message_id, str) or not isinstance(status, str) or len(message_id) > LONGEST_ID:
            return Receipt(self._carrier, (), None, False, now, raw=raw)
        key = self._key_of(message_id.encode())
        stat = status.encode()
        state, final = self._states.of_word(stat)
        words = carrier_error or (error.encode() if isinstance(error, str) else b"")
        return Receipt(self._carrier, (key,) if key else (), state, final, now, words[:64], stat[:64], raw=raw)


def notification_reader(name: str, settings: Carrier) -> NotificationReader | None:
    """Makes the reader of the notifications of a carrier that is another relay; None: it isn't one."""
    if settings.kind != "http":
        return None
    secret = settings.signing_secret
    # The checks of the configuration make sure that there is a secret.
    return NotificationReader(name, settings.dialect, b"" if secret is None else secret_key(secret.reveal()))


class HttpReceipts(NamedTuple):
    """Takes the notifications of a carrier that is another relay.

    :ivar reader: checks and reads them.
    :ivar keep: makes the receipts durable. Returns the indexes of those that can't be made durable now.
    """

    reader: NotificationReader
    keep: Callable[[list[Receipt]], Awaitable[Set[int]]]


def basic_authorization(system_id: str, password: str) -> bytes:
    """Makes the Authorization header for our account at the other relay."""
    return b"Basic " + base64.b64encode(f"{system_id}:{password}".encode())
