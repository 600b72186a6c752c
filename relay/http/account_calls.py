"""The handlers for an account's settings, for its feed of notifications, and for sending notifications again."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relay.accounts.account_settings import OFF_BY_OPERATOR, URL_OFF, SettingProblem, why_off
from relay.charging.statement import Statement
from relay.history.message_lists import MessageLists
from relay.history.query_text import QueryProblem, query_of
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow, WebhookTester
from relay.http.cursors import Cursors, NoCursor
from relay.http.list_calls import LISTED_BY
from relay.http.message_requests import FORMS, not_json
from relay.http.problems import Problem, invalid_field, refuse_unknown
from relay.http.resend_jobs import ResendJobs
from relay.http.resending import Resending
from relay.http.types import (
    AccountReport,
    AccountUseReport,
    Feed,
    NotificationReport,
    ReplayProgress,
    ReplayReport,
    ReplayRequest,
    TestReport,
    UrlRequest,
    from_form,
    problem_of,
)
from relay.store.api import Store
from relay.store.store_values import FeedEntry
from relay.values.ids import RandomBytes, id_text, new_ids, parse_id
from relay.values.instants import instant
from relay.values.message_view import MessageView
from relay.values.notifications import QueueKey
from relay.values.states import customer_words
from relay.webhooks.body import error_of

MOST_NOTIFICATIONS: Final = 1000
LONGEST_WAIT_SECONDS: Final = 60.0

#: How often a long poll looks for new notifications.
POLL_SECONDS: Final = 0.25

#: The most long polls that one account may have open.
MOST_POLLS: Final = 20

#: The most notifications that one replay request sends again.
MOST_REPLAYED: Final = 100_000

#: How many of them in one turn of the reactor. That takes about a millisecond.
REPLAYED_A_TURN: Final = 250


_T = TypeVar("_T")
_EntryT = TypeVar("_EntryT")

#: Gives an account's entries after a place in its feed, so many at the most.
Question = Callable[[str, int, int], Awaitable[Sequence[_EntryT]]]


class AccountApi:
    """The handlers of `/account` and `/notifications`."""

    def __init__(
        self,
        flow: SubmissionFlow,
        accounts: Customers,
        webhooks: WebhookTester,
        clock: IReactorTime,
        random_bytes: RandomBytes,
        lists: MessageLists,
    ) -> None:
        self._flow = flow
        self._lists = lists
        self._store: Store = flow.store
        self._accounts = accounts
        self._webhooks = webhooks
        self._clock = clock
        self._random_bytes = random_bytes
        self.cursors = Cursors(self._store, random_bytes)
        self._resending = Resending(self._store, accounts, clock)
        self.jobs = ResendJobs(self._resending, lists, flow, clock)
        self._polls: dict[str, int] = {}
        #: The accounts that have a replay under way.
        self._replaying: set[str] = set()

    async def account(self, request: ApiRequest, account: str) -> Reply:
        """`GET /account`."""
        return Reply(200, msgspec.json.encode(self.report(account)))

    async def set_url(self, request: ApiRequest, account: str) -> Reply:
        """`PUT /account/notification-url`."""
        asked = _decode(request, UrlRequest).url
        if asked == "":
            raise invalid_field("url", "The URL is empty. To have no notifications by HTTP, set it to null.")
        url = asked or ""
        try:
            self._accounts.check_setting(account, "notification_url", url)
        except SettingProblem as problem:
            raise invalid_field("url", str(problem)) from None
        await self.put_setting(account, "notification_url", url)
        return Reply(200, msgspec.json.encode(self.report(account)))

    async def reset_url(self, request: ApiRequest, account: str) -> Reply:
        """`DELETE /account/notification-url`: makes the configuration's URL hold again."""
        await self.put_setting(account, "notification_url", None)
        return Reply(200, msgspec.json.encode(self.report(account)))

    async def put_setting(self, account: str, name: str, value: str | None) -> None:
        """Stores a setting that has been checked, and applies it when it is durable."""
        await self._store.put_setting(account, name, value)
        self._accounts.apply_setting(account, name, value)
        off = self._accounts.setting(account, URL_OFF)
        # What the operator has switched off stays off, whatever URL the customer sets.
        if name == "notification_url" and off is not None and why_off(off, None) != OFF_BY_OPERATOR:
            await self._store.put_setting(account, URL_OFF, None)
            self._accounts.apply_setting(account, URL_OFF, None)
        self._webhooks.url_changed(account)

    async def test(self, request: ApiRequest, account: str) -> Reply:
        """`POST /account/test-notification`."""
        try:
            tested = await self._webhooks.test(account, new_ids(1, self._random_bytes)[0])
        except LookupError:
            detail = "Set one with PUT /account/notification-url first."
            raise Problem(409, detail, kind="no-notification-url") from None
        answer = tested.answer
        report = TestReport(
            ok=answer.ok,
            url=tested.request.url,
            sent=(tested.request.body or b"").decode(),
            answer=answer.text,
            seconds=round(tested.seconds, 3),
            body=answer.body[:1000].decode("utf-8", "replace"),
        )
        return Reply(200, msgspec.json.encode(report))

    async def feed(self, request: ApiRequest, account: str) -> Reply:
        """`GET /notifications`: the notifications after a cursor. Waits for new ones if the request says so."""
        entries, text = await self.page(request, account, self._lists.feed, self._store.feed)
        error_codes = self._accounts.get(account).error_codes
        cursors = self.cursors.texts(account, [entry.cursor for entry in entries])
        reports = [_entry(entry, cursor, error_codes) for entry, cursor in zip(entries, cursors, strict=True)]
        feed = Feed(reports, cursors[-1] if cursors else text)
        return Reply(200, msgspec.json.encode(feed))

    async def page(
        self,
        request: ApiRequest,
        account: str,
        question: Question[_EntryT],
        newest: Question[_EntryT] | None = None,
    ) -> tuple[Sequence[_EntryT], str]:
        """What `after`, `limit` and `wait` of a request ask for, and `after` itself.

        :param question: gives the account's entries after a place in its feed.
        :param newest: gives those that come while the request waits; None: `question` does.
        :raises Problem: the request is wrong, or too many wait already.
        """
        parameters = request.parameters()
        refuse_unknown(parameters, ("after", "limit", "wait"))
        await self.cursors.ready()
        text = parameters.get("after", "0")
        if text == "end":
            text = self.cursors.texts(account, [self._store.figures().feed_place])[0]
        try:
            after = self.cursors.place(account, text)
        except NoCursor:
            raise invalid_field("after", "Set 'after' to the 'next' of an earlier answer, to 0 or to end.") from None
        limit = _number(parameters, "limit", 1, MOST_NOTIFICATIONS, 100)
        wait = _number(parameters, "wait", 0, int(LONGEST_WAIT_SECONDS), 0)
        entries = await question(account, after, limit)
        if not entries and wait:
            entries = await self._poll(request, account, partial(newest or question, account, after, limit), wait)
        return entries, text

    async def _poll(
        self, request: ApiRequest, account: str, question: Callable[[], Awaitable[Sequence[_EntryT]]], wait_seconds: int
    ) -> Sequence[_EntryT]:
        polls = self._polls.get(account, 0)
        if polls >= MOST_POLLS:
            detail = f"{MOST_POLLS} requests of the account wait for notifications already."
            raise Problem(429, detail, headers=((b"Retry-After", b"1"),))
        self._polls[account] = polls + 1
        ends_at = self._clock.seconds() + wait_seconds
        entries: Sequence[_EntryT] = ()
        try:
            while not entries and not request.gone and self._clock.seconds() < ends_at:
                await self._sleep(POLL_SECONDS)
                entries = await question()
        finally:
            self._polls[account] -= 1
            if not self._polls[account]:
                del self._polls[account]
        return entries

    async def _sleep(self, seconds: float) -> None:
        over: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, over.callback, None)
        await over

    async def replay(self, request: ApiRequest, account: str) -> Reply:
        """`POST /notifications/replay`."""
        asked = _decode(request, ReplayRequest)
        if asked.ids is not None:
            ids = []
            for text in asked.ids:
                message_id = parse_id(text)
                if message_id is None:
                    raise invalid_field("ids", f"'{text[:50]}' is not a message id.")
                ids.append(message_id)
            count, queues = await self.notify_again(account, ids)
            old = await self._forgotten(account, ids)
            again = await self._resending.again(account, old)
            count, queues = count + again.messages, {*queues, *again.queues}
        elif asked.list is not None:
            return await self._replay_list(account, asked.list, count_only=asked.count_only)
        elif asked.given_up or asked.since is not None:
            since = _seconds(asked.since) if asked.since else 0.0
            until = _seconds(asked.until) if asked.until else self._clock.seconds() + 1.0
            question = self._store.given_up if asked.given_up else self._store.learnt_between
            count, queues = await self.notify_again(account, await question(account, since, until, MOST_REPLAYED))
        else:
            raise Problem(
                422, "Say which notifications: give 'ids', 'since', 'given_up' or 'list'.", kind="missing-field"
            )
        return Reply(202, msgspec.json.encode(ReplayReport(count)), then=partial(self._flow.wake, queues))

    async def _forgotten(self, account: str, ids: Sequence[bytes]) -> list[MessageView]:
        """Those of an account's messages that only the history still knows."""
        found = []
        for message_id in dict.fromkeys(ids):
            if self._lists.questions is not None and await self._store.look_up(message_id) is None:
                view = await self._lists.look_up(message_id, account)
                if view is not None and view.account == account:
                    found.append(view)
        return found

    async def _replay_list(self, account: str, parameters: Mapping[str, str], *, count_only: bool) -> Reply:
        refuse_unknown(parameters, LISTED_BY)
        try:
            query = query_of(parameters, account)
        except QueryProblem as problem:
            raise invalid_field(f"list.{problem.parameter}", str(problem)) from None
        if query.until is None:
            # What is accepted from now on isn't meant.
            query = replace(query, until=self._clock.seconds())
        count = await self.jobs.count(query)
        if not count_only:
            self.jobs.start(account, query, count)
        answer = ReplayReport(count.messages, count.not_ended, count.no_url, count.url_not_kept, count.complete)
        return Reply(200 if count_only else 202, msgspec.json.encode(answer))

    async def progress(self, request: ApiRequest, account: str) -> Reply:
        """`GET /notifications/replay`: how far the replay of a list has come."""
        return Reply(200, msgspec.json.encode(self._progress(account)))

    async def stop_replay(self, request: ApiRequest, account: str) -> Reply:
        """`DELETE /notifications/replay`: ends the replay of a list. A second call gives the same answer."""
        self.jobs.stop(account)
        return Reply(200, msgspec.json.encode(self._progress(account)))

    def _progress(self, account: str) -> ReplayProgress:
        job = self.jobs.job(account)
        if job is None:
            return ReplayProgress("none")
        return ReplayProgress(job.state, job.messages, job.resent, instant(job.began_at), job.reason or UNSET)

    async def notify_again(self, account: str, ids: Sequence[bytes]) -> tuple[int, Iterable[QueueKey]]:
        """Makes notifications of finished messages owed once more. Returns how many, and the queues to wake.

        :raises Problem: another replay of the account is under way.
        """
        if account in self._replaying:
            detail = "The account has a replay under way already."
            raise Problem(429, detail, kind="rate-limit", headers=((b"Retry-After", b"1"),))
        self._replaying.add(account)
        queues: set[QueueKey] = set()
        count = 0
        try:
            for start in range(0, len(ids), REPLAYED_A_TURN):
                batch = ids[start : start + REPLAYED_A_TURN]
                again = await self._store.notify_again(account, batch, self._clock.seconds())
                queues |= again.queues
                count += again.messages
        finally:
            self._replaying.discard(account)
        return count, queues

    def report(self, account: str) -> AccountReport:
        """The account's settings, and the state of its URL."""
        settings = self._accounts.get(account)
        state = self._webhooks.url_state(account)
        if settings.notification_url is None:
            words = "none"
        elif state.off:
            who = "the operator switched it off" if state.off == OFF_BY_OPERATOR else f"the receiver said {state.off}"
            words = f"off: {who}"
        else:
            words = "failing" if state.circuit_open else "on"
        made_here = self._accounts.setting(account, "notification_url") is not None
        return AccountReport(
            account=account,
            notification_url=settings.notification_url,
            notification_url_from="setting" if made_here else "configuration",
            notification_url_state=words,
            notification_fallback_url=settings.notification_fallback_url,
            notification_format=settings.notification_format,
            notification_batch=settings.notification_batch,
            signed=settings.notification_secret is not None,
            notify=settings.notify,
            error_codes=settings.error_codes,
            messages_a_second=settings.rate,
            burst=settings.burst,
            use=self._use(account),
        )

    def statement(self, account: str) -> Statement | None:
        """What the account has used; None: it has neither quota nor prices."""
        return self._flow.charging.statement(account, self._store.account_use, self._clock.seconds())

    def _use(self, account: str) -> AccountUseReport | UnsetType:
        found = self.statement(account)
        if found is None:
            return UNSET
        return AccountUseReport(
            found.on_day,
            found.daily,
            found.in_month,
            found.monthly,
            instant(found.day_ends_at),
            instant(found.month_ends_at),
            found.time_zone,
            found.currency or UNSET,
            found.balance_text if found.prepaid else UNSET,
        )


def _decode(request: ApiRequest, kind: type[_T]) -> _T:
    try:
        if request.content_type in FORMS:
            return from_form(request.form(), kind)
        return msgspec.json.decode(request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise problem_of(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise not_json() from None


def _seconds(at: datetime) -> float:
    """Seconds since 1970. An instant without an offset is in UTC, and not in the machine's local time."""
    # `astimezone` fails at the first and the last day of the calendar.
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _number(parameters: dict[str, str], name: str, least: int, most: int, default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or not least <= int(text) <= most:
        raise invalid_field(name, f"'{name}' must be a whole number from {least} to {most}.")
    return int(text)


def _entry(entry: FeedEntry, cursor: str, error_codes: str) -> NotificationReport:
    words = customer_words(entry.state, entry.carrier_error)
    return NotificationReport(
        cursor=cursor,
        id=id_text(entry.id),
        send_status=words.send_status,
        status=words.status,
        error=error_of(words, entry.carrier_error, error_codes),
        carrier_error=entry.carrier_error.decode("latin-1"),
        at=instant(entry.at),
    )
