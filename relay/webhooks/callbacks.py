"""Notifications in the manner of other gateways, for customers who came from one and keep their receiver.

Such a callback is asked for with the message, so it travels as the message's own notification URL with a prefix that
says what is wanted: `kannel:19:http://...%d...` or `jasmin:2:GET:http://...`. This module makes the prefix, takes it
off, and makes the request.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote_plus, urlencode

from relay.values.ids import id_text
from relay.values.messages import Notification, destination_of, source_of
from relay.values.states import ACCEPTED, DELIVERED, ENROUTE, REJECTED, SCHEDULED, customer_words
from relay.webhooks.request import WebhookRequest

#: Kannel's bits of `dlr-mask`, and what `%d` says.
KANNEL_DELIVERED: Final = 1
KANNEL_FAILED: Final = 2
KANNEL_SMSC_TOOK_IT: Final = 8
KANNEL_SMSC_REFUSED: Final = 16

LONGEST_MASK: Final = 63


class Callback(NamedTuple):
    """A message's own notification URL, and in which manner it wants to be called.

    :ivar manner: "" (the relay's own), "kannel" or "jasmin".
    :ivar detail: Kannel's mask, Jasmin's level.
    :ivar url: of Kannel with the escapes still in it.
    """

    manner: str
    detail: int
    method: str
    url: str


def kannel_callback(url: str, mask: int) -> str:
    """The notification URL of a message that came with Kannel's `dlr-url` and `dlr-mask`."""
    return f"kannel:{mask}:{url}"


def jasmin_callback(url: str, level: int, method: str) -> str:
    """The notification URL of a message that came with Jasmin's `dlr-url`, `dlr-level` and `dlr-method`."""
    return f"jasmin:{level}:{method}:{url}"


def parse_callback(url: str) -> Callback:
    """Takes the prefix off, if there is one."""
    if url.startswith("kannel:"):
        _, mask, rest = url.split(":", 2)
        return Callback("kannel", int(mask), "GET", rest)
    if url.startswith("jasmin:"):
        _, level, method, rest = url.split(":", 3)
        return Callback("jasmin", int(level), method, rest)
    return Callback("", 0, "POST", url)


def callback_request(notification: Notification, callback: Callback) -> WebhookRequest | None:
    """The request that a callback of another gateway's manner wants; None where it doesn't want to hear of this."""
    if callback.manner == "kannel":
        value = kannel_value(notification.state, callback.detail)
        return None if value is None else WebhookRequest("GET", _filled(callback.url, notification, value), {}, None)
    fields = _jasmin_fields(notification, callback.detail)
    if fields is None:
        return None
    encoded = urlencode(fields)
    if callback.method == "POST":
        headers = {b"Content-Type": [b"application/x-www-form-urlencoded"]}
        return WebhookRequest("POST", callback.url, headers, encoded.encode("ascii"))
    return WebhookRequest("GET", f"{callback.url}{'&' if '?' in callback.url else '?'}{encoded}", {}, None)


def kannel_value(state: int, mask: int) -> int | None:
    """What Kannel calls a state (`%d`), where the mask asks for it; None where it doesn't.

    A carrier's refusal is 16 for those who ask for 16, and a failure (2) for those who ask for failures only.
    """
    if state == DELIVERED:
        value = KANNEL_DELIVERED
    elif state in (SCHEDULED, ENROUTE, ACCEPTED):
        value = KANNEL_SMSC_TOOK_IT
    elif state == REJECTED and mask & KANNEL_SMSC_REFUSED:
        value = KANNEL_SMSC_REFUSED
    else:
        value = KANNEL_FAILED
    return value if value & mask else None


def _filled(pattern: str, n: Notification, value: int) -> str:
    """Kannel's escapes in a URL, filled in. A percent sign that begins none (as in %20) stands for itself.

    As in Kannel, an escape wins over what could be a percent-encoded octet (%A3).
    """
    words = customer_words(n.state, n.carrier_error)
    source = source_of(n.addresses).decode("latin-1")
    destination = destination_of(n.addresses).decode("latin-1")
    id_ = id_text(n.id)
    error = n.carrier_error.decode("latin-1") or words.error
    receipt = (
        f"id:{id_} sub:001 dlvrd:{'001' if value == KANNEL_DELIVERED else '000'}"
        f" submit date:{_date(n.accepted_at)} done date:{_date(n.done_at)} stat:{words.status} err:{error} text:"
    )
    escapes: Mapping[str, str] = {
        "d": str(value),
        "p": source,
        "P": destination,
        "q": _with_plus(source),
        "Q": _with_plus(destination),
        "A": receipt,
        "a": receipt,
        "b": receipt,
        "t": datetime.fromtimestamp(n.done_at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "T": str(int(n.done_at)),
        "i": "",
        "I": id_,
        "F": id_,
        "n": n.account,
        "o": n.account,
        "c": "0",
        "C": "",
        "%": "%",
    }
    pieces = pattern.split("%")
    filled = [pieces[0]]
    index = 1
    while index < len(pieces):
        piece = pieces[index]
        if not piece and index + 1 < len(pieces):
            # "%%": one percent sign, and the next piece is plain text.
            filled.append("%25" + pieces[index + 1])
            index += 2
            continue
        if piece[:1] in escapes:
            filled.append(quote_plus(escapes[piece[:1]]) + piece[1:])
        else:
            filled.append("%" + piece)
        index += 1
    return "".join(filled)


def _with_plus(number: str) -> str:
    return "+" + number[2:] if number.startswith("00") else number


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M")


def _jasmin_fields(n: Notification, level: int) -> dict[str, str] | None:
    words = customer_words(n.state, n.carrier_error)
    id_ = id_text(n.id)
    if level == 1:
        # Whether a carrier took it. Told when the message has ended, because that is when notifications are made.
        if not n.final:
            return None
        return {
            "id": id_,
            "message_status": "ESME_RSUBMITFAIL" if n.state == REJECTED else "ESME_ROK",
            "level": "1",
            "connector": "relay",
        }
    return {
        "id": id_,
        "id_smsc": id_,
        "message_status": words.status,
        "level": "2",
        "connector": "relay",
        "subdate": _date(n.accepted_at),
        "donedate": _date(n.done_at),
        "sub": f"{n.parts:03}",
        "dlvrd": f"{n.parts if n.state == DELIVERED else 0:03}",
        "err": n.carrier_error.decode("latin-1") or words.error,
        "text": "",
    }
