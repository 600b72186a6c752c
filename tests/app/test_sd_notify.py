"""What the relay tells systemd, and when."""

import socket
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.app.sd_notify import SystemdNotifier


class Manager:
    """The service manager's end: a datagram socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


class SystemdNotifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = str(Path(directory.name) / "notify")
        self.manager = Manager(self.path)
        self.addCleanup(self.manager.close)
        self.clock = Clock()

    def notifier(self, **environ: str) -> SystemdNotifier:
        return SystemdNotifier({"NOTIFY_SOCKET": self.path} | environ, self.clock, 77)

    def test_readiness_is_reported_with_a_status(self) -> None:
        self.notifier().ready(lambda: "2 of 2 carriers bound")
        self.assertEqual(["READY=1\nSTATUS=2 of 2 carriers bound"], self.manager.heard())

    def test_a_status_is_reported_only_when_it_has_changed(self) -> None:
        statuses = ["one", "one", "one", "two"]
        self.notifier().ready(lambda: statuses.pop(0))
        self.clock.pump([10.0] * 2)
        self.assertEqual(["READY=1\nSTATUS=one", "STATUS=two"], self.manager.heard())

    def test_the_watchdog_is_fed_twice_in_its_time(self) -> None:
        notifier = self.notifier(WATCHDOG_USEC="30000000", WATCHDOG_PID="77")
        notifier.ready(lambda: "fine")
        self.manager.heard()
        self.clock.pump([15.0, 15.0])
        self.assertEqual(["WATCHDOG=1", "WATCHDOG=1"], self.manager.heard())

    def test_the_watchdog_is_not_fed_before_the_relay_is_ready(self) -> None:
        self.notifier(WATCHDOG_USEC="30000000")
        self.clock.advance(60)
        self.assertEqual([], self.manager.heard())

    def test_the_watchdog_of_another_process_is_not_fed(self) -> None:
        notifier = self.notifier(WATCHDOG_USEC="30000000", WATCHDOG_PID="78")
        notifier.ready(lambda: "fine")
        self.clock.advance(60)
        self.assertEqual(["READY=1\nSTATUS=fine"], self.manager.heard())

    def test_a_second_report_of_readiness_does_not_feed_the_watchdog_twice_as_often(self) -> None:
        notifier = self.notifier(WATCHDOG_USEC="30000000")
        notifier.ready(lambda: "fine")
        notifier.ready(lambda: "fine")
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_the_watchdog_is_not_fed_after_a_stop(self) -> None:
        notifier = self.notifier(WATCHDOG_USEC="30000000")
        notifier.ready(lambda: "fine")
        notifier.stop()
        notifier.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_the_beginning_of_a_reload_and_of_a_stop_are_reported(self) -> None:
        notifier = self.notifier()
        notifier.reloading(123456)
        notifier.stopping()
        self.assertEqual(["RELOADING=1\nMONOTONIC_USEC=123456", "STOPPING=1"], self.manager.heard())

    def test_a_manager_that_has_gone_away_costs_nothing(self) -> None:
        notifier = self.notifier()
        self.manager.close()
        Path(self.path).unlink()
        notifier.ready(lambda: "fine")
        self.assertEqual(0.0, notifier.watchdog_seconds)

    def test_without_a_manager_nothing_is_sent_or_timed(self) -> None:
        notifier = SystemdNotifier({"WATCHDOG_USEC": "1000"}, self.clock, 77)
        notifier.ready(lambda: "fine")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_an_abstract_address_is_understood(self) -> None:
        name = f"@relay-test-{id(self)}"
        manager = Manager("\0" + name[1:])
        self.addCleanup(manager.close)
        SystemdNotifier({"NOTIFY_SOCKET": name}, self.clock, 77).stopping()
        self.assertEqual(["STOPPING=1"], manager.heard())
