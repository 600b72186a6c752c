"""A relay that may open few files, and clients that would take all of them."""

import socket

from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until

#: As with `ulimit -n 64`.
FILES = 64
LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
from twisted.scripts.twistd import run
run()
"""


class FewFiles(IntegrationTestCase):
    async def test_idle_connections_leave_the_journal_and_the_carrier_what_they_need(self) -> None:
        carrier = await self.simulator()
        receiver = await self.webhooks()
        relay = self.prepare_relay(
            accounts={"acme": smpp_account() | {"notification_url": receiver.url}},
            carriers={"tier1": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["tier1"]}],
            # The least that there is: a new file every few messages.
            journal={"segment_bytes": 65_536},
        )
        relay.launcher = ["-c", LIMITED]
        await relay.start()
        await relay.carrier_bound(carrier)
        self.assertIn("files_few", relay.log())

        status, _ = await self.http("POST", relay, "/messages", {"to": "+447700900001", "from": "A", "text": "x"})
        self.assertEqual(status, 202)
        for port in (relay.http_port, relay.smpp_port):
            for _ in range(FILES):
                idle = socket.create_connection(("127.0.0.1", port))
                self.addCleanup(idle.close)
        await until("connections are refused", lambda: "files_used_up" in relay.log())

        # On the connection from before, and with new files for the journal, the carrier and the webhook.
        batch = [{"to": "+447700900001", "from": "A", "text": "x" * 150}] * 200
        for _ in range(10):
            status, answer = await self.http("POST", relay, "/messages", batch)
            self.assertEqual((status, [item for item in answer if "id" not in item]), (202, []))
        for session in tuple(carrier.carrier._sessions):
            session.abort()
        await until("the carrier is bound again", lambda: relay.log().count("carrier_bound") > 1)
        await until("every message is told of", lambda: len(receiver.posts) >= 2_001, 60)
        self.assertEqual(await self.metric(relay, "relay_store_writable"), 1)
        self.assertNotIn("journal_unwritable", relay.log(10**6))
