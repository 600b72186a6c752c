"""Reads the messages in the body of a request: JSON (one message or an array of them), or a form."""

from collections.abc import Sequence
from typing import Final

import msgspec

from relay.http.api_request import ApiRequest
from relay.http.multipart import MULTIPART
from relay.http.problems import Problem
from relay.http.types import MOST_MESSAGES, DefaultSenderRequest, MessageRequest, from_form, problem_of

FORM: Final = b"application/x-www-form-urlencoded"
#: The media types of a form, which `ApiRequest.form` reads.
FORMS: Final = frozenset({FORM, MULTIPART})

#: The type of a request, by whether messages may come without a sender.
_KINDS: Final[dict[bool, type[MessageRequest]]] = {False: MessageRequest, True: DefaultSenderRequest}
_decode_one_or_many: Final = {
    lenient: msgspec.json.Decoder(kind | list[kind]).decode  # type: ignore[valid-type]
    for lenient, kind in _KINDS.items()
}
_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one: Final = {lenient: msgspec.json.Decoder(kind).decode for lenient, kind in _KINDS.items()}


def read_messages(request: ApiRequest, lenient: bool) -> tuple[Sequence[MessageRequest | Problem], bool]:
    """Reads the body of `POST /messages`. Returns the items, and whether the body is a single message.

    :param lenient: messages may come without a sender.
    :raises Problem: the body can't be read. If only one item of an array is wrong, its place has the problem.
    """
    if request.content_type in FORMS:
        return [from_form(request.form(), _KINDS[lenient])], True
    raw = request.body()
    try:
        decoded = _decode_one_or_many[lenient](raw)
    except msgspec.ValidationError as error:
        if raw.lstrip()[:1] != b"[":
            raise problem_of(error) from None
        return _checked(_read_one_by_one(raw, lenient)), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise not_json() from None
    if type(decoded) is list:
        return _checked(decoded), False
    return [decoded], True


def _checked(items: Sequence[MessageRequest | Problem]) -> Sequence[MessageRequest | Problem]:
    if not 1 <= len(items) <= MOST_MESSAGES:
        raise Problem(422, f"An array must have 1 to {MOST_MESSAGES} messages; this one has {len(items)}.")
    return items


def _read_one_by_one(raw: bytes, lenient: bool) -> list[MessageRequest | Problem]:
    items: list[MessageRequest | Problem] = []
    try:
        raw_items = _decode_raw(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise not_json() from None
    for item in raw_items:
        try:
            items.append(_decode_one[lenient](item))
        except msgspec.ValidationError as error:
            items.append(problem_of(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            items.append(not_json())
    return items


def not_json() -> Problem:
    """Makes the problem with a body that isn't JSON: 400."""
    return Problem(400, "The body must be JSON, or a form with the Content-Type of a form.", kind="not-json")
