"""The customers' HTTP API: its paths, and the handler of each. Other modules of this package have the handlers."""

import msgspec
from twisted.internet.interfaces import IReactorTime

from relay.accounts.api_keys import USED_SETTING
from relay.accounts.login_uses import LoginUses
from relay.config.daemon_config import Limits
from relay.history.message_lists import MessageLists
from relay.http.account_calls import AccountApi
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Compose, Customers, SubmissionFlow, WebhookTester
from relay.http.docs_page import docs_page
from relay.http.forwarded import TrustedProxies
from relay.http.inbound_calls import InboundApi
from relay.http.list_calls import ListCalls
from relay.http.logins import Logins
from relay.http.message_calls import Messages
from relay.http.message_preparer import MessagePreparer
from relay.http.migration.jasmin import Jasmin
from relay.http.migration.kannel import Kannel
from relay.http.openapi import openapi_document
from relay.http.paths import Router
from relay.http.site import NO_PROXIES, ApiSite
from relay.runtime.fair_turns import FairTurns
from relay.tracing.tracing import Tracing
from relay.values.ids import RandomBytes


class HttpApi:
    """Puts the HTTP API together: handlers, router and site.

    :param limits: the configuration's limits.
    :param version: the relay's version, for the OpenAPI document.
    :param kannel: whether `/cgi-bin/sendsms` is served, too.
    :param jasmin: whether `/send` is served, too.
    :param failed_logins_a_minute: after so many failed logins in a minute, logins from an address, or for an account,
        are refused until the minute is over; 0 = no limit.
    :param turns: shares the time between the connections of all HTTP listeners.
    :param proxies: the proxies that may name a client's address.
    :param lists: where messages are searched; None: in memory.
    :param tracing: reads the traces that requests belong to; None: the relay has no traces.
    :ivar site: the factory to listen with.
    :ivar router: other packages add their paths here.
    :ivar key_uses: when API keys were last used.
    """

    def __init__(
        self,
        *,
        flow: SubmissionFlow,
        accounts: Customers,
        webhooks: WebhookTester,
        compose: Compose,
        clock: IReactorTime,
        random_bytes: RandomBytes,
        limits: Limits,
        version: str,
        kannel: bool = False,
        jasmin: bool = False,
        failed_logins_a_minute: int = 0,
        turns: FairTurns | None = None,
        proxies: TrustedProxies = NO_PROXIES,
        lists: MessageLists | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        logins = Logins(accounts, failed_logins_a_minute, clock.seconds)
        self.key_uses = LoginUses(flow.store, accounts, clock, USED_SETTING)
        logins.key_used = lambda account, key: self.key_uses.used(account, key.id)
        self.router = router = Router(logins)
        self.site = ApiSite(router.handle, limits, clock, turns, proxies)
        self.site.log_in_early = logins.early
        self.preparer = preparer = MessagePreparer(flow, accounts, compose, clock)
        self.lists = lists = lists or MessageLists(flow.store)
        self.messages = messages = Messages(flow, accounts, preparer, clock, lists, tracing)
        self.account = account = AccountApi(flow, accounts, webhooks, clock, random_bytes, lists)
        router.add("GET", "/messages", ListCalls(lists, accounts, account.cursors).messages)
        router.add("POST", "/messages", messages.submit, use="send")
        router.add("GET", "/messages/{id}", messages.query)
        router.add("DELETE", "/messages/{id}", messages.cancel, use="send")
        router.add("POST", "/messages/{id}/notify", messages.notify)
        router.add("GET", "/notifications", account.feed)
        router.add("POST", "/notifications/replay", account.replay)
        router.add("GET", "/notifications/replay", account.progress)
        router.add("DELETE", "/notifications/replay", account.stop_replay)
        inbound = InboundApi(flow, accounts, account, clock)
        router.add("GET", "/inbound", inbound.feed)
        router.add("GET", "/inbound/{id}", inbound.query)
        router.add("POST", "/inbound/{id}/notify", inbound.notify)
        router.add("GET", "/account", account.account, use="any")
        router.add("PUT", "/account/notification-url", account.set_url)
        router.add("DELETE", "/account/notification-url", account.reset_url)
        router.add("POST", "/account/test-notification", account.test)
        if kannel:
            smsbox = Kannel(messages, preparer, logins)
            router.add("GET", "/cgi-bin/sendsms", smsbox.send, anybody=True)
            router.add("POST", "/cgi-bin/sendsms", smsbox.send, anybody=True)
            router.add("GET", "/cgi-bin/sendota", smsbox.refuse_ota, anybody=True)
            router.add("POST", "/cgi-bin/sendota", smsbox.refuse_ota, anybody=True)
        if jasmin:
            calls = Jasmin(messages, preparer, logins, flow)
            router.add("GET", "/send", calls.send, anybody=True)
            router.add("POST", "/send", calls.send, anybody=True)
            router.add("GET", "/ping", calls.ping, anybody=True)
            router.add("GET", "/balance", calls.balance, anybody=True)
            router.add("GET", "/rate", calls.rate, anybody=True)
            router.add("GET", "/secure/balance", calls.secure_balance)
            router.add("GET", "/secure/rate", calls.secure_rate)
            router.add("POST", "/secure/send", calls.secure_send, use="send")
            router.add("POST", "/secure/sendbatch", calls.refuse_batch)
        document = openapi_document(version)
        self._openapi = msgspec.json.encode(document)
        self._docs = docs_page(document).encode()
        router.add("GET", "/openapi.json", self._give_openapi, anybody=True)
        router.add("GET", "/docs", self._give_docs, anybody=True)

    async def stop(self) -> None:
        """Ends long polls and open connections. Call it when nothing listens any more."""
        await self.account.jobs.stop_all()
        await self.router.stop()
        await self.key_uses.stop()
        self.site.abort()

    async def _give_openapi(self, request: ApiRequest, account: str) -> Reply:
        return Reply(200, self._openapi)

    async def _give_docs(self, request: ApiRequest, account: str) -> Reply:
        policy = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return Reply(200, self._docs, b"text/html; charset=utf-8", ((b"Content-Security-Policy", policy),))
