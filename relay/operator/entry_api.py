"""The admin API: reads and changes accounts, carriers and routes over HTTP.

    GET    /configuration/accounts            some entries; ?after= and ?limit=
    GET    /configuration/accounts/NAME       one entry
    PUT    /configuration/accounts/NAME       the whole entry
    PATCH  /configuration/accounts/NAME       what differs (RFC 7396)
    DELETE /configuration/accounts/NAME

Carriers and routes are read and changed in the same way. docs/admin-api.md describes it for those who call it.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from relay import __version__
from relay.config.config_entries import ENTRY_TYPES, Table
from relay.config.listener_config import AdminListener
from relay.operator.actions import OperatorActions
from relay.operator.admin_site import AdminRequest, Reply, json_reply
from relay.operator.entry_openapi import openapi_document
from relay.operator.entry_requests import EditsEntries, Entry, EntryChange, KeyRefused, NotDone
from relay.operator.operator_logins import USER
from relay.operator.refusal import Refusal
from relay.store.store_values import StoreUnavailable

#: Entries of one page: the most, and without `limit`.
_MOST_ENTRIES: Final = 500
_ENTRIES: Final = 100
_REASON_CHARACTERS: Final = 200
_ETAG: Final = re.compile(r'"([^"]*)"|(\*)|(W/"[^"]*")')


class EntryApi:
    """The calls, for `AdminPages`.

    :param settings: returns the configuration's table `admin`.
    :param editor: returns what reads and writes the files; None: the relay was started without a file.
    """

    def __init__(
        self,
        settings: Callable[[], AdminListener],
        editor: Callable[[], EditsEntries | None],
        actions: OperatorActions,
    ) -> None:
        self._settings = settings
        self._editor = editor
        self._actions = actions

    @staticmethod
    def has(request: AdminRequest) -> bool:
        """Whether the path is one of the API's."""
        return request.path[1:2] == ["openapi.json"] or (len(request.path) > 1 and request.path[1] in ENTRY_TYPES)

    async def answer(self, request: AdminRequest) -> Reply:
        """Answers a call."""
        try:
            return await self._answer(request)
        except StoreUnavailable as problem:
            return _not_done(f"it can't be recorded: {problem.reason}", 503)
        except Refusal as problem:
            return _not_done(str(problem), problem.status, getattr(problem, "problems", []))

    async def _answer(self, request: AdminRequest) -> Reply:
        editor = self._editor()
        if not self._settings().api:
            raise Refusal("the admin API is off: set admin.api: true in the configuration")
        if editor is None:
            raise Refusal("this relay was not started with a configuration file", 409)
        kind: Any = request.path[1]
        table: Table = kind
        match request.method, request.path[1:]:
            case "GET" | "HEAD", ["openapi.json"]:
                return json_reply(openapi_document(__version__))
            case "GET" | "HEAD", [_]:
                return json_reply(await editor.entries(table, request.query.get("after", ""), _limit(request)))
            case "GET" | "HEAD", [_, name]:
                entry = await editor.entry(table, name)
                return json_reply(entry, 200, *_etag(entry))
            case "PUT" | "PATCH" | "DELETE", [_, name]:
                return await self._change(request, editor, table, name)
            case _:
                raise Refusal(
                    "there are GET /configuration/TABLE and GET, PUT, PATCH and DELETE /configuration/TABLE/NAME; "
                    f"TABLE is one of {', '.join(ENTRY_TYPES)}",
                    405 if len(request.path) <= 3 else 404,
                )

    async def _change(self, request: AdminRequest, editor: EditsEntries, table: Table, name: str) -> Reply:
        if request.user.name == USER:
            raise Refusal("log in as one of admin.users, so that the record of the change names a person", 403)
        by, reason = request.actor, request.query.get("reason", "")[:_REASON_CHARACTERS]

        def record(what: str) -> Awaitable[None]:
            return self._actions.record(what, reason, by)

        done = await editor.change(table, name, _wanted(request), record)
        return json_reply(done, 201 if done.created else 200, *_etag(done.entry))


def _wanted(request: AdminRequest) -> EntryChange:
    kinds: Any = {"PUT": "put", "PATCH": "patch", "DELETE": "delete"}
    settings = None
    if request.method != "DELETE":
        try:
            settings = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Refusal(f"the body is no JSON: {problem}", 400) from None
    if_none_match = request.headers.get("If-None-Match", "").strip()
    if if_none_match not in ("", "*"):
        raise Refusal("If-None-Match: only * has a meaning here: the entry must not exist", 400)
    return EntryChange(kinds[request.method], settings, _versions(request.headers.get("If-Match")), bool(if_none_match))


def _versions(header: str | None) -> frozenset[str] | None:
    """The versions of If-Match. A weak ETag (W/) never matches."""
    if header is None:
        return None
    found = list(_ETAG.finditer(header))
    if not found:
        raise Refusal('If-Match: write the ETag with its quotes, such as "2f-18a", or *', 400)
    return frozenset(each[1] if each[1] is not None else "*" for each in found if each[3] is None)


def _limit(request: AdminRequest) -> int:
    text = request.query.get("limit", str(_ENTRIES))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MOST_ENTRIES:
        raise Refusal(f"limit: write a number from 1 to {_MOST_ENTRIES}", 422)
    return int(text)


def _etag(entry: Entry | None) -> tuple[tuple[str, str], ...]:
    return () if entry is None or entry.version is None else (("ETag", f'"{entry.version}"'),)


def _not_done(error: str, status: int, problems: list[KeyRefused] | None = None) -> Reply:
    return json_reply(NotDone(error, problems or []), status)
