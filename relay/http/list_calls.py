"""`GET /messages`: an account's messages, searched and in pages; and all that a search finds as a file."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from relay.history.export import CONTENT_TYPES, Format, head, lines
from relay.history.history_search import HistoryQuery
from relay.history.message_lists import MessageLists
from relay.history.query_text import PARAMETERS, QueryProblem, query_of
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers
from relay.http.cursors import Cursors, NoCursor
from relay.http.message_calls import report
from relay.http.problems import Problem, invalid_field
from relay.http.types import MessageList
from relay.values.messages import MessageView

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
        unknown = next((name for name in parameters if name not in (*LISTED_BY, "after")), None)
        if unknown is not None:
            raise Problem(422, f"There is no parameter '{unknown[:100]}'.", unknown[:100], kind="unknown-field")
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
    """Answers with all that a query finds, as a file: a page is read from the history when the last one is on its way.

    What goes wrong after the beginning ends the connection without an end of the file, so that nobody takes a part for
    the whole.
    """
    pages = lists.all(query)
    disposition = b'attachment; filename="%b"' % filename.encode()
    request.begin_stream(
        CONTENT_TYPES[kind], ((b"Content-Disposition", disposition), (b"Transfer-Encoding", b"chunked"))
    )
    done: Deferred[None] = Deferred()
    producer = _Pages(request, pages, kind, done)
    channel: Any = request.channel
    channel.registerProducer(producer, False)
    await done
    return Reply(200, b"")


@implementer(IPullProducer)
class _Pages:
    """Writes a page each time that the connection has room for one."""

    def __init__(
        self, request: ApiRequest, pages: AsyncIterator[Sequence[MessageView]], kind: Format, done: "Deferred[None]"
    ) -> None:
        self._request = request
        self._pages = pages
        self._kind = kind
        self._done = done
        self._begun = self._reading = self._ended = False

    def resumeProducing(self) -> None:
        if not self._reading and not self._ended:
            self._reading = True
            Deferred.fromCoroutine(self._next()).addErrback(lambda _: self._end(abort=True))

    def stopProducing(self) -> None:
        if not self._ended:
            self._end(abort=True)

    async def _next(self) -> None:
        octets = b"" if self._begun else head(self._kind)
        self._begun = True
        try:
            octets += lines(self._kind, await anext(self._pages))
        except StopAsyncIteration:
            self._write(_chunk(octets) + b"0\r\n\r\n" if octets else b"0\r\n\r\n")
            self._end()
            return
        self._reading = False
        self._write(_chunk(octets))

    def _write(self, octets: bytes) -> None:
        if not self._ended:
            self._request.send(octets)

    def _end(self, *, abort: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        channel: Any = self._request.channel
        if channel is not None:
            channel.unregisterProducer()
            if abort:
                channel.loseConnection()
        self._request.end_stream()
        self._done.callback(None)


def _chunk(octets: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(octets), octets)
