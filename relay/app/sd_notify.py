"""Tells systemd the relay's state: READY=1, STATUS=, RELOADING=1, STOPPING=1 and the watchdog (sd_notify(3)).

The protocol is one datagram to the socket named in $NOTIFY_SOCKET, so no library is needed. Without that variable
nothing is sent.
"""

import os
import socket
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How often the status line is updated if there is no watchdog to feed.
_STATUS_SECONDS = 10.0


class SystemdNotifier:
    """Speaks to the service manager that started us, if one did.

    :param environ: has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, if systemd wants to be told.
    :param pid: our own process id: we must not feed the watchdog of another process.
    :param monotonic_usec: CLOCK_MONOTONIC in microseconds, which systemd wants with RELOADING=1.
    """

    def __init__(self, environ: Mapping[str, str], clock: IReactorTime, pid: int) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._status: Callable[[], str] = str
        self._last_status = ""
        usec = environ.get("WATCHDOG_USEC", "")
        meant_for = environ.get("WATCHDOG_PID", "")
        #: How often the watchdog is fed: half of the time that systemd waits. 0.0: there is no watchdog.
        self.watchdog_seconds = 0.0
        if self._address and usec.isdecimal() and meant_for in ("", str(pid)):
            self.watchdog_seconds = int(usec) / 2_000_000

    def ready(self, status: Callable[[], str]) -> None:
        """The start, or a reload, is over; the watchdog is fed from now on. Harmless when repeated.

        :param status: gives the line that `systemctl status` shows; asked every few seconds, sent when it has changed.
        """
        self._status = status
        self._last_status = status()
        self._send(f"READY=1\nSTATUS={self._last_status}")
        if self._address and self._timer is None:
            self._turn()

    def reloading(self, monotonic_usec: int) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}")

    def stopping(self) -> None:
        """A stop begins. The watchdog is still fed, because draining may take longer than it allows."""
        self._send("STOPPING=1")

    def stop(self) -> None:
        """Ends the feeding. Harmless when repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        # Only a timer of the reactor feeds the watchdog: when the reactor hangs, the watchdog must notice.
        self._timer = self._clock.callLater(self.watchdog_seconds or _STATUS_SECONDS, self._turn)
        if self.watchdog_seconds:
            self._send("WATCHDOG=1")
        status = self._status()
        if status != self._last_status:
            self._last_status = status
            self._send(f"STATUS={status}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(text.encode(), address)
            except OSError:
                # Nobody listens, or the queue is full. The relay works without being watched.
                return


def from_environment(clock: IReactorTime) -> SystemdNotifier:
    """The notifier of this process."""
    return SystemdNotifier(os.environ, clock, os.getpid())
