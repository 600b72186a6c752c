"""The page on which customers make, replace and end their API keys, and see their SMPP logins."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.account_pages.access_forms import SCOPES, keys_card, new_key_card, smpp_card
from relay.account_pages.confirmation import Question, confirmation
from relay.account_pages.gate import Gate, see
from relay.account_pages.page_values import Flash, Session
from relay.accounts.api_keys import (
    MOST_KEYS,
    SETTING,
    USED_SETTING,
    ApiKey,
    NetworkProblem,
    digest_of,
    networks_of,
    new_key,
    written,
)
from relay.accounts.login_uses import LoginUses
from relay.customers.bound_logins import LoginView
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers
from relay.http.problems import Problem
from relay.store.api import SettingsStore
from relay.values.ids import RandomBytes

#: How long a key goes on beside the one that replaces it.
OVERLAP_SECONDS: Final = 24 * 3600.0

_SHOWN_ONCE: Final = "This is the new key. Copy it now: it is not shown again."


class AccessSite:
    """Serves `/my/access`."""

    def __init__(
        self,
        gate: Gate,
        store: SettingsStore,
        accounts: Customers,
        uses: LoginUses,
        smpp_logins: Callable[[str], Iterable[LoginView]],
        clock: IReactorTime,
        random_bytes: RandomBytes,
    ) -> None:
        self._gate = gate
        self._store = store
        self._accounts = accounts
        self._uses = uses
        self._smpp_logins = smpp_logins
        self._clock = clock
        self._random_bytes = random_bytes

    async def show(self, request: ApiRequest, session: Session) -> Reply:
        """`GET /my/access`."""
        return self._page(request, session, {}, {})

    def _page(
        self, request: ApiRequest, session: Session, values: Mapping[str, str], problems: Mapping[str, str]
    ) -> Reply:
        account = session.account
        return self._gate.shown(
            request,
            session,
            "Access",
            "/my/access",
            keys_card(
                session,
                self._keys(account),
                self._accounts.get(account).api_key is not None,
                lambda key: self._uses.last_used_at(account, key.id),
            ),
            new_key_card(session, values, problems),
            smpp_card(tuple(self._smpp_logins(account)), self._clock.seconds()),
            status=422 if problems else 200,
        )

    def _keys(self, account: str) -> list[ApiKey]:
        now = self._clock.seconds()
        return [key for key in self._accounts.keys.of(account) if key.valid(now)]

    async def change(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /my/access`: makes, replaces or ends a key."""
        action, account = fields.get("action", "make"), session.account
        await self._remove_ended(account)
        if action == "make":
            return await self._make(request, session, fields)
        key = next((key for key in self._keys(account) if key.id == fields.get("id")), None)
        if key is None:
            raise Problem(404, "The account has no such key. It may have ended.")
        if action == "replace":
            return await self._replace(session, key)
        if not fields.get("sure"):
            question = _end_question(key)
            content = confirmation(session, "/my/access", fields, question)
            return self._gate.shown(request, session, question.title, question.back, content)
        await self._put(account, key, None)
        session.flash = Flash(True, f"The key '{key.name}' has ended. Whoever uses it is refused from now on.")
        return see("/my/access")

    async def _make(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        values = {name: fields.get(name, "").strip() for name in ("name", "scope", "networks")}
        problems: dict[str, str] = {}
        if not values["name"] or not values["name"].isprintable() or len(values["name"]) > 60:
            problems["name"] = "Enter a name of 1 to 60 letters, digits and other characters."
        try:
            networks = networks_of(values["networks"])
        except NetworkProblem as problem:
            problems["networks"] = str(problem)
        if len(self._keys(session.account)) >= MOST_KEYS:
            problems["name"] = f"The account has {MOST_KEYS} keys already. End one first."
        if problems:
            return self._page(request, session, values, problems)
        scope = values["scope"] if values["scope"] in SCOPES else "read"
        key = ApiKey("", values["name"], "", 0.0, scope, networks)  # type: ignore[arg-type]  # one of SCOPES
        session.flash = Flash(True, _SHOWN_ONCE, secret=await self._new(session.account, key))
        return see("/my/access")

    async def _replace(self, session: Session, key: ApiKey) -> Reply:
        """Makes a key that is like another one, and lets the other one end a day later."""
        if len(self._keys(session.account)) >= MOST_KEYS:
            raise Problem(409, f"The account has {MOST_KEYS} keys already. End one first.")
        secret = await self._new(session.account, key)
        # The new key comes first: if the relay stops here, both are valid, and the customer can end one.
        await self._put(session.account, key, key._replace(ends_at=self._clock.seconds() + OVERLAP_SECONDS))
        session.flash = Flash(True, f"{_SHOWN_ONCE} The old one is valid for another 24 hours.", secret=secret)
        return see("/my/access")

    async def _new(self, account: str, like: ApiKey) -> str:
        """Makes a key durable, and returns it."""
        secret = new_key(self._random_bytes)
        key_id, digest = self._random_bytes(4).hex(), digest_of(secret.encode())
        made = like._replace(id=key_id, digest=digest, made_at=self._clock.seconds(), ends_at=0.0)
        await self._put(account, made, made)
        return secret

    async def _put(self, account: str, key: ApiKey, value: ApiKey | None) -> None:
        """Keeps a key, or takes it out. It has an effect when it is durable."""
        settings = {SETTING + key.id: None if value is None else written(value)}
        if value is None:
            self._uses.forget(account, key.id)
            settings[USED_SETTING + key.id] = None
        for name, text in settings.items():
            await self._store.put_setting(account, name, text)
            self._accounts.apply_setting(account, name, text)

    async def _remove_ended(self, account: str) -> None:
        now = self._clock.seconds()
        for key in list(self._accounts.keys.of(account)):
            if not key.valid(now):
                await self._put(account, key, None)


def _end_question(key: ApiKey) -> Question:
    text = "Programs that use it can't log in any more. Logins to My Account that were made with it end, too."
    return Question(f"End the key '{key.name}'?", text, "End the key", "/my/access")
