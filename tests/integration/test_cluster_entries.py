"""The admin API in a cluster: what it changes is in the database, and each relay that takes over has it."""

import signal
from pathlib import Path
from typing import Any

from tests.integration.cluster_nodes import ClusterTestCase, Node
from tests.integration.harness import smpp_account, smpp_carrier, until
from tests.integration.test_admin_api import HASH, AdminApiTestCase


class ClusterEntriesTests(AdminApiTestCase, ClusterTestCase):
    with_standby = False

    async def pair(self) -> tuple[Node, Node]:
        """Node a, which works, and node b, which stands by, both with the admin API."""
        self.simulated = await self.simulator()
        admin = {"api": True, "users": {"alice": {"password": HASH, "role": "configure"}}}
        nodes = []
        for name in "ab":
            node = self.node(
                name,
                accounts={"acme": smpp_account()},
                carriers={"tier1": smpp_carrier(self.simulated.port)},
                routes=[{"carriers": ["tier1"]}],
            )
            node.configuration["admin"] |= admin
            nodes.append(node)
        a, b = nodes
        await a.start()
        b.launch()
        await self.stands_by(b)
        return a, b

    @staticmethod
    def file(node: Node, name: str) -> Path:
        """A node's copy of an account's file."""
        return Path(node.configuration["data_dir"], "conf.d", "accounts", f"{name}.yaml")

    async def put(self, node: Node, name: str, **settings: Any) -> None:
        await self.done(node, "PUT", f"accounts/{name}", {"api_key": f"key-of-{name}", **settings})

    async def test_a_relay_that_takes_over_has_what_the_api_changed(self) -> None:
        a, b = await self.pair()
        await self.put(a, "beta")
        status, answer, _ = await self.call(b, "PUT", "accounts/other", {"api_key": "k" * 8})
        self.assertEqual(503, status, answer)
        await until("the other relay has it", lambda: self.file(b, "beta").exists(), 30)
        await until("and uses it", lambda: "config_reloaded" in b.log(), 30)
        # The other relay hasn't looked again when this one is killed.
        await self.put(a, "gamma")
        await self.done(a, "DELETE", "accounts/beta", if_match="*")
        a.kill()
        await self.works(b)
        self.assertEqual(202, await self.send(b, "gamma", "key-of-gamma"))
        self.assertEqual(401, await self.send(b, "beta", "key-of-beta"))
        # The old owner had missed this, and its file is as old as it was killed with.
        await self.put(b, "delta")
        a.launch()
        await self.stands_by(a)
        await until("the old owner has it", lambda: self.file(a, "delta").exists(), 30)
        await b.stop()
        await self.works(a)
        self.assertEqual(202, await self.send(a, "delta", "key-of-delta"))
        self.assertEqual(202, await self.send(a, "gamma", "key-of-gamma"))

    async def test_files_of_one_relay_go_into_the_database_and_changes_by_hand_are_refused(self) -> None:
        self.simulated = await self.simulator()
        a, b = self.node("a"), self.node("b")
        self.file(a, "beta").parent.mkdir(parents=True)
        self.file(a, "beta").write_text("api_key: key-of-beta\n")
        for node in (a, b):
            users = {"alice": {"password": HASH, "role": "configure"}}
            node.configuration |= {
                "admin": node.configuration["admin"] | {"api": True, "users": users},
                "carriers": {"tier1": smpp_carrier(self.simulated.port)},
                "routes": [{"carriers": ["tier1"]}],
            }
        await a.start()
        b.launch()
        await until("the other relay has the file", lambda: self.file(b, "beta").exists(), 60)
        self.file(a, "beta").write_text("api_key: by-hand-of-beta\n")
        assert a.process is not None
        a.process.send_signal(signal.SIGHUP)
        await until("it is refused", lambda: "beta.yaml: differs from the database" in a.log(), 30)
        self.assertEqual(202, await self.send(a, "beta", "key-of-beta"))
        await a.stop()
        await self.works(b)
        self.assertEqual(202, await self.send(b, "beta", "key-of-beta"))
