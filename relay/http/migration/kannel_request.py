"""Reads the fields of Kannel's requests: from a query, from X-Kannel headers and a body, from a form, or from XML."""

import re
from collections.abc import Mapping
from typing import Final

from relay.http.api_request import ApiRequest
from relay.http.message_requests import FORM, FORMS
from relay.http.migration.gateway_fields import Fields, Refusal, leading_number, multipart, urlencoded
from relay.http.migration.kannel_xml import hex_or_percent, xml_fields
from relay.http.multipart import MULTIPART

#: The X-Kannel headers of a POST, each with the parameter of GET that has the same meaning.
_HEADERS: Final = {
    f"X-Kannel-{name}".encode(): name.lower()
    for name in (
        *("Username", "Password", "From", "To", "UDH", "Coding", "MClass", "MWI", "PID", "RPI", "Alt-DCS", "Compress"),
        *("Validity", "Deferred", "DLR-Mask", "DLR-URL", "Priority", "SMSC", "Account", "BInfo", "Meta-Data"),
    )
}


def read_fields(request: ApiRequest) -> Fields:
    """Reads the fields of a request; their names are those of Kannel's GET.

    Kannel accepts a POST with X-Kannel headers or in XML. The relay also accepts forms, because some customers had a
    proxy that translated forms for Kannel.

    :raises Refusal: the relay doesn't accept this kind of body, or can't read it.
    """
    fields = urlencoded(request.query)
    if request.method != b"POST":
        return fields
    kind, body = request.content_type, request.body()
    headers = {
        field: values[-1].strip()
        for name, field in _HEADERS.items()
        if (values := request.requestHeaders.getRawHeaders(name))
    }
    if kind in FORMS and headers:
        # curl sends this Content-Type by default. Kannel refuses it as well.
        raise Refusal(400, "Invalid content-type")
    if kind == FORM:
        return fields | urlencoded(body)
    if kind == MULTIPART:
        return fields | multipart(request.header(b"Content-Type") or b"", body)
    if kind in (b"text/html", b"text/vnd.wap.wml"):
        raise Refusal(415, "Unsupported content-type, rejected")
    if kind == b"text/xml":
        return xml_fields(body)
    if kind not in (b"text/plain", b"application/octet-stream", b""):
        raise Refusal(400, "Invalid content-type")
    if not headers:
        return fields | {"text": body} if body else fields
    if headers.get("udh"):
        headers["udh"] = hex_or_percent(headers["udh"])
    if kind != b"text/plain":
        return {"coding": b"1"} | _without_empty_coding(headers) | {"text": body}
    charset = _charset_of(request.header(b"Content-Type") or b"", body)
    return {"coding": b"0"} | _without_empty_coding(headers) | {"text": body, "charset": charset}


def _without_empty_coding(headers: Mapping[str, bytes]) -> Fields:
    unset = (None, -1)
    return {name: value for name, value in headers.items() if name != "coding" or leading_number(value) not in unset}


_charset = re.compile(rb';\s*charset="?([^";\s]+)', re.IGNORECASE).search


def _charset_of(content_type: bytes, body: bytes) -> bytes:
    """Returns the character set of a body.

    If Content-Type names none, it is UTF-8 or else ISO-8859-1. Kannel's default is ISO-8859-1, but customers also send
    UTF-8 without a name.
    """
    found = _charset(content_type)
    if found is not None:
        return bytes(found[1])
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return b"iso-8859-1"
    return b"utf-8"
