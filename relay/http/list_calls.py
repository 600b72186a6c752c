"""`GET /messages`: an account's messages, searched and in pages; and all that a search finds as a file."""

from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from relay.history.export import CONTENT_TYPES, Format, head, lines
from relay.history.history_query import HistoryQuery
from relay.history.message_lists import MessageLists
from relay.history.query_text import PARAMETERS, QueryProblem, query_of
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers
from relay.http.cursors import Cursors, NoCursor
from relay.http.message_reports import report
from relay.http.problems import invalid_field, refuse_unknown
from relay.http.types import MessageList
from relay.store.store_values import StoreUnavailable

#: An account's parameters: all but `carrier_id`, which is the operator's business.
LISTED_BY: Final = tuple(name for name in PARAMETERS if name != "carrier_id")


class ListCalls:
    """The handler of `GET /messages`.

    :param cursors: hides the places of messages, which would show everybody's volume.
    """

    def __init__(self, lists: MessageLists, accounts: Customers, cursors: Cursors) -> None:
        self._lists = lists
        self._accounts = accounts
        self._cursors = cursors

    async def messages(self, request: ApiRequest, account: str) -> Reply:
        """A page of the messages that the parameters ask for."""
        parameters = request.parameters()
        refuse_unknown(parameters, (*LISTED_BY, "after"))
        try:
            query = query_of(parameters, account)
        except QueryProblem as problem:
            raise invalid_field(problem.parameter, str(problem)) from None
        await self._cursors.ready()
        if after := parameters.get("after", ""):
            try:
                query = msgspec.structs.replace(query, after=self._cursors.place(account, after))
            except NoCursor:
                raise invalid_field("after", "'after' must be the 'next' of an earlier answer.") from None
        page = await self._lists.find(query)
        error_codes = self._accounts.get(account).error_codes
        following = None if page.cursor is None else self._cursors.texts(account, [page.cursor])[0]
        reports = [report(view, error_codes) for view in page.messages]
        return Reply(200, msgspec.json.encode(MessageList(reports, following, page.complete)))


async def stream_export(
    request: ApiRequest, lists: MessageLists, query: HistoryQuery, kind: Format, filename: str
) -> Reply:
    """Answers with all that a query finds, as a file: a page is read from the history when the client has taken the
    one before.

    Where something goes wrong after the beginning, the connection ends without an end of the file, so that nobody takes
    a part for the whole.
    """
    pages = lists.all(query)
    # What can't be asked at all is answered as any request.
    first = await anext(pages, ())
    chunked = request.clientproto == b"HTTP/1.1"
    headers = [(b"Content-Disposition", b'attachment; filename="%b"' % filename.encode())]
    request.begin_stream(CONTENT_TYPES[kind], [*headers, (b"Transfer-Encoding", b"chunked")] if chunked else headers)
    pace = _Pace()
    channel: Any = request.channel
    channel.registerProducer(pace, True)
    try:
        _send(request, head(kind) + lines(kind, first), chunked)
        async for page in pages:
            await pace.ready()
            if request.gone:
                return Reply(200, b"")
            _send(request, lines(kind, page), chunked)
        if chunked:
            request.send(b"0\r\n\r\n")
    except StoreUnavailable:
        channel.loseConnection()
    finally:
        if not request.gone:
            channel.unregisterProducer()
        request.end_stream()
    return Reply(200, b"")


def _send(request: ApiRequest, octets: bytes, chunked: bool) -> None:
    if octets:
        request.send(b"%x\r\n%b\r\n" % (len(octets), octets) if chunked else octets)


@implementer(IPushProducer)
class _Pace:
    """Says when the connection has room for the next page."""

    def __init__(self) -> None:
        self._waiting: Deferred[None] | None = None
        self._paused = False

    async def ready(self) -> None:
        """Returns when there is room, or nobody is there any more."""
        if self._paused:
            self._waiting = Deferred()
            await self._waiting

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    stopProducing = resumeProducing
