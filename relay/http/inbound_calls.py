"""Messages from handsets over HTTP: the feed, asking after one, having one sent again."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime

from relay.http.account_calls import AccountApi
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow
from relay.http.message_reports import attempt_report
from relay.http.problems import Problem
from relay.http.types import InboundFeed, InboundFeedReport, InboundView
from relay.store.api import Store
from relay.values.ids import id_text, parse_id
from relay.values.message_view import MessageView
from relay.webhooks.inbound_request import inbound_fields


class InboundApi:
    """The handlers of `/inbound`."""

    def __init__(self, flow: SubmissionFlow, accounts: Customers, account_api: AccountApi, clock: IReactorTime) -> None:
        self._flow = flow
        self._store: Store = flow.store
        self._accounts = accounts
        self._account_api = account_api
        self._clock = clock

    async def feed(self, request: ApiRequest, account: str) -> Reply:
        """`GET /inbound`: the messages after a cursor. Waits for new ones if the request says so."""
        views, text = await self._account_api.page(request, account, self._store.inbound_feed)
        cursors = self._account_api.cursors.texts(account, [view.inbound.cursor for view in views if view.inbound])
        reports = [
            InboundFeedReport(cursor=cursor, **_fields(view)) for view, cursor in zip(views, cursors, strict=True)
        ]
        return Reply(200, msgspec.json.encode(InboundFeed(reports, cursors[-1] if cursors else text)))

    async def query(self, request: ApiRequest, account: str) -> Reply:
        """`GET /inbound/{id}`."""
        view = await self._find(request, account)
        attempts = [attempt_report(attempt, "RECEIVED") for attempt in view.attempts]
        return Reply(200, msgspec.json.encode(InboundView(attempts=attempts, **_fields(view))))

    async def notify(self, request: ApiRequest, account: str) -> Reply:
        """`POST /inbound/{id}/notify`: sends the message to the account's inbound_url again."""
        view = await self._find(request, account)
        if self._accounts.get(account).inbound_url is None:
            raise Problem(409, "The account has no inbound_url; read GET /inbound.", kind="no-inbound-url")
        again = await self._store.notify_again(account, [view.id], self._clock.seconds())
        body = b'{"id":"%b"}' % id_text(view.id).encode()
        return Reply(202, body, then=partial(self._flow.wake, again.queues))

    async def _find(self, request: ApiRequest, account: str) -> MessageView:
        message_id = parse_id(request.path.split(b"/")[2].decode("latin-1"))
        view = await self._store.look_up_inbound(message_id) if message_id is not None else None
        if view is None or view.account != account:
            raise Problem(404, "The account has no message from a handset with this id, or it is too old.", "id")
        return view


def _fields(view: MessageView) -> Mapping[str, Any]:
    assert view.inbound is not None
    fields = inbound_fields(view.inbound)
    fields["from_"] = fields.pop("from")
    return fields
