"""Sockets for the generators: non-blocking, level-triggered epoll, one read and one write per wake-up."""

import contextlib
import select
import socket
from collections.abc import Callable

READ_BYTES = 262_144


class Link:
    """One connection.

    :ivar rest: the octets of an incomplete PDU or request, to be put in front of the next read.
    """

    __slots__ = ("_loop", "_unsent", "closed", "fd", "on_readable", "rest", "sock")

    def __init__(self, loop: "Loop", sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.fd = sock.fileno()
        self.rest = b""
        self.closed = False
        self.on_readable: Callable[[], None] = lambda: None
        self._loop = loop
        self._unsent = b""
        loop.add(self)

    def read(self) -> bytes:
        """What has arrived, with `rest` in front; b"" when nothing has or when the peer has closed (see `closed`)."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.close()
            return b""
        return self.rest + data if self.rest else data

    def write(self, data: bytes) -> None:
        """Sends, or keeps what the socket doesn't take until it does."""
        if self.closed:
            return
        if self._unsent:
            self._unsent += data
            return
        self._send(data)

    def writable(self) -> None:
        """The socket takes more."""
        data, self._unsent = self._unsent, b""
        self._loop.epoll.modify(self.fd, select.EPOLLIN)
        self._send(data)

    def _send(self, data: bytes) -> None:
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.epoll.modify(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def close(self) -> None:
        """Closes at once; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._loop.remove(self)
            self.sock.close()


class Loop:
    """The links of one process, and at most one listener."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self._links: dict[int, Link] = {}
        self._listener: socket.socket | None = None
        self._accepted: Callable[[Link], None] = lambda link: None

    def add(self, link: Link) -> None:
        self._links[link.fd] = link
        self.epoll.register(link.fd, select.EPOLLIN)

    def remove(self, link: Link) -> None:
        with contextlib.suppress(OSError):
            self.epoll.unregister(link.fd)
        self._links.pop(link.fd, None)

    def listen(self, port: int, accepted: Callable[[Link], None]) -> None:
        """Listens on loopback and hands every connection to `accepted`, which sets its `on_readable`."""
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._accepted = accepted
        self.epoll.register(self._listener.fileno(), select.EPOLLIN)

    def turn(self, timeout_seconds: float) -> None:
        """Waits for events and serves each link that has one."""
        links = self._links
        for fd, events in self.epoll.poll(timeout_seconds, 512):
            link = links.get(fd)
            if link is None:
                self._accept(fd)
                continue
            if events & select.EPOLLOUT:
                link.writable()
            if events & ~select.EPOLLOUT and not link.closed:
                link.on_readable()

    def _accept(self, fd: int) -> None:
        listener = self._listener
        if listener is None or fd != listener.fileno():
            return
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            self._accepted(Link(self, sock))
