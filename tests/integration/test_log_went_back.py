"""The database of a cluster loses rows that counted: whole relays notice it, put them back, or wait for an operator."""

import subprocess
import sys
from typing import Any

from tests import HUNG_SECONDS
from tests.integration.cluster_nodes import ClusterTestCase, Node
from tests.integration.harness import ROOT, smpp_carrier, until
from tests.postgresql_servers import DATABASE


class WentBackTests(ClusterTestCase):
    with_standby = False

    async def pair(self) -> tuple[Node, Node]:
        carrier = await self.simulator(receipt_delay_seconds=3600.0)
        a, b = await self.started_pair(
            accounts={"acme": {"api_key": "acme-key"}},
            carriers={"up": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["up"]}],
        )
        await self.post(a)
        return a, b

    async def post(self, node: Node) -> str:
        """Submits a message. Gives its id."""
        message = {"to": "447700900001", "from": "A", "text": "x"}
        status, answer = await self.http("POST", node, "/messages", message, account="acme", key="acme-key")
        self.assertEqual(status, 202, answer)
        return str(answer["id"])

    async def status_of(self, node: Node, message_id: str) -> int:
        status, _ = await self.http("GET", node, f"/messages/{message_id}", account="acme", key="acme-key")
        return int(status)

    def segments(self) -> list[int]:
        return [number for (number,) in self.servers.primary.query("SELECT number FROM relay.segment", DATABASE)]

    def last_row(self) -> int:
        """The number of the log's last row."""
        lasts = [
            self.servers.primary.query(f"SELECT coalesce(max(sequence), 0) FROM relay.log_0_{number}", DATABASE)[0][0]
            for number in self.segments()
        ]
        return int(max(lasts))

    def go_back(self, last: int) -> None:
        """The database forgets all rows after this one."""
        for number in self.segments():
            self.servers.primary.query(f"DELETE FROM relay.log_0_{number} WHERE sequence > {last}", DATABASE)

    async def cluster(self, action: str, node: Node) -> "subprocess.CompletedProcess[str]":
        """Runs `python -m relay cluster` on a node's machine."""
        command = [sys.executable, "-m", "relay", "cluster", action, "--config", str(node.write_file())]

        def run() -> Any:
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False)

        done: subprocess.CompletedProcess[str] = await self.in_thread(run)
        return done

    async def refuses(self, node: Node) -> None:
        """Starts a node, and waits until it says that rows are missing, and that it therefore owns nothing."""
        node.launch()
        await until(f"{node.name} refuses\n{node.log()}", lambda: node.said("cluster_log_went_back"), 60)
        await until("it owns nothing", lambda: "cluster_trouble: the log of shard 0 went back" in node.since_launch())
        self.assertFalse(node.works)
        self.assertEqual(self.owners()[0][1], "")

    async def test_an_owner_puts_the_rows_back_and_the_other_node_takes_over_with_every_message(self) -> None:
        a, b = await self.pair()
        known = self.last_row()
        lost = [await self.post(a) for _ in range(3)]
        self.go_back(known)
        after = await self.post(a)
        await until("it says so", lambda: a.said("cluster_log_put_back"))
        self.assertEqual(await a.stop(), 0)
        await self.works(b)
        for message_id in (*lost, after):
            self.assertEqual(await self.status_of(b, message_id), 200)

    async def test_after_a_cold_start_with_an_older_database_no_node_works_until_the_rows_are_put_back(self) -> None:
        a, b = await self.pair()
        known = self.last_row()
        lost = [await self.post(a) for _ in range(3)]
        await until("b has read them", lambda: self.followed("b") >= self.last_row())
        self.assertEqual(await b.stop(), 0)
        self.assertEqual(await a.stop(), 0)
        self.go_back(known)
        await self.refuses(b)
        done = await self.cluster("put-back", a)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("rows were put back", done.stdout)
        await self.works(b)
        for message_id in lost:
            self.assertEqual(await self.status_of(b, message_id), 200)
        done = await self.cluster("accept-loss", a)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("nothing is missing", done.stdout)

    async def test_each_node_works_again_without_the_rows_once_the_loss_is_accepted_there(self) -> None:
        a, b = await self.pair()
        known = self.last_row()
        lost = await self.post(a)
        self.assertEqual(await b.stop(), 0)
        self.assertEqual(await a.stop(), 0)
        epoch = self.owners()[0][0]
        # An older state has earlier epochs, too.
        self.go_back(known)
        self.servers.primary.query("UPDATE relay.shard SET epoch = epoch - 1", DATABASE)
        self.servers.primary.query("UPDATE relay.lease SET epoch = epoch - 1", DATABASE)
        await self.refuses(a)
        done = await self.cluster("accept-loss", a)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("the log of shard 0 went back", done.stdout)
        await self.works(a)
        # No epoch is given a second time.
        self.assertEqual(self.owners(), [(epoch + 1, "a")])
        self.assertEqual(await self.status_of(a, lost), 404)
        await self.post(a)

    def followed(self, node: str) -> int:
        """Up to which row a node says that it has read the log."""
        rows = self.servers.primary.query(f"SELECT followed_sequence FROM relay.node WHERE name = '{node}'", DATABASE)
        return int(rows[0][0])
