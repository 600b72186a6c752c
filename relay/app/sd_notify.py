"""Tells systemd the relay's state: READY=1, STATUS=, RELOADING=1, STOPPING=1 and the watchdog (sd_notify(3)).

The protocol needs no library: each message is one datagram to the socket that $NOTIFY_SOCKET names. Without that
variable, nothing is sent.
"""

import os
import socket
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How often the status line is updated if there is no watchdog.
_STATUS_SECONDS = 10.0


class SystemdNotifier:
    """Tells the service manager the relay's state, and feeds its watchdog.

    :param environ: has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID if systemd started the process and wants this.
    :param pid: our own process id. The watchdog may be that of another process, which we must not feed.
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
        """Tells that the start, or a reload, is over. The watchdog is fed from now on. It may be called again.

        :param status: returns the line that `systemctl status` shows. It is called every few seconds, and the line is
            sent when it has changed.
        """
        self._status = status
        self._last_status = status()
        self._send(f"READY=1\nSTATUS={self._last_status}")
        if self._address and self._timer is None:
            self._turn()

    def reloading(self, monotonic_usec: int) -> None:
        """Tells that a reload begins. `ready` ends it.

        :param monotonic_usec: CLOCK_MONOTONIC in microseconds, which systemd wants with RELOADING=1.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}")

    def stopping(self) -> None:
        """Tells that a stop begins. The watchdog is still fed, because the stop may take longer than it allows."""
        self._send("STOPPING=1")

    def stop(self) -> None:
        """Stops to feed the watchdog. A second call does nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        # Only the reactor's timer feeds the watchdog. So the watchdog notices when the reactor hangs.
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
                # Nobody listens, or the socket's queue is full. The relay goes on without the service manager.
                return


def from_environment(clock: IReactorTime) -> SystemdNotifier:
    """Makes the notifier of this process."""
    return SystemdNotifier(os.environ, clock, os.getpid())
