"""Makes one attempt to deliver a batch of notifications: it chooses the URL, builds the request and sends it.

Theory of operation: an attempt goes to the account's own URL. If this request fails, the attempt goes to the fallback
URL at once. If the first URL keeps failing, the relay skips it for some time, so that its timeouts don't delay the
requests to the fallback URL. If a receiver answers 410 Gone, the relay switches its URL off. The caller
(`relay.webhooks.webhook_sender`) is responsible for retries, queues and limits.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Final, NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.accounts.account_settings import URL_OFF
from relay.accounts.accounts import Accounts, Target
from relay.accounts.first_secrets import FirstSecrets
from relay.store.api import SettingsStore
from relay.store.store_values import StoreUnavailable
from relay.tracing.tracing import Tracing
from relay.values.inbound import INBOUND_URL
from relay.values.notifications import Channel, Notification, QueueKey
from relay.values.shown_url import without_secrets
from relay.values.states import DELIVERED
from relay.values.wire_tap import WireTap
from relay.webhooks.answer import Answer, Tested
from relay.webhooks.callbacks import callback_request, parse_callback
from relay.webhooks.circuit_breaker import CircuitBreaker
from relay.webhooks.inbound_request import inbound_request
from relay.webhooks.request import WebhookRequest, webhook_request
from relay.webhooks.schedule import retry_after_seconds
from relay.webhooks.tapped_client import Client, TappedClient

#: A receiver's Retry-After pauses the whole URL for this long at most. The notification itself may wait longer.
LONGEST_PAUSE_SECONDS: Final = 3600.0

_NO_LIMIT: Final = 1_000_000


#: The result if the customer did not ask for such a state: the relay sends no request.
_NOT_ASKED_FOR: Final = Answer(204)


class Delivered(NamedTuple):
    """The end of an attempt to deliver a batch.

    :ivar answer: the answer that counts.
    :ivar text: names all answers, if the attempt went to two URLs.
    :ivar url: the URL that gave the answer, without its secrets. A callback's masks aren't filled in.
    """

    answer: Answer
    text: str
    url: str


class WebhookDelivery:
    """Makes one attempt to deliver a batch.

    If an account has two URLs, it also remembers the failures of the first one.

    :param wall: returns the system's time, for signatures; if it is None, `clock` gives the time.
    :param secrets: makes signing secrets for accounts that have none; None: their webhooks aren't signed.
    :param tracing: gives webhooks the headers of their traces; None: the relay has no traces.
    """

    log = Logger()

    def __init__(
        self,
        store: SettingsStore,
        accounts: Accounts,
        client: Client,
        clock: IReactorTime,
        wall: Callable[[], float] | None = None,
        secrets: FirstSecrets | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._secrets = secrets
        self._store = store
        self._accounts = accounts
        self._client = client
        self._clock = clock
        self._wall = wall or clock.seconds
        self._first_urls: dict[str, CircuitBreaker] = {}
        #: The accounts that an operator traces.
        self._taps: dict[str, WireTap] = {}

    def tap(self, account: str, tap: WireTap | None) -> None:
        """Gives `tap` a copy of what goes to an account's URLs from now on; None: nobody gets it any more."""
        self._taps.pop(account, None)
        if tap is not None:
            self._taps[account] = tap
        # While nobody traces an account, no delivery looks for taps.
        vars(self).pop("deliver", None)
        if self._taps:
            vars(self)["deliver"] = self._deliver_tapped

    async def _deliver_tapped(
        self, queue_key: QueueKey, target: Target, batch: Sequence[Notification], now: float
    ) -> Delivered:
        tap, delivery = self._taps.get(queue_key.account), self
        if tap is not None:
            delivery = copy(self)
            vars(delivery)["_client"] = TappedClient(self._client, tap, self._clock)
        return await WebhookDelivery.deliver(delivery, queue_key, target, batch, now)

    async def deliver(
        self, queue_key: QueueKey, target: Target, batch: Sequence[Notification], now: float
    ) -> Delivered:
        """Makes one attempt, and returns how it ended."""
        if not target.keys and target.sign and self._secrets is not None:
            target = await self._secrets.signed(queue_key.account, target)
        if not queue_key.url:
            return await self._send_home(target, batch, now)
        if queue_key.url == INBOUND_URL:
            assert target.inbound_url is not None
            request = inbound_request(
                batch[0], target.inbound_url, target.inbound_format, self._keys(target, now), self._wall()
            )
            answer = await self._send_to(request, target)
            return Delivered(answer, answer.text, without_secrets(target.inbound_url))
        made = self._request_to(queue_key.url, target, batch, self._keys(target, now), self._wall())
        if made is None:
            return Delivered(_NOT_ASKED_FOR, "not asked for", "")
        self._add_trace(made, batch)
        answer = await self._send_to(made, target)
        return Delivered(answer, answer.text, without_secrets(queue_key.url))

    def built_again(self, notification: Notification, at: float) -> WebhookRequest | None:
        """Makes the request of an earlier attempt again, to show it: without its signature and the account's headers.

        :param at: when the attempt was made, seconds since 1970.
        :returns: None: the account has no URL any more, or the customer did not ask for such a state.
        """
        target = self._accounts.target(notification.account)
        url = "" if target is None else notification.url or target.url or ""
        return self._request_to(url, target, [notification], (), at) if target is not None and url else None

    def _request_to(
        self, url: str, target: Target, batch: Sequence[Notification], keys: Sequence[bytes], at: float
    ) -> WebhookRequest | None:
        """Makes the request to a URL; None: the customer did not ask for such a state.

        :param at: the time that the request names, seconds since 1970.
        """
        # Most URLs have no prefix. Skip the parser for them: every message with its own URL comes here.
        callback = None if url.startswith("http") else parse_callback(url)
        if callback is None or not callback.manner:
            return self._request(target, url, batch, keys, at)
        return callback_request(batch[0], callback)

    def url_changed(self, account: str) -> None:
        """Forgets the failures of the account's old URLs, because the account has new ones."""
        self._first_urls.pop(account, None)

    async def test(self, account: str, test_id: bytes) -> Tested:
        """Sends a test notification to the account's URL once, and returns the result.

        :param test_id: the message id in the notification; no message has this id.
        :raises LookupError: the account has no notification URL.
        """
        target = self._accounts.target(account)
        if target is None or target.url is None:
            raise LookupError(account)
        if not target.keys and target.sign and self._secrets is not None:
            target = await self._secrets.signed(account, target)
        if target.url is None:
            raise LookupError(account)
        now = self._clock.seconds()
        made_up = Notification(test_id, account, Channel.WEBHOOK, DELIVERED, True, 1, now, now, b"")
        request = self._request(target, target.url, [made_up], self._keys(target, now), self._wall())
        request.headers[b"X-Relay-Test"] = [b"1"]
        answer = await self._send_to(request, target)
        return Tested(request, answer, self._clock.seconds() - now)

    async def _send_home(self, target: Target, batch: Sequence[Notification], now: float) -> Delivered:
        """Sends a batch to the account's own URL and, if this fails, to its fallback URL."""
        assert target.url is not None
        request = self._request(target, target.url, batch, self._keys(target, now), self._wall())
        self._add_trace(request, batch)
        if target.fallback_url is None:
            answer = await self._send_to(request, target)
            if answer.code == 410:
                await self._switch_off(batch[0].account, request.url, now)
            return Delivered(answer, answer.text, without_secrets(request.url))
        first = self._first_url(batch[0].account)
        words = "skipped"
        if not target.off and first.room(now) > 0:
            first.began()
            answer = await self._send_to(request, target)
            if answer.ok:
                first.succeeded()
                return Delivered(answer, answer.text, without_secrets(request.url))
            pause = min(retry_after_seconds(answer.retry_after, now), LONGEST_PAUSE_SECONDS)
            first.failed(self._clock.seconds(), throttled=answer.code == 429, retry_after_seconds=pause)
            words = answer.text
            if answer.code == 410:
                await self._switch_off(batch[0].account, request.url, now)
        answer = await self._send_to(request._replace(url=target.fallback_url), target)
        return Delivered(answer, f"{words}, fallback {answer.text}", without_secrets(target.fallback_url))

    def _first_url(self, account: str) -> CircuitBreaker:
        """Returns the circuit breaker of the first URL, for an account with a fallback URL."""
        breaker = self._first_urls.get(account)
        if breaker is None:
            breaker = self._first_urls[account] = CircuitBreaker(_NO_LIMIT)
        return breaker

    def _request(
        self, target: Target, url: str, batch: Sequence[Notification], keys: Sequence[bytes], at: float
    ) -> WebhookRequest:
        own = url == target.url
        return webhook_request(
            batch,
            url,
            form=target.format == "form",
            array=own and target.batch > 1,
            error_codes=target.error_codes,
            keys=keys,
            now=at,
        )

    def _add_trace(self, request: WebhookRequest, batch: Sequence[Notification]) -> None:
        if self._tracing is not None:
            request.headers.update(self._tracing.webhook_headers(batch))

    def _keys(self, target: Target, now: float) -> Sequence[bytes]:
        if target.old_key and now < target.old_key_until:
            return (*target.keys, target.old_key)
        return target.keys

    async def _send_to(self, request: WebhookRequest, target: Target) -> Answer:
        return await self._client.send(
            request.url,
            # `request` doesn't have the account's headers, because the relay shows it to the customer. If both have
            # a header, the relay's value counts.
            {**target.headers, **request.headers},
            request.body,
            allow_private=target.allow_private,
            method=request.method,
            tls=target.tls,
        )

    async def _switch_off(self, account: str, url: str, now: float) -> None:
        """Switches a URL off until somebody sets it again, because its receiver answered 410 Gone."""
        target = self._accounts.target(account)
        if target is None or target.off or target.url != url:
            return
        value = f"{now:.0f} 410 {url}"
        self._accounts.apply_setting(account, URL_OFF, value)
        self.log.warn("webhook_url_off: {account}'s notification URL said 410 Gone and is off now", account=account)
        try:
            await self._store.put_setting(account, URL_OFF, value)
        except StoreUnavailable:
            # The URL stays off until the next start. After it, the next answer 410 switches the URL off again.
            return
