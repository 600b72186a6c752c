"""Kills, pauses and cuts relays of a cluster and its database under load: nothing that was accepted is lost.

Every accepted message has a destination of its own, and each is checked at the end: at the customers by id, and at the
carriers by destination. The carriers and the webhook receiver are processes of their own. `make cluster-crash KILLS=100
SEED=7` runs it for longer, and prints its figures.
"""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

from twisted.internet import reactor, task

from tests import HUNG_SECONDS
from tests.integration.cluster_nodes import ClusterTestCase, Node
from tests.integration.crash_load import Customers
from tests.integration.harness import smpp_account, smpp_carrier, until
from tests.integration.test_crash import ENDED, RESENT, Peer, PeersTestCase

KILLS = int(os.environ.get("CLUSTER_KILLS", "5"))
SEED = int(os.environ.get("CLUSTER_SEED", "1"))
#: A take-over on a busy machine.
PATIENT_SECONDS = 60.0


class ClusterCrashTests(ClusterTestCase, PeersTestCase):
    timeout = HUNG_SECONDS + 60 * KILLS

    async def test_nothing_accepted_is_lost_and_nobody_is_told_wrongly(self) -> None:
        self.chance = random.Random(SEED)
        again, once = await self.peer("carrier", "again"), await self.peer("carrier", "once")
        receiver = await self.peer("receiver", "receiver")
        hooked = {
            "api_key": "hooked-key",
            "notification_url": f"http://127.0.0.1:{receiver.port}/notifications",
            "allow_private_urls": True,
        }
        self.nodes = await self.started_pair(
            accounts={"acme": smpp_account(), "hooked": hooked},
            carriers={
                "again": smpp_carrier(again.port, window=100, response_timeout_seconds=5),
                "once": smpp_carrier(once.port, window=100, in_doubt="end", response_timeout_seconds=5),
            },
            routes=[{"prefix": RESENT, "carriers": ["again"]}, {"prefix": ENDED, "carriers": ["once"]}],
        )
        customers = Customers(
            [node.smpp_port for node in self.nodes],
            [node.http_port for node in self.nodes],
            self.chance,
            [RESENT, ENDED],
        )
        faults: Counter[str] = Counter()
        try:
            for _ in range(KILLS):
                await task.deferLater(reactor, self.chance.uniform(0.5, 3.0))
                fault = self.chance.choice(
                    [self.kill_the_owner, self.kill_the_owner, self.pause_the_owner, self.stop_the_owner,
                     self.kill_the_other, self.kill_the_primary, self.pause_the_primary, self.cut_the_standby]
                )  # fmt: skip
                faults[fault.__name__.replace("_", " ")] += 1
                await fault()
                await self.all_is_well()
        finally:
            await customers.stop()
        await self.check(customers, faults, again, once, receiver)

    async def check(self, customers: Customers, faults: Counter[str], again: Peer, once: Peer, receiver: Peer) -> None:
        smpp_ids, http_ids = set(customers.smpp_accepted.values()), set(customers.http_accepted.values())

        def told() -> dict[str, set[str]]:
            states: dict[str, set[str]] = {}
            for _, text in receiver.notes():
                body = json.loads(text)
                states.setdefault(body["id"], set()).add(body["status"])
            for esme in customers.esmes:
                for receipt in esme.receipts:
                    states.setdefault(receipt.message_id, set()).add(receipt.stat)
            return states

        # Its last session may have ended with the relay that it was bound to.
        await customers.bound()
        try:
            await until("everybody is told", lambda: told().keys() >= smpp_ids | http_ids, 120)
        finally:
            states = told()
            lost = (smpp_ids | http_ids) - states.keys()
            accepted = {**customers.smpp_accepted, **customers.http_accepted}
            # A second final state, or one that no carrier gave. UNKNOWN is for what was in doubt, where that ends it.
            wrong = [
                message_id
                for to, message_id in accepted.items()
                if not states.get(message_id, {"DELIVRD"}) <= {"DELIVRD"}
                and not (states[message_id] == {"UNKNOWN"} and to.startswith(ENDED))
            ]
            await customers.leave()
            done = ", ".join(f"{count} x {what}" for what, count in sorted(faults.items()))
            twice = Counter(to for _, to in again.notes())
            unknown = sum(state == {"UNKNOWN"} for state in states.values())
            print(
                f"\ncluster run, seed {SEED}: {done}; {len(smpp_ids)} messages accepted over SMPP and {len(http_ids)} "
                f"over HTTP; lost {len(lost)}, told wrongly {len(wrong)}; {sum(twice.values()) - len(twice)} submit_sm "
                f"came twice with in_doubt: resend; {unknown} ended UNKNOWN; epoch {self.owners()[0][0]}",
                file=sys.stderr,
            )
        self.assertEqual((lost, wrong), (set(), []))
        self.assertEqual([to for to, count in Counter(to for _, to in once.notes()).items() if count > 1], [])

    # Who is who

    def owner(self) -> Node:
        """The node that works."""
        return next(node for node in self.nodes if node.works)

    def other(self) -> Node:
        """The node that stands by."""
        return next(node for node in self.nodes if node is not self.owner())

    async def all_is_well(self) -> None:
        """Waits until one node works, and the other one stands by."""

        def well() -> bool:
            (_, name), works = self.owners()[0], [node for node in self.nodes if node.works]
            others = [node for node in self.nodes if not node.works]
            return [node.name for node in works] == [name] and len(others) == 1 and others[0].standing_by

        for node in self.nodes:
            if not node.running:
                node.launch()
        await until("one relay works, and the other one stands by", well, PATIENT_SECONDS)

    # What happens to them

    async def kill_the_owner(self) -> None:
        self.owner().kill()

    async def kill_the_other(self) -> None:
        self.other().kill()

    async def stop_the_owner(self) -> None:
        owner = self.owner()
        self.assertEqual(await owner.stop(), 0)

    async def pause_the_owner(self) -> None:
        owner, other = self.owner(), self.other()
        owner.pause()
        await until("the other one works", lambda: other.works, PATIENT_SECONDS)
        owner.resume()

    async def kill_the_primary(self) -> None:
        await self.in_thread(self.servers.fail_over)
        await self.in_thread(self.servers.rejoin)

    async def pause_the_primary(self) -> None:
        await self.paused(self.servers.primary.pause, self.servers.primary.resume)

    async def cut_the_standby(self) -> None:
        assert self.servers.standby is not None
        await self.paused(self.servers.standby.pause, self.servers.standby.resume)

    async def paused(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        pause()
        try:
            waiting: Awaitable[None] = task.deferLater(reactor, self.chance.uniform(0.2, 6.0))
            await waiting
        finally:
            resume()
