"""The history of a real relay, killed in mid-traffic, agrees with an independent count."""

import csv
import html
import json
import re
from collections import Counter

from relay.history.history_numbers import number_keeper
from relay.history.history_query import HistoryQuery
from relay.history.history_search import HistorySearch
from relay.history.sqlite_history import SqliteHistory
from relay.values.ids import id_text
from tests.fakes import submit_body
from tests.integration.account_browser import get_page
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within
from tests.integration.test_operator_commands import CommandsTestCase


class SearchTests(CommandsTestCase):
    """What memory has forgotten is found: over HTTP, on the account's page, in the terminal, and as a file."""

    async def start_and_send(self, count: int) -> tuple[Relay, list[str]]:
        self.simulated = await self.simulator(receipt_delay_seconds=0.05)
        relay = await self.relay(
            accounts={"acme": {"api_key": "key", "allow_private_urls": True}, "other": {"api_key": "other"}},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"]}],
            history={"days": 90},
            limits={"finished": 3},
        )
        await relay.carrier_bound(self.simulated)
        items = [{"to": f"4477009{n:05}", "from": "RELAY", "text": "x", "reference": f"={n}"} for n in range(count)]
        status, answers = await self.http("POST", relay, "/messages", items)
        self.assertEqual(status, 202)
        ids = [answer["id"] for answer in answers]

        async def in_history() -> bool:
            _, found = await self.http("GET", relay, "/messages?status=delivered&limit=500")
            return len(found["messages"]) == count

        await until("the history has them", in_history)
        return relay, ids

    async def test_old_messages_are_found_in_every_way(self) -> None:
        relay, ids = await self.start_and_send(30)
        status, message = await self.http("GET", relay, f"/messages/{ids[0]}")
        self.assertEqual((status, message["to"], message["status"]), (200, "447700900000", "DELIVRD"))
        self.assertEqual((await self.http("GET", relay, f"/messages/{ids[0]}", account="other", key="other"))[0], 404)
        found: list[str] = []
        path = "/messages?limit=7"
        while True:
            _, page = await self.http("GET", relay, path)
            found += [message["id"] for message in page["messages"]]
            if page["next"] is None:
                break
            path = f"/messages?limit=7&after={page['next']}"
        self.assertEqual((len(found), set(found)), (30, set(ids)))
        admin = ("--admin", f"http://127.0.0.1:{relay.admin_port}")
        done = await self.command("find", "447700900005", *admin)
        self.assertEqual((done.returncode, done.stdout.count("\n")), (0, 1), done.stderr)
        self.assertIn(ids[5], done.stdout)
        done = await self.command("find", "--to-end", "00007", "--format", "jsonl", *admin)
        self.assertEqual(json.loads(done.stdout)["id"], ids[7])
        done = await self.command("find", "--account", "acme", "--limit", "7", "--all", "--format", "csv", *admin)
        self.assertEqual(done.stderr, "")
        self.assertEqual(len(list(csv.reader(done.stdout.splitlines()))), 31)
        done = await self.command("find", "no such thing", *admin)
        self.assertEqual((done.returncode, done.stderr), (1, "no such message\n"))
        done = await self.command("find", "--status", "nonsense", *admin)
        self.assertEqual((done.returncode, "'status'" in done.stderr), (1, True))

    async def test_the_account_s_page_lists_and_exports_what_memory_has_forgotten(self) -> None:
        relay, ids = await self.start_and_send(120)
        page = await get_page(relay, "/my/messages?search=00003")
        self.assertEqual([message_id for message_id in ids if message_id in page], [ids[3]])
        first = await get_page(relay, "/my/messages")
        following = html.unescape(re.findall(r'href="([^"]*after=[^"]*)"', first)[0])
        second = await get_page(relay, following)
        listed = [message_id for message_id in ids if message_id in first or message_id in second]
        self.assertEqual(len(listed), 100)
        rows = list(csv.reader((await get_page(relay, "/my/messages/export?format=csv")).splitlines()))
        self.assertEqual((len(rows), {row[0] for row in rows[1:]}), (121, set(ids)))
        self.assertEqual({row[2][:2] for row in rows[1:]}, {"'="})
        lines = (await get_page(relay, "/my/messages/export?format=jsonl&search=00003")).splitlines()
        self.assertEqual([json.loads(line)["id"] for line in lines], [ids[3]])

    async def test_notifications_of_forgotten_messages_are_sent_again_as_they_ended_also_after_a_kill(self) -> None:
        relay, ids = await self.start_and_send(30)
        receiver = await self.webhooks()
        status, _ = await self.http("PUT", relay, "/account/notification-url", {"url": receiver.url})
        self.assertEqual(status, 200)
        wanted = {"list": {"to_end": "0", "status": "delivered"}}
        status, counted = await self.http("POST", relay, "/notifications/replay", {**wanted, "count_only": True})
        self.assertEqual((status, counted["messages"], receiver.posts), (200, 3, []))
        # Nobody takes them at first. They are owed after a kill, although only the history knew them before.
        receiver.status = 503
        self.assertEqual((await self.http("POST", relay, "/notifications/replay", wanted))[0], 202)
        await until("all were tried", lambda: receiver.refused >= 3)
        relay.kill()
        receiver.status = 200
        await relay.start()
        told = {ids[0], ids[10], ids[20]}
        await until("they are told", lambda: {post.json["id"] for post in receiver.posts} >= told, 60)
        self.assertEqual({(p.json["id"], p.json["status"], p.json["error"]) for p in receiver.posts},
                         {(message_id, "DELIVRD", "000") for message_id in told})  # fmt: skip
        status, _ = await self.http("POST", relay, f"/messages/{ids[5]}/notify")
        self.assertEqual(status, 202)
        status, answer = await self.http("POST", relay, "/notifications/replay", {"ids": [ids[6], ids[7], ids[7]]})
        self.assertEqual((status, answer), (202, {"messages": 2}))
        told |= {ids[5], ids[6], ids[7]}
        await until("these as well", lambda: {post.json["id"] for post in receiver.posts} == told)

        async def shown() -> bool:
            return receiver.url in await get_page(relay, f"/my/messages/{ids[5]}")

        await until("the page of an old message has its new attempt", shown)


class HistoryTests(IntegrationTestCase):
    async def start(self) -> Relay:
        self.simulated = await self.simulator(receipt_delay_seconds=0.3, states={"DELIVRD": 0.7, "UNDELIV": 0.3})
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(self.simulated.port)},
            routes=[{"carriers": ["tier1"]}],
            history={"days": 90},
            # Small segments, so that the journal is compacted meanwhile.
            journal={"segment_bytes": 65_536},
        )
        await relay.carrier_bound(self.simulated)
        return relay

    def states(self, relay: Relay) -> Counter[tuple[str, int, bool]]:
        """How often each id is in the history in which state."""
        path = relay.directory / "data" / "history.sqlite3"
        if not path.exists():
            return Counter()
        search = HistorySearch(SqliteHistory(str(path)), number_keeper("full", ""))
        found: Counter[tuple[str, int, bool]] = Counter()
        after = None
        while True:
            page = search.search(HistoryQuery(after=after, limit=500))
            found.update((id_text(view.id), view.state, view.final) for view in page.messages)
            after = page.cursor
            if after is None:
                search.close()
                return found

    async def test_every_message_is_in_it_once_and_as_its_customer_was_told_however_often_the_relay_is_killed(
        self,
    ) -> None:
        relay = await self.start()
        ids: set[str] = set()
        for _ in range(3):
            esme = await self.esme(relay.smpp_port)
            for _ in range(3):
                answers = await within(30, esme.submit([submit_body("447700900001")] * 100))
                ids |= {message_id for status, message_id in answers if status == 0}
            relay.kill()
            await relay.start()
            await relay.carrier_bound(self.simulated)

        def all_ended() -> bool:
            states = self.states(relay)
            return {message_id for message_id, _, final in states if final} >= ids

        await until("every message has ended in the history", all_ended, 60)
        found = self.states(relay)
        self.assertEqual({message_id for message_id, _, _ in found}, ids)
        self.assertEqual(set(found.values()), {1})
