"""Reads Jasmin's `custom_tlvs` in all forms that Jasmin accepts."""

import re
from typing import Any, Final

import msgspec

from relay.http.migration.gateway_fields import Fields, Refusal, text_of
from relay.text import compose as sms_text
from relay.text.raw_parts import vendor_tlv


def invalid(name: str, fields: Fields) -> Refusal:
    """Makes the refusal of a field with a wrong value, in Jasmin's words."""
    return Refusal(400, f"Argument [{name}] has an invalid value: [{text_of(fields, name)[:50]}].")


_INTEGERS: Final = {"Int1": 1, "Int2": 2, "Int4": 4, "Int8": 8}
_tag_and_type = re.compile(r"(0[xX][0-9A-Fa-f]{1,4}|[0-9]{1,5})(?::(\w+))?").fullmatch


def custom_tlvs(fields: Fields) -> bytes:
    """Reads `custom_tlvs`, and returns the optional parameters as octets of a submit_sm.

    The field is a JSON list of lists, a list of objects, or an object with tags as names.

    :raises Refusal: the relay can't read the field, or a tag is outside of the range for vendors.
    """
    value = fields.get("custom_tlvs")
    if not value:
        return b""
    try:
        decoded = msgspec.json.decode(value, type=list[Any] | dict[str, Any])
        items = list(decoded.items()) if isinstance(decoded, dict) else decoded
        if len(items) > 50:
            raise ValueError("too many")
        return b"".join(_tlv(item) for item in items)
    except sms_text.InvalidText as problem:
        raise Refusal(400, problem.reason) from None
    except (ValueError, TypeError, KeyError, OverflowError, msgspec.DecodeError, RecursionError):
        raise invalid("custom_tlvs", fields) from None


def _tlv(item: Any) -> bytes:
    kind: Any = None
    if isinstance(item, dict):
        tag, value = item["tag"], item["value"]
        kind = item.get("type")
    elif len(item) == 4:
        tag, _, kind, value = item
    else:
        tag, value = item
    if isinstance(tag, str):
        found = _tag_and_type(tag)
        if found is None:
            raise ValueError("no tag")
        tag, kind = int(found[1], 0), found[2] or kind
    if not isinstance(tag, int) or isinstance(tag, bool):
        raise TypeError("no tag")
    return vendor_tlv(tag, _tlv_value(kind, value))


def _tlv_value(kind: Any, value: Any) -> bytes:
    if kind in _INTEGERS or (kind is None and isinstance(value, int)):
        return int(value).to_bytes(_INTEGERS.get(kind, 4), "big")
    if not isinstance(value, str):
        raise TypeError("no value")
    if kind not in (None, "OctetString", "COctetString"):
        raise ValueError("no type")
    return value.encode() + (b"\0" if kind == "COctetString" else b"")
