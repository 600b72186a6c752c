"""Another relay as a carrier, over HTTP: what is posted to it, what its answers mean, and its notifications.

Theory of operation: queued parts go up as items of one `POST /messages`, each with what the API takes (see
`relay.text.passthrough`). Every item of the answer is an id or a problem, and a problem is turned into the SMPP status
that says the same, so that the queue above needs to know one kind of answer only. Notifications come back as POSTs
signed by Standard Webhooks, and become receipts as if they had come over SMPP.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from relay.accounts.signing import secret_key, signature
from relay.config.model import Carrier, Dialect
from relay.receipts.dialects import CarrierIds, CarrierStates
from relay.store.table.orphans import is_unreadable
from relay.text.passthrough import read_part
from relay.values import smpp_constants as c
from relay.values.messages import Receipt

#: How far a notification's timestamp may be from now, either way; later it may be somebody's recording.
REPLAY_SECONDS: Final = 300

#: A longer id is none of a relay's: as many characters as SMPP gives a message_id.
LONGEST_ID: Final = 64

#: Notifications in one POST: as many as an account's `notification_batch` may be.
MOST_NOTIFICATIONS: Final = 1000

#: What the API takes as a message's validity.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 604_800.0


class BadNotification(Exception):
    """A POST that is no notification of this carrier; the text says why.

    :ivar forged: the signature is missing or wrong, or too old.
    """

    def __init__(self, reason: str, *, forged: bool) -> None:
        super().__init__(reason)
        self.forged = forged


# Up


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
    """One part as an item of the array that is posted.

    :param body: of its submit_sm.
    :param name: the part's own: the key by which the other relay takes it once only, and what it shows beside it.
    :param validity_seconds: how long it is still worth sending; brought within what the API takes.
    :raises CodecError: `body` is no submit_sm's.
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
    """What became of each item: a command_status and the carrier message id.

    :raises ValueError: it is no answer to so many items.
    """
    try:
        answers = _decode_answers(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"an answer that is no array of ids and problems: {problem}") from None
    if len(answers) != count:
        raise ValueError(f"an answer of {len(answers)} items to {count} messages")
    results: list[tuple[int, bytes]] = []
    for answer in answers:
        if answer.id:
            if len(answer.id) > LONGEST_ID:
                raise ValueError(f"an answer with an id of {len(answer.id)} characters")
            results.append((c.ESME_ROK, answer.id.encode()))
        elif answer.status >= 400:
            results.append((status_of(answer.status, answer.type, answer.field), b""))
        else:
            # Nothing that a message may be refused for.
            raise ValueError("an answer with an item that is neither an id nor a problem")
    return results


def status_of(status: int, kind: str = "", field: str = "") -> int:
    """The command_status that says what a problem document says.

    :param kind: the document's `type`.
    """
    if status == 429:
        return c.ESME_RTHROTTLED
    if status == 503:
        return c.ESME_RMSGQFUL
    if status >= 500 or (field == "idempotency_key" and kind.endswith("unknown-field")):
        # The second: a relay too old for keys. To wait until it is a newer one is better than to lose the message.
        return c.ESME_RSYSERR
    if field == "to" or kind.endswith("no-route"):
        return c.ESME_RINVDSTADR
    if field == "from":
        return c.ESME_RINVSRCADR
    return c.ESME_RSUBMITFAIL


# Down


class NotificationReader:
    """Turns a carrier's notifications into receipts.

    :param key: of the signing secret, see `relay.accounts.signing.secret_key`.
    """

    def __init__(self, carrier: str, dialect: Dialect, key: bytes) -> None:
        self._carrier = carrier
        self._key = key
        self._key_of = CarrierIds(dialect).response_key
        self._states = CarrierStates(dialect)

    def check(self, webhook_id: bytes, timestamp: bytes, signatures: bytes, body: bytes, now: float) -> None:
        """Returns where a POST is the carrier's, unchanged and recent. The first three are its headers.

        :raises BadNotification: it isn't.
        """
        if not (webhook_id and timestamp and signatures):
            raise BadNotification("webhook-id, webhook-timestamp or webhook-signature is missing.", forged=True)
        expected = signature([self._key], webhook_id, timestamp, body)
        # A sender that is changing its secret signs with both.
        if not any(hmac.compare_digest(expected, given) for given in signatures.split(b" ")):
            raise BadNotification("webhook-signature is not this carrier's.", forged=True)
        if not timestamp.isdigit() or len(timestamp) > 12:
            raise BadNotification("webhook-timestamp is no number of seconds since 1970.", forged=True)
        ahead_seconds = int(timestamp) - now
        if abs(ahead_seconds) > REPLAY_SECONDS:
            # Said only where the signature is right: then it is a recording, or one of two clocks is wrong.
            raise BadNotification(
                f"webhook-timestamp is {abs(ahead_seconds):.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this "
                f"relay's clock; more than {REPLAY_SECONDS} s are not taken.",
                forged=True,
            )

    def read(self, body: bytes, carrier_error: bytes, now: float) -> list[Receipt]:
        """The receipts in a POST's body: one object, or an array of them. An item that can't be read becomes an
        unreadable receipt.

        :param carrier_error: the X-Relay-Carrier-Error header, which only single objects have: what the carrier
            behind the other relay wrote.
        :raises BadNotification: it isn't JSON, or something else than objects.
        """
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadNotification("The body is not JSON.", forged=False) from None
        items = decoded if isinstance(decoded, list) else [decoded]
        if not all(isinstance(item, dict) for item in items):
            raise BadNotification("Expected a notification, or an array of them.", forged=False)
        if len(items) > MOST_NOTIFICATIONS:
            reason = f"An array holds up to {MOST_NOTIFICATIONS} notifications; this one holds {len(items)}."
            raise BadNotification(reason, forged=False)
        if len(items) != 1:
            carrier_error = b""
        return [self._receipt(item, carrier_error, now) for item in items]

    def read_again(self, kept: Receipt) -> Receipt | None:
        """As `relay.carriers.read_again.read_again`, of a receipt that came here."""
        try:
            [receipt] = self.read(kept.raw, kept.error, kept.received_at)
        except (BadNotification, ValueError):
            # Cut, or from before the carrier was spoken to over HTTP.
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
    """What reads a carrier's notifications; None where it is spoken to over SMPP."""
    if settings.kind != "http":
        return None
    secret = settings.signing_secret
    # The configuration's checks see to it that there is one.
    return NotificationReader(name, settings.dialect, b"" if secret is None else secret_key(secret.reveal()))


class HttpReceipts(NamedTuple):
    """What a carrier that is another relay does with the notifications that come from it.

    :ivar reader: checks and reads them.
    :ivar keep: true when the receipts are durable, false when they can't be made so now.
    """

    reader: NotificationReader
    keep: Callable[[list[Receipt]], Awaitable[bool]]


def basic_authorization(system_id: str, password: str) -> bytes:
    """The Authorization header of our account there."""
    return b"Basic " + base64.b64encode(f"{system_id}:{password}".encode())
