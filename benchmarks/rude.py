"""Peers that behave badly, one kind per process. They show what such a peer costs the others.

Prints `ready` on standard error when it behaves badly as told, and goes on until SIGTERM.
"""

import argparse
import base64
import contextlib
import select
import signal
import socket
import sys
import time

from benchmarks import wire


def _ready() -> None:
    print("ready", file=sys.stderr, flush=True)


def bound(options: argparse.Namespace) -> socket.socket:
    """A session that is bound as a transceiver."""
    sock = socket.create_connection(("127.0.0.1", options.port), timeout=10)
    sock.sendall(wire.bind_pdu(wire.BIND_TRANSCEIVER, options.login, options.password))
    status = wire.HEADER.unpack_from(sock.recv(4096))[2]
    if status:
        raise SystemExit(f"bind refused with command_status 0x{status:08X}")
    return sock


def never_reads(options: argparse.Namespace) -> None:
    """Submits as fast as the socket takes it and reads nothing, neither responses nor receipts."""
    sock = bound(options)
    sock.setblocking(False)
    submissions = wire.Submissions(options.prefix.encode())
    unsent, number = b"", 0
    _ready()
    while True:
        if not unsent:
            unsent = submissions.encode(number, 100)
            number = (number + 100) % 90_000_000
        _, writable, _ = select.select([], [sock], [], 1.0)
        if writable:
            with contextlib.suppress(BlockingIOError):
                unsent = unsent[sock.send(unsent) :]


def idle(options: argparse.Namespace) -> None:
    """Opens `--count` connections, some hundred an address, and says nothing on them; opens anew those that end."""
    socks: list[socket.socket] = []
    poll = select.poll()
    print_at_full = True
    while True:
        while len(socks) < options.count:
            address = f"127.0.0.{2 + len(socks) % 10}"
            socks.append(socket.create_connection(("127.0.0.1", options.port), source_address=(address, 0)))
            poll.register(socks[-1], select.POLLIN | select.POLLHUP)
        if print_at_full:
            _ready()
            print_at_full = False
        ended = {fd for fd, _ in poll.poll(200)}
        for sock in [sock for sock in socks if sock.fileno() in ended]:
            poll.unregister(sock)
            socks.remove(sock)
            sock.close()


def never_answers(options: argparse.Namespace) -> None:
    """A web server that takes connections and requests, and answers none."""
    listener = socket.create_server(("127.0.0.1", options.port), backlog=1000)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    socks: dict[int, socket.socket] = {}
    _ready()
    while True:
        for fd, _ in poll.poll(1000):
            if fd == listener.fileno():
                sock, _ = listener.accept()
                socks[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
            elif not socks[fd].recv(65_536):
                poll.unregister(fd)
                socks.pop(fd).close()


def write_on(socks: list[socket.socket], block: bytes) -> None:
    """Writes a block of requests again and again on each connection, and throws the answers away."""
    unsent = dict.fromkeys(socks, block)
    for sock in socks:
        sock.setblocking(False)
    _ready()
    while unsent:
        readable, writable, _ = select.select(list(unsent), list(unsent), [], 1.0)
        for sock in readable:
            with contextlib.suppress(OSError):
                if sock.recv(1 << 20):
                    continue
            del unsent[sock]
        for sock in writable:
            if sock in unsent:
                with contextlib.suppress(OSError):
                    unsent[sock] = unsent[sock][sock.send(unsent[sock]) :] or block


def pipelines(options: argparse.Namespace) -> None:
    """Writes 62,700 octets of requests without a login at once on each of `--count` connections, again and again."""
    request = b"HEAD /login HTTP/1.1\r\nHost: x\r\n\r\n"
    addresses = [(f"127.0.0.{2 + number % 10}", 0) for number in range(options.count)]
    socks = [socket.create_connection(("127.0.0.1", options.port), source_address=one) for one in addresses]
    write_on(socks, request * (62_700 // len(request)))


def replays(options: argparse.Namespace) -> None:
    """Asks for replays of a span in which nothing lies, 300 in a write, on `--count` connections."""
    login = base64.b64encode(f"{options.login}:key-of-{options.login}".encode())
    body = b'{"since": "2100-01-01T00:00:00Z"}'
    request = (
        b"POST /notifications/replay HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (login, len(body), body)
    )
    socks = [socket.create_connection(("127.0.0.1", options.port)) for _ in range(options.count)]
    write_on(socks, request * 300)


KINDS = {
    "never-reads": never_reads,
    "idle": idle,
    "never-answers": never_answers,
    "pipelines": pipelines,
    "replays": replays,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rude", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--login", default="bench0")
    parser.add_argument("--password", default="bench")
    parser.add_argument("--prefix", default="4477", help="digits before a message's number")
    parser.add_argument("--count", type=int, default=1_000)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # Never longer than this, whatever becomes of who started it.
    signal.alarm(600)
    KINDS[options.kind](options)
    time.sleep(600)


if __name__ == "__main__":
    main()
