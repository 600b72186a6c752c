"""Makes notifications in the format of Kannel or Jasmin, for customers who keep the receiver that they wrote for one.

The customer asks for such a callback when it submits the message. The store keeps the wish in the message's own
notification URL, as a prefix: `kannel:19:http://...%d...` or `jasmin:2:GET:http://...`. This module writes the prefix,
reads it, and makes the request.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote_plus, urlencode

from relay.values.callback_masks import KANNEL_ON_ITS_WAY
from relay.values.ids import id_text
from relay.values.messages import destination_of, source_of
from relay.values.network_errors import error_in_receipts
from relay.values.notifications import Notification
from relay.values.smpp_constants import status_numbers
from relay.values.states import DELIVERED, EXPIRED, customer_words
from relay.webhooks.request import WebhookRequest

#: Kannel's bits of `dlr-mask`; they are also the values of `%d`.
KANNEL_DELIVERED: Final = 1
KANNEL_FAILED: Final = 2
KANNEL_SMSC_REFUSED: Final = 16

#: The largest mask that Kannel 1.4.5 accepts.
LONGEST_MASK: Final = 66

#: The carrier's name in callbacks if no carrier took the message: receivers refuse an empty name.
_NO_CARRIER: Final = "relay"


class Callback(NamedTuple):
    """A message's own notification URL, and the format of the request that it gets.

    :ivar manner: the format: "" (the relay's own), "kannel" or "jasmin".
    :ivar detail: Kannel's mask or Jasmin's level.
    :ivar url: the URL without the prefix. Kannel's URL still has its escapes.
    """

    manner: str
    detail: int
    method: str
    url: str


def kannel_callback(url: str, mask: int) -> str:
    """Makes a notification URL of Kannel's `dlr-url` and `dlr-mask`."""
    return f"kannel:{mask}:{url}"


def jasmin_callback(url: str, level: int, method: str) -> str:
    """Makes a notification URL of Jasmin's `dlr-url`, `dlr-level` and `dlr-method`."""
    return f"jasmin:{level}:{method}:{url}"


def parse_callback(url: str) -> Callback:
    """Reads a notification URL: its prefix, if it has one, and the URL of the request."""
    if url.startswith("kannel:"):
        _, mask, rest = url.split(":", 2)
        return Callback("kannel", int(mask), "GET", rest)
    if url.startswith("jasmin:"):
        _, level, method, rest = url.split(":", 3)
        return Callback("jasmin", int(level), method, rest)
    return Callback("", 0, "POST", url)


def callback_request(notification: Notification, callback: Callback) -> WebhookRequest | None:
    """Makes the request of a callback in Kannel's or Jasmin's format; None: the customer doesn't ask for this state."""
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
    # The fields come before a fragment: clients never send a fragment to the server.
    url = callback.url.partition("#")[0]
    return WebhookRequest("GET", f"{url}{'&' if '?' in url else '?'}{encoded}", {}, None)


def kannel_value(n: Notification, mask: int) -> int | None:
    """Returns Kannel's number for a state (`%d`); None if the mask doesn't ask for this state.

    This is the behaviour of Kannel 1.4.5: if no carrier took the message, its number is 16, and a mask with 16 or 2
    asks for it. A state from a carrier's receipt never has the number 16.
    """
    if not n.final:
        return KANNEL_ON_ITS_WAY if mask & KANNEL_ON_ITS_WAY else None
    if n.state == DELIVERED:
        return KANNEL_DELIVERED if mask & KANNEL_DELIVERED else None
    if not n.taken:
        return KANNEL_SMSC_REFUSED if mask & (KANNEL_SMSC_REFUSED | KANNEL_FAILED) else None
    return KANNEL_FAILED if mask & KANNEL_FAILED else None


def _kannel_text(n: Notification, value: int) -> str:
    """Returns the value of `%A`: a receipt's text, or the reason why no carrier took the message."""
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
    """Splits a text into words for Kannel's escapes.

    `%k` is the first word, each `%s` or `%S` is the next word, and `%r` is the rest.
    """

    def __init__(self, text: str) -> None:
        self._words = text.split()
        self._next = 0

    def first(self) -> str:
        """Returns the first word; "" if there is none."""
        return self._words[0] if self._words else ""

    def following(self) -> str:
        """Returns the next word that no call has returned yet; "" after the last word."""
        self._next += 1
        return self._words[self._next - 1] if self._next <= len(self._words) else ""

    def rest(self) -> str:
        """Returns all words that `following` has not returned yet."""
        return " ".join(self._words[self._next :])


def _filled(pattern: str, n: Notification, value: int) -> str:
    """Fills Kannel's escapes in a URL with the values of a notification.

    In a report the handset is the sender: `%p` is the message's destination and `%P` is its source. If a percent sign
    begins no escape (as in %20), it stays in the URL. `%A3` could be an escape or a percent-encoded octet: as in
    Kannel, it is the escape `%A`.
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
    """Fills Kannel's escapes in a URL.

    :param escapes: the value of each escape, by the letter after the percent sign.
    :param words: the text for the escapes that take it word by word.
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
            # `%%` is one percent sign. As in Kannel, %%20 becomes %20, which is a blank. A percent sign without two
            # hexadecimal digits would make the URL invalid, so it is encoded.
            filled.append("%" if _two_hex_digits(pattern, at) else "%25")
        elif letter == "s" or letter == "S":
            filled.append(quote_plus(words.following()))
        elif letter == "r":
            filled.append(quote_plus(words.rest()))
        elif letter == "#" and (group := _group(pattern, at)) is not None:
            # The escape names a value of the meta-data. The relay keeps no meta-data, so the value is empty.
            at = group
        elif letter in escapes:
            filled.append(quote_plus(escapes[letter]))
        else:
            filled.append("%")
            at = sign + 1
    # In Kannel a number sign is a part of the address: Kannel sends it, and the text after it.
    return "".join(filled).replace("#", "%23")


_two_hex_digits = re.compile("[0-9A-Fa-f]{2}").match
_group_and_name = re.compile("[^#%]*#[^#%]*#").match


def _group(pattern: str, at: int) -> int | None:
    """Returns the end of the `group#name#` that begins at `at`; None if there is no such text."""
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
        # Level 1 says if a carrier took the message. The relay tells it when the message has ended.
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
        # Receivers read `err` as a number.
        "err": error if error.isdecimal() else words.error,
        "text": "",
    }
