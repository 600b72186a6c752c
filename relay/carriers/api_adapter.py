"""Speaks a carrier's own HTTP API, as its settings describe it: makes requests, and reads answers.

Theory of operation: a template has placeholders. Each value is escaped for the place where it stands: in a JSON body
as the inside of a string, in a form and in a path percent-encoded. So no text can change the request around it. An
answer is converted to the SMPP status with the same meaning, so that the link needs to know only one kind of answer.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import msgspec

from relay.carriers.api_presets import API_PRESETS
from relay.config.api_config import Api, ApiReceipts
from relay.config.carrier_config import Carrier, Dialect
from relay.text.passthrough import RawPart
from relay.values import smpp_constants as c

#: What a template may ask for. docs/http-carriers.md says what each is.
PLACEHOLDERS: Final = (
    "to", "to_digits", "from", "from_digits", "text", "text_type", "payload", "udh", "data_coding", "id", "system_id",
    "password", "receipt_url", "validity_seconds", "validity_minutes", "validity_milliseconds",
)  # fmt: skip
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_LONGEST_ID: Final = 64
#: For carriers whose API says nothing else.
_SHORTEST_VALIDITY_SECONDS: Final = 1
_LONGEST_VALIDITY_SECONDS: Final = 172_800
_STATUS_NUMBERS: Final = c.status_numbers()


class LoginRefused(Exception):
    """The carrier refused our credentials: 401 or 403, or an error that means the same."""


class HttpRequest(NamedTuple):
    """One request, ready to be sent."""

    method: str
    url: str
    headers: dict[bytes, list[bytes]]
    body: bytes | None


def resolve_api(settings: Carrier) -> tuple[str, Api]:
    """The base URL and all settings of a carrier's API: its own, and for the others those of its preset."""
    preset = API_PRESETS[settings.api.preset]
    receipts = _over(settings.api.receipts, preset.api.receipts)
    own = {name: value for name, value in msgspec.structs.asdict(settings.api).items() if value is not None}
    if settings.api.errors and preset.api.errors:
        own["errors"] = {**preset.api.errors, **settings.api.errors}
    merged = {**msgspec.structs.asdict(preset.api), **own, "receipts": receipts}
    return (settings.connect or preset.connect).rstrip("/"), Api(**merged)


def _over(own: ApiReceipts, preset: ApiReceipts) -> ApiReceipts:
    given = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
    return msgspec.structs.replace(preset, **given)


def api_dialect(settings: Carrier) -> Dialect:
    """The dialect of a carrier's receipts: its own, with the words of its preset."""
    states = {**API_PRESETS[settings.api.preset].states, **(settings.dialect.states or {})}
    return msgspec.structs.replace(settings.dialect, states=states)


def receipt_url(name: str, settings: Carrier) -> str:
    """Where the carrier sends receipts: the relay's public URL, and the token if that is how they are verified."""
    url = f"{settings.api.public_url.rstrip('/')}/carriers/{quote(name, safe='')}/receipts"
    verify = resolve_api(settings)[1].receipts.verify
    if verify == "token" and settings.signing_secret is not None:
        url += f"/{quote(settings.signing_secret.reveal(), safe='')}"
    return url


class ApiAdapter:
    """Makes requests to one carrier's API, and reads its answers.

    :raises ValueError: a setting can't be used; the text begins with its key.
    """

    def __init__(self, name: str, settings: Carrier) -> None:
        self._base_url, self._api = resolve_api(settings)
        api = self._api
        self._constant = {
            "system_id": settings.system_id,
            "password": settings.password.reveal(),
            "receipt_url": receipt_url(name, settings),
        }
        self._escape = _escape_of(api.content_type or "")
        for key in ("path", "body", "binary_body"):
            _check_placeholders(key, getattr(api, key) or "")
        for header, value in (api.headers or {}).items():
            _check_placeholders(f"headers.{header}", value)
        self._shortest_seconds = api.shortest_validity_seconds or _SHORTEST_VALIDITY_SECONDS
        self._longest_seconds = api.longest_validity_seconds or _LONGEST_VALIDITY_SECONDS
        if self._shortest_seconds > self._longest_seconds:
            raise ValueError(f"longest_validity_seconds: expected at least {self._shortest_seconds}, the shortest one")
        self._codes: dict[str, int] = {}
        for code, status in (api.errors or {}).items():
            if status not in _STATUS_NUMBERS or not _STATUS_NUMBERS[status]:
                raise ValueError(f"errors.{code}: {status!r} is no SMPP status, such as ESME_RTHROTTLED")
            self._codes[str(code)] = _STATUS_NUMBERS[status]
        if (api.content_type or "").startswith("application/json") and api.body:
            sample = RawPart("+447700900123", "+447700900124", 'a "text"', 0, b"", b"")
            try:
                msgspec.json.decode(self._filled(api.body, self._values(sample, "id", 60.0), self._escape))
            except msgspec.DecodeError as problem:
                raise ValueError(f"body: with values filled in it is no JSON: {problem}") from None

    def request(self, part: RawPart, name: str, validity_seconds: float) -> HttpRequest | None:
        """Makes the request for one part. None: the API has no way to send what isn't a whole text.

        :param name: the part's own name, which is the same whenever it is sent.
        """
        api = self._api
        template = api.body if part.text is not None else api.binary_body
        if template is None:
            return None
        values = self._values(part, name, validity_seconds)
        path = self._filled(api.path or "/", values, lambda text: quote(text, safe=""))
        headers = {
            key.encode(): [_header(self._filled(value, values, str))] for key, value in (api.headers or {}).items()
        }
        login = f"{values['system_id']}:{values['password']}".encode()
        if api.login == "basic":
            headers[b"Authorization"] = [b"Basic " + base64.b64encode(login)]
        elif api.login == "bearer":
            headers[b"Authorization"] = [b"Bearer " + values["password"].encode()]
        body = None
        if api.method != "GET":
            headers[b"Content-Type"] = [(api.content_type or "").encode()]
            body = self._filled(template, values, self._escape).encode()
        return HttpRequest(api.method or "POST", self._base_url + path, headers, body)

    def answer(self, status: int, content: bytes) -> tuple[int, bytes]:
        """Reads an answer. Returns the command_status with the same meaning, and the carrier's id.

        :raises LoginRefused: our credentials are wrong.
        :raises ValueError: it is not known whether the carrier has taken the message; the text says why.
        """
        api = self._api
        try:
            document: Any = msgspec.json.decode(content) if content else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        code = word_at(document, api.error)
        if code in (api.no_error or ()):
            code = ""
        known = self._codes.get(code) if code else None
        if known is None and not 200 <= status < 300:
            known = self._codes.get(str(status))
        if known == c.ESME_RINVPASWD or (known is None and status in (401, 403)):
            raise LoginRefused(f"it answered {status}" + (f" with the error {code}" if code else ""))
        if known is not None:
            return known, b""
        if status == 429:
            return c.ESME_RTHROTTLED, b""
        if status == 503:
            return c.ESME_RMSGQFUL, b""
        if 400 <= status < 500 or (200 <= status < 300 and code):
            return c.ESME_RSUBMITFAIL, b""
        if not 200 <= status < 300:
            raise ValueError(f"it answered {status}")
        message_id = word_at(document, api.id)
        if not message_id or len(message_id) > _LONGEST_ID or not message_id.isascii():
            raise ValueError(f"it answered {status}, and there is no id at {api.id!r}")
        return c.ESME_ROK, message_id.encode()

    def _values(self, part: RawPart, name: str, validity_seconds: float) -> Mapping[str, str]:
        seconds = int(min(max(validity_seconds, self._shortest_seconds), self._longest_seconds))
        text = part.text or ""
        digits = part.to.removeprefix("+")
        return {
            **self._constant,
            "to": f"+{digits}",
            "to_digits": digits,
            "from": part.sender,
            "from_digits": part.sender.removeprefix("+"),
            "text": text,
            "text_type": "text" if part.data_coding == 0 else "unicode",
            "payload": part.payload.hex(),
            "udh": part.udh.hex(),
            "data_coding": str(part.data_coding),
            "id": name,
            "validity_seconds": str(seconds),
            "validity_minutes": str(max(1, seconds // 60)),
            "validity_milliseconds": str(seconds * 1000),
        }

    @staticmethod
    def _filled(template: str, values: Mapping[str, str], escaped: Callable[[str], str]) -> str:
        return _PLACEHOLDER.sub(
            lambda found: escaped(values[found[1]]) if found[1] in values else found[0],
            template,
        )


def word_at(document: Any, path: str | None) -> str:
    """The text or number at a place in a JSON document: `messages.0.id`. Of several places (`|`), the first counts that
    has one.

    :return: "" if there is none.
    """
    for alternative in (path or "").split("|"):
        found = document
        for step in alternative.split("."):
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                found = None
        if isinstance(found, str | int | float) and not isinstance(found, bool):
            return str(found)
    return ""


def _check_placeholders(key: str, template: str) -> None:
    for found in _PLACEHOLDER.finditer(template):
        if found[1] not in PLACEHOLDERS:
            raise ValueError(f"{key}: there is no placeholder {found[0]}; there are {', '.join(PLACEHOLDERS)}")


def _escape_of(content_type: str) -> Callable[[str], str]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return quote_plus
    if kind.endswith("json"):
        return lambda text: msgspec.json.encode(text)[1:-1].decode()
    return lambda text: escape(text, {'"': "&quot;"})


def _header(value: str) -> bytes:
    return re.sub(r"[^\t -~]", "?", value).encode("ascii")
