"""The admin API against a running relay: what it changes counts at once, after a restart and after a kill."""

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import treq
import yaml
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent

from relay.config.password_hash import SALT_BYTES, hash_password
from tests import PATIENCE
from tests.integration.harness import (
    IntegrationTestCase,
    Relay,
    http_reactor,
    smpp_account,
    smpp_carrier,
    until,
    within,
)

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD, bytes(SALT_BYTES))
NEW_ACCOUNT = {"api_key": "new-key-of-beta", "rate": 50}


class AdminApiTestCase(IntegrationTestCase):
    async def configured(self, **more: Any) -> Relay:
        """A relay with the admin API, which isn't started yet."""
        self.simulated = await self.simulator()
        return self.prepare_relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"], "prefix": "44"}],
            **more,
        )

    async def start(self, **more: Any) -> Relay:
        relay = await self.configured(**more)
        admin = relay.configuration["admin"]
        admin |= {"api": True, "users": {}}
        for name, role in (("alice", "configure"), ("bob", "act"), ("carol", "view")):
            admin["users"][name] = {"password": HASH, "role": role}
        return await relay.start()

    async def call(
        self,
        relay: Relay,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "alice",
        if_match: str = "",
        headers: tuple[tuple[str, str], ...] = (("X-Relay-Action", "1"),),
    ) -> tuple[int, Any, str]:
        """A call of the admin API: the status, the JSON (or the text), and the ETag."""
        login = b64encode(f"{user}:{PASSWORD}".encode()).decode()
        sent: dict[Any, Any] = {"Authorization": f"Basic {login}", "Content-Type": "application/json", **dict(headers)}
        if if_match:
            sent["If-Match"] = if_match
        client = treq.client.HTTPClient(Agent(http_reactor, pool=self.pool))
        response = await client.request(
            method,
            f"http://127.0.0.1:{relay.admin_port}/configuration/{path}",
            json=body,
            headers=sent,
            timeout=30 * PATIENCE,
            reactor=http_reactor,
        )
        kind = (response.headers.getRawHeaders("Content-Type") or [""])[0]
        content = await (response.json() if kind == "application/json" else response.text())
        return response.code, content, (response.headers.getRawHeaders("ETag") or [""])[0]

    async def done(self, relay: Relay, method: str, path: str, body: Any = None, **more: Any) -> str:
        """Makes a change that must succeed. Returns the ETag."""
        status, answer, etag = await self.call(relay, method, path, body, **more)
        self.assertIn(status, (200, 201), answer)
        return etag

    async def send(self, relay: Relay, account: str, key: str) -> int:
        status, _ = await self.http("POST", relay, "/messages", {"to": "447700900123", "from": "A", "text": "Hi"},
                                    account=account, key=key)  # fmt: skip
        return status


class ChangesTests(AdminApiTestCase):
    async def test_an_account_sends_with_its_key_until_it_is_deleted(self) -> None:
        relay = await self.start()
        self.assertEqual(401, await self.send(relay, "beta", "new-key-of-beta"))
        status, answer, etag = await self.call(relay, "PUT", "accounts/beta?reason=contract+7", NEW_ACCOUNT)
        self.assertEqual((201, {"api_key": {"is_set": True}, "rate": 50.0}), (status, answer["entry"]["settings"]))
        self.assertEqual(202, await self.send(relay, "beta", "new-key-of-beta"))
        etag = await self.done(relay, "PATCH", "accounts/beta", {"api_key": "other-key-of-beta"}, if_match=etag)
        self.assertEqual(401, await self.send(relay, "beta", "new-key-of-beta"))
        self.assertEqual(202, await self.send(relay, "beta", "other-key-of-beta"))
        await relay.stop()
        await relay.start()
        self.assertEqual(202, await self.send(relay, "beta", "other-key-of-beta"))
        self.assertEqual((200, etag), (await self.call(relay, "GET", "accounts/beta"))[::2])
        await self.done(relay, "DELETE", "accounts/beta", if_match=etag)
        self.assertEqual(401, await self.send(relay, "beta", "other-key-of-beta"))
        self.assertEqual([], list(Path(relay.configuration["data_dir"], "conf.d", "accounts").iterdir()))
        self.assertNotIn("key-of-beta", relay.log(10_000_000))
        self.assertIn("operator_did: create accounts.beta, by alice from 127.0.0.1: contract 7", relay.log())
        self.assertIn("operator_did: change accounts.beta: api_key: changed, by alice", relay.log())

    async def test_a_carrier_and_its_route_take_messages(self) -> None:
        relay = await self.start()
        other = await self.simulator()
        await self.done(relay, "PUT", "carriers/tier2", smpp_carrier(other.port))
        etag = await self.done(relay, "PUT", "routes/uk-mobile", {"prefix": "447", "carriers": ["tier2", "tier1"]})
        await relay.carrier_bound(other)
        self.assertEqual(202, await self.send(relay, "acme", "key"))
        await until("the new carrier got it", lambda: other.counters.submits == 1)
        # A carrier that a route names can't go.
        status, answer, _ = await self.call(relay, "DELETE", "carriers/tier2", if_match="*")
        self.assertEqual(422, status)
        self.assertEqual(
            [{"key": "routes.uk-mobile.carriers[0]", "problem": "there is no carrier 'tier2'; did you mean 'tier1'?"}],
            answer["problems"],
        )
        await self.done(relay, "DELETE", "routes/uk-mobile", if_match=etag)
        await self.done(relay, "DELETE", "carriers/tier2", if_match="*")
        await until("the carrier is unbound", lambda: not other.carrier.bound_sessions)

    async def test_only_users_who_may_configure_change_anything_and_none_sees_a_secret(self) -> None:
        relay = await self.start()
        etag = await self.done(relay, "PUT", "accounts/beta", NEW_ACCOUNT)
        for user in ("bob", "carol"):
            for method in ("PUT", "PATCH", "DELETE"):
                status, _, _ = await self.call(relay, method, "accounts/beta", {}, user=user, if_match=etag)
                self.assertEqual(403, status)
            for path in ("accounts", "accounts/beta", "accounts/acme", "carriers", "routes"):
                status, answer, _ = await self.call(relay, "GET", path, user=user)
                self.assertEqual(200, status)
                for secret in ("new-key-of-beta", "secret08", "'key'", "'secret'"):
                    self.assertNotIn(secret, str(answer))
        status, _, _ = await self.call(relay, "DELETE", "accounts/beta", if_match=etag, headers=())
        self.assertEqual(403, status)
        self.assertEqual(202, await self.send(relay, "beta", "new-key-of-beta"))

    async def test_without_the_key_admin_api_there_is_none(self) -> None:
        relay = await self.configured()
        relay.configuration["admin"]["users"] = {"alice": {"password": HASH, "role": "configure"}}
        await relay.start()
        status, answer, _ = await self.call(relay, "PUT", "accounts/beta", NEW_ACCOUNT)
        self.assertEqual((404, "the admin API is off: set admin.api: true in the configuration"),
                         (status, answer["error"]))  # fmt: skip

    async def test_a_file_that_was_changed_by_hand_waits_for_its_reload(self) -> None:
        relay = await self.start()
        etag = await self.done(relay, "PUT", "accounts/beta", NEW_ACCOUNT)
        file = Path(relay.configuration["data_dir"], "conf.d", "accounts", "beta.yaml")
        self.assertEqual(0o600, file.stat().st_mode & 0o777)
        self.assertEqual(NEW_ACCOUNT, yaml.safe_load(file.read_text()))
        file.write_text("api_key: by-hand\n")
        status, answer, _ = await self.call(relay, "PUT", "accounts/gamma", NEW_ACCOUNT | {"api_key": "g"})
        self.assertEqual(409, status)
        self.assertIn("differ from the configuration in use: accounts.beta.api_key", answer["error"])
        self.assertFalse((await self.call(relay, "GET", "accounts/beta"))[1]["applied"])
        await self.done(relay, "POST", "reload", {})
        self.assertEqual(202, await self.send(relay, "beta", "by-hand"))
        status, _, _ = await self.call(relay, "DELETE", "accounts/beta", if_match=etag)
        self.assertEqual(412, status)

    async def test_changes_at_once_are_made_one_after_the_other(self) -> None:
        relay = await self.start()
        calls = [
            self.call(relay, "PUT", f"accounts/n{number}", {"api_key": f"key-of-{number}"}) for number in range(12)
        ]
        gathered = [await each for each in map(Deferred.fromCoroutine, calls)]
        self.assertEqual([201] * 12, [status for status, _, _ in gathered])
        for number in range(12):
            self.assertEqual(202, await self.send(relay, f"n{number}", f"key-of-{number}"))


class KillTests(AdminApiTestCase):
    """The list is a pipe. Whoever reads it waits until the test writes, so the test knows how far a change is."""

    async def start_with_pipe(self) -> Relay:
        self.pipe = str(self.directory / "numbers")
        os.mkfifo(self.pipe)
        self.lists = {"opted-out": {"file": self.pipe, "on_match": "refuse"}}
        feeding = deferToThread(self._feed)
        relay = await self.start(lists=self.lists)
        await within(20, feeding)
        return relay

    def _feed(self) -> None:
        Path(self.pipe).write_text("447700900999\n")

    async def restart(self, relay: Relay) -> None:
        feeding = deferToThread(self._feed)
        await relay.start()
        await within(20, feeding)

    async def test_a_kill_between_the_write_and_the_reload_leaves_the_new_configuration(self) -> None:
        relay = await self.start_with_pipe()
        file = Path(relay.configuration["data_dir"], "conf.d", "accounts", "beta.yaml")
        putting = Deferred.fromCoroutine(self.call(relay, "PUT", "accounts/beta", NEW_ACCOUNT))
        await within(20, deferToThread(self._feed))
        await until("the file is written", file.exists)
        relay.kill()
        await self.assertFailure(putting, Exception)
        # The change of an entry that exists leaves its old contents, too.
        old = file.with_name(".beta.yaml.old")
        old.write_text("api_key: old-key-of-beta\n")
        await self.restart(relay)
        self.assertEqual(202, await self.send(relay, "beta", "new-key-of-beta"))
        self.assertFalse(old.exists())
        self.assertIn("config_cleaned: 1 files", relay.log())

    async def test_a_kill_before_the_write_leaves_the_old_configuration(self) -> None:
        relay = await self.start_with_pipe()
        putting = Deferred.fromCoroutine(self.call(relay, "PUT", "accounts/beta", NEW_ACCOUNT))
        opened = deferToThread(os.open, self.pipe, os.O_WRONLY)
        handle = await within(20, opened)
        relay.kill()
        os.close(handle)
        await self.assertFailure(putting, Exception)
        await self.restart(relay)
        self.assertEqual(401, await self.send(relay, "beta", "new-key-of-beta"))
        self.assertEqual(202, await self.send(relay, "acme", "key"))
