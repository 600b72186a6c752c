"""The relay under a service manager: what the relay tells it, and when."""

import os
import signal
import socket
from typing import Any

from tests.integration.harness import IntegrationTestCase, Relay, smpp_carrier, until


class SupervisedTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.directory / "notify"))
        self.manager.setblocking(False)
        self.heard: list[str] = []

    def hears(self, text: str) -> bool:
        """Whether the manager has been told."""
        while True:
            try:
                self.heard += self.manager.recv(4096).decode().split("\n")
            except BlockingIOError:
                return any(line.startswith(text) for line in self.heard)

    async def supervised(self, **configuration: Any) -> Relay:
        environment = {"NOTIFY_SOCKET": str(self.directory / "notify"), "WATCHDOG_USEC": "1000000"}
        for name, value in environment.items():
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name)
        return await self.relay(**configuration)

    async def test_ready_watchdog_reload_and_stop_are_reported_in_order(self) -> None:
        simulator = await self.simulator()
        carriers = {"tier1": smpp_carrier(simulator.port)}
        relay = await self.supervised(carriers=carriers, routes=[{"carriers": ["tier1"]}])
        await until("it is ready", lambda: self.hears("READY=1"))
        await until("the watchdog is fed", lambda: self.hears("WATCHDOG=1"))
        await until("the status is told", lambda: self.hears("STATUS=1 of 1 carriers up"))
        self.heard.clear()
        relay.configuration["validity_seconds"] = 60
        relay.write_file()
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        await until("the reload is over", lambda: self.hears("READY=1"))
        self.assertLess(self.heard.index("RELOADING=1"), self.heard.index("READY=1"))
        self.heard.clear()
        self.assertEqual(0, await relay.stop())
        self.assertTrue(self.hears("STOPPING=1"))

    async def test_a_start_that_fails_is_never_ready(self) -> None:
        occupied = await self.simulator()
        relay = self.prepare_relay()
        relay.configuration["http"]["listen"] = [f"tcp:{occupied.port}:interface=127.0.0.1"]
        os.environ["NOTIFY_SOCKET"] = str(self.directory / "notify")
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
        relay.launch()
        assert relay.process is not None
        process = relay.process
        await until("it has ended", lambda: process.poll() is not None)
        self.assertEqual(1, process.returncode)
        self.assertFalse(self.hears("READY=1"))
        self.assertIn("can't listen", relay.log())
