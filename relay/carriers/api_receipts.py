"""Checks and reads the receipts of a carrier of kind api."""

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Set
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from relay.carriers.api_adapter import api_dialect, receipt_url, resolve_api, word_at
from relay.carriers.relay_api import LONGEST_ID, MOST_NOTIFICATIONS, REPLAY_SECONDS, BadNotification
from relay.config.carrier_config import Carrier
from relay.receipts.dialects import CarrierIds, CarrierStates
from relay.store.table.orphans import is_unreadable
from relay.values.carrier_reports import Receipt

_FORMS: Final = "application/x-www-form-urlencoded"


class ReceiptRequest(NamedTuple):
    """A request to `/carriers/NAME/receipts`.

    :ivar token: what stands after that in the path; "": nothing.
    :ivar header: returns a header by its name; "": there is none.
    :ivar query: the query, undecoded.
    """

    token: str
    header: Callable[[str], str]
    content_type: str
    body: bytes
    query: bytes = b""


class ApiReceiptReader:
    """Checks and reads the receipts of one carrier.

    :raises ValueError: a setting can't be used; the text begins with its key.
    """

    def __init__(self, name: str, settings: Carrier) -> None:
        self._carrier = name
        api = resolve_api(settings)[1]
        self._receipts = api.receipts
        secret = settings.signing_secret
        self._secret = "" if secret is None else secret.reveal()
        self._auth_token = settings.password.reveal().encode()
        self._url = receipt_url(name, settings)
        dialect = api_dialect(settings)
        self._key_of = CarrierIds(dialect).response_key
        self._states = CarrierStates(dialect)
        self._public_key: Ed25519PublicKey | None = None
        if self._receipts.verify == "telnyx":
            try:
                self._public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(self._secret, validate=True))
            except ValueError:
                raise ValueError("signing_secret: it is no Ed25519 public key in base64") from None

    def check(self, request: ReceiptRequest, now: float) -> None:
        """Checks that a request is from the carrier.

        :raises BadNotification: it isn't.
        """
        verify = self._receipts.verify
        if verify == "token":
            if not hmac.compare_digest(request.token.encode(), self._secret.encode()):
                raise BadNotification("The path doesn't end with this carrier's token.", forged=True)
        elif verify == "twilio":
            given = request.header("X-Twilio-Signature")
            if not hmac.compare_digest(self._twilio_signature(request), given.encode()):
                raise BadNotification("X-Twilio-Signature was not made with this carrier's password.", forged=True)
        elif verify == "telnyx":
            self._check_telnyx(request, now)
        else:
            given = request.header(self._receipts.signature_header or "").removeprefix("sha256=")
            made = hmac.new(self._secret.encode(), request.body, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(made.encode(), given.lower().encode()):
                raise BadNotification("The signature was not made with this carrier's signing_secret.", forged=True)

    def _twilio_signature(self, request: ReceiptRequest) -> bytes:
        url = self._url + (f"?{request.query.decode('latin-1')}" if request.query else "")
        fields = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        signed = url + "".join(name + value for name, value in sorted(fields))
        return base64.b64encode(hmac.new(self._auth_token, signed.encode(), hashlib.sha1).digest())

    def _check_telnyx(self, request: ReceiptRequest, now: float) -> None:
        timestamp = request.header("telnyx-timestamp")
        assert self._public_key is not None
        try:
            signature = base64.b64decode(request.header("telnyx-signature-ed25519"), validate=True)
            self._public_key.verify(signature, timestamp.encode() + b"|" + request.body)
        except (InvalidSignature, ValueError):
            raise BadNotification("telnyx-signature-ed25519 was not made with their key.", forged=True) from None
        if not timestamp.isdigit() or len(timestamp) > 12 or abs(int(timestamp) - now) > REPLAY_SECONDS:
            raise BadNotification(f"telnyx-timestamp is more than {REPLAY_SECONDS} s from now.", forged=True)

    def read(self, request: ReceiptRequest, now: float) -> list[Receipt]:
        """Reads the receipts of a request. One that can't be read becomes an unreadable receipt.

        :raises BadNotification: it has no JSON, form or query, or too many receipts.
        """
        document: Any
        if request.content_type == _FORMS or not request.body:
            octets = request.body or request.query
            document = dict(parse_qsl(octets.decode("utf-8", "replace"), keep_blank_values=True))
        else:
            try:
                document = msgspec.json.decode(request.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise BadNotification("The body is not JSON.", forged=False) from None
        items = [document]
        if self._receipts.items and isinstance(document, dict):
            items = document.get(self._receipts.items, [])
        elif isinstance(document, list):
            items = document
        if not isinstance(items, list) or len(items) > MOST_NOTIFICATIONS:
            raise BadNotification(f"Expected up to {MOST_NOTIFICATIONS} receipts.", forged=False)
        return [self._receipt(item, now) for item in items]

    def read_again(self, kept: Receipt) -> Receipt | None:
        """Reads a receipt that the store keeps, with the present settings; None: it is unreadable."""
        try:
            receipt = self._receipt(msgspec.json.decode(kept.raw), kept.received_at)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # It was cut, or it came when the carrier was still on SMPP.
            return None
        return None if is_unreadable(receipt) else msgspec.structs.replace(receipt, carrier=kept.carrier)

    def _receipt(self, item: Any, now: float) -> Receipt:
        where = self._receipts
        raw = msgspec.json.encode(item)
        message_id, stat = word_at(item, where.id), word_at(item, where.state)
        if not message_id or not stat or len(message_id) > LONGEST_ID:
            return Receipt(self._carrier, (), None, False, now, raw=raw)
        key = self._key_of(message_id.encode())
        state, final = self._states.of_word(stat.encode())
        error = word_at(item, where.error).encode()
        return Receipt(self._carrier, (key,) if key else (), state, final, now, error[:64], stat.encode()[:64], raw=raw)


class ApiReceiptTaker(NamedTuple):
    """Takes the receipts of a carrier of kind api.

    :ivar reader: checks and reads them.
    :ivar keep: makes the receipts durable. Returns the indexes of those that can't be made durable now.
    """

    reader: ApiReceiptReader
    keep: Callable[[list[Receipt]], Awaitable[Set[int]]]
