"""Notifications in the manner of other gateways, for customers who came from one and keep their receiver.

Such a callback is asked for with the message, so it travels as the message's own notification URL with a prefix that
says what is wanted: `kannel:19:http://...%d...` or `jasmin:2:GET:http://...`. This module makes the prefix, takes it
off, and makes the request.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote_plus, urlencode

from relay.values.callback_masks import KANNEL_ON_ITS_WAY
from relay.values.ids import id_text
from relay.values.messages import Notification, destination_of, source_of
from relay.values.network_errors import error_in_receipts
from relay.values.smpp_constants import status_numbers
from relay.values.states import DELIVERED, EXPIRED, customer_words
from relay.webhooks.request import WebhookRequest

#: Kannel's bits of `dlr-mask`, and what `%d` says.
KANNEL_DELIVERED: Final = 1
KANNEL_FAILED: Final = 2
KANNEL_SMSC_REFUSED: Final = 16

#: The largest mask that Kannel 1.4.5 accepts.
LONGEST_MASK: Final = 66

#: What stands for a carrier's name where no carrier has seen the message: receivers refuse an empty one.
_NO_CARRIER: Final = "relay"


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
        value = kannel_value(notification, callback.detail)
        return None if value is None else WebhookRequest("GET", _filled(callback.url, notification, value), {}, None)
    fields = _jasmin_fields(notification, callback.detail)
    if fields is None:
        return None
    encoded = urlencode(fields)
    if callback.method == "POST":
        headers = {b"Content-Type": [b"application/x-www-form-urlencoded"]}
        return WebhookRequest("POST", callback.url, headers, encoded.encode("ascii"))
    # The fields stand before a fragment: behind it they would never leave for the receiver.
    url = callback.url.partition("#")[0]
    return WebhookRequest("GET", f"{url}{'&' if '?' in url else '?'}{encoded}", {}, None)


def kannel_value(n: Notification, mask: int) -> int | None:
    """What Kannel calls a state (`%d`), where the mask asks for it; None where it doesn't.

    As Kannel 1.4.5 does: a message that no carrier took is 16, told to those who ask for 16 or for 2. What a carrier's
    receipt says is never 16.
    """
    if not n.final:
        return KANNEL_ON_ITS_WAY if mask & KANNEL_ON_ITS_WAY else None
    if n.state == DELIVERED:
        return KANNEL_DELIVERED if mask & KANNEL_DELIVERED else None
    if not n.taken:
        return KANNEL_SMSC_REFUSED if mask & (KANNEL_SMSC_REFUSED | KANNEL_FAILED) else None
    return KANNEL_FAILED if mask & KANNEL_FAILED else None


def _kannel_text(n: Notification, value: int) -> str:
    """What `%A` says: a receipt as carriers write them, or why no carrier took the message."""
    words = customer_words(n.state, n.carrier_error)
    error = error_in_receipts(n.carrier_error, n.network_error_code).decode("latin-1")
    if value == KANNEL_SMSC_REFUSED:
        if n.state == EXPIRED:
            return "NACK/validity expired"
        number = status_numbers().get(error)
        if number is not None:
            return f"NACK/0x{number:08x}/{error}"
        return f"NACK/{error or words.status}"
    receipt_id = n.carrier_message_id.decode("latin-1") or id_text(n.id)
    return (
        f"id:{receipt_id} sub:001 dlvrd:{'001' if value == KANNEL_DELIVERED else '000'}"
        f" submit date:{_date(n.accepted_at)} done date:{_date(n.told_done_at)} stat:{words.status}"
        f" err:{error or words.error} text:"
    )


class Words:
    """The words of a text as `%k`, `%s`, `%S` and `%r` take them: the first, the next each time, the rest."""

    def __init__(self, text: str) -> None:
        self._words = text.split()
        self._next = 0

    def first(self) -> str:
        """The first word."""
        return self._words[0] if self._words else ""

    def following(self) -> str:
        """The next word that was not given yet; "" at the end."""
        self._next += 1
        return self._words[self._next - 1] if self._next <= len(self._words) else ""

    def rest(self) -> str:
        """All words that were not given yet."""
        return " ".join(self._words[self._next :])


def _filled(pattern: str, n: Notification, value: int) -> str:
    """Kannel's escapes in a URL, filled in. A percent sign that begins none (as in %20) stands for itself.

    In a report the handset is the sender: `%p` is the message's destination and `%P` its source. As in Kannel, an
    escape wins over what could be a percent-encoded octet (%A3).
    """
    source = source_of(n.addresses).decode("latin-1")
    destination = destination_of(n.addresses).decode("latin-1")
    id_ = id_text(n.id)
    text = _kannel_text(n, value)
    words = Words(text)
    escapes: Mapping[str, str] = {
        "d": str(value),
        "p": destination,
        "P": source,
        "q": with_plus(destination),
        "Q": with_plus(source),
        "A": text,
        "a": " ".join(text.split()),
        "b": text,
        "e": text.encode("latin-1", "replace").hex().upper(),
        "k": words.first(),
        "t": datetime.fromtimestamp(n.done_at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "T": str(int(n.done_at)),
        "i": n.carrier or _NO_CARRIER,
        "I": id_,
        "F": n.carrier_message_id.decode("latin-1") or id_,
        "n": n.account,
        "o": n.account,
        "c": "0",
        "C": "UTF-8",
        "m": "-1",
        "M": "-1",
        "O": "00",
        "R": pattern,
        **dict.fromkeys("BDfuvV", ""),
    }
    return fill(pattern, escapes, words)


def fill(pattern: str, escapes: Mapping[str, str], words: Words) -> str:
    """A URL with Kannel's escapes filled in.

    :param escapes: by the letter behind the percent sign, what stands in its place.
    :param words: for the escapes that take a text word by word.
    """
    filled: list[str] = []
    at = 0
    while True:
        sign = pattern.find("%", at)
        if sign < 0:
            filled.append(pattern[at:])
            break
        filled.append(pattern[at:sign])
        letter = pattern[sign + 1 : sign + 2]
        at = sign + 2
        if letter == "%":
            # One percent sign. Kannel writes it as it is, so that %%20 is a blank; alone it would make no valid URL.
            filled.append("%" if _two_hex_digits(pattern, at) else "%25")
        elif letter == "s" or letter == "S":
            filled.append(quote_plus(words.following()))
        elif letter == "r":
            filled.append(quote_plus(words.rest()))
        elif letter == "#" and (group := _group(pattern, at)) is not None:
            # A value of the meta-data, of which there are none.
            at = group
        elif letter in escapes:
            filled.append(quote_plus(escapes[letter]))
        else:
            filled.append("%")
            at = sign + 1
    # Kannel sends a number sign on as a part of the address, with all that follows it.
    return "".join(filled).replace("#", "%23")


_two_hex_digits = re.compile("[0-9A-Fa-f]{2}").match
_group_and_name = re.compile("[^#%]*#[^#%]*#").match


def _group(pattern: str, at: int) -> int | None:
    """Where `group#name#` ends that begins at `at`; None where there is none."""
    found = _group_and_name(pattern, at)
    return None if found is None else found.end()


def with_plus(number: str) -> str:
    return "+" + number[2:] if number.startswith("00") else number


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M")


def _jasmin_fields(n: Notification, level: int) -> dict[str, str] | None:
    words = customer_words(n.state, n.carrier_error)
    id_ = id_text(n.id)
    connector = n.carrier or _NO_CARRIER
    error = error_in_receipts(n.carrier_error, n.network_error_code).decode("latin-1")
    if level == 1:
        # Whether a carrier took it. Told when the message has ended, because that is when notifications are made.
        if not n.final:
            return None
        status = "ESME_ROK" if n.taken else error if error.startswith("ESME_") else "ESME_RSUBMITFAIL"
        return {"id": id_, "message_status": status, "level": "1", "connector": connector}
    return {
        "id": id_,
        "id_smsc": n.carrier_message_id.decode("latin-1").upper().lstrip("0") or id_,
        "message_status": words.status,
        "level": "2",
        "connector": connector,
        "subdate": _date(n.accepted_at),
        "donedate": _date(n.told_done_at),
        "sub": f"{n.parts:03}",
        "dlvrd": f"{n.parts if n.state == DELIVERED else 0:03}",
        # Receivers read it as a number.
        "err": error if error.isdecimal() else words.error,
        "text": "",
    }
