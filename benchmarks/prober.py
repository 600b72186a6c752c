"""Looks for pauses: sends enquire_link every few milliseconds on one bound session, and measures each answer's time.

If this process itself gets the processor too late, and so sends a probe late, that doesn't count against the gateway.
Ends on SIGTERM with one JSON line.
"""

import argparse
import select
import signal
import socket
import time
from array import array

from benchmarks import wire
from benchmarks.figures import milliseconds, report


def bound_socket(port: int, login: str, password: str) -> socket.socket:
    """A session that is bound as a transmitter, so that no receipts come to it."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(wire.bind_pdu(wire.BIND_TRANSMITTER, login, password))
    answer = sock.recv(4096)
    status = wire.HEADER.unpack_from(answer)[2]
    if status:
        raise SystemExit(f"bind refused with command_status 0x{status:08X}")
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prober", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--login", default="bench0")
    parser.add_argument("--password", default="bench")
    parser.add_argument("--every-ms", type=float, default=5.0)
    parser.add_argument("--pause-ms", type=float, default=50.0, help="answers slower than this are counted as pauses")
    parser.add_argument("--max-seconds", type=float, default=900.0)
    options = parser.parse_args()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    sock = bound_socket(options.port, options.login, options.password)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    ends_at = time.monotonic() + options.max_seconds
    seconds, late_seconds = array("d"), array("d")
    sequence = 1
    while not stopped and time.monotonic() < ends_at:
        sequence += 1
        sent_at = time.monotonic()
        sock.sendall(wire.header_pdu(wire.ENQUIRE_LINK, sequence))
        if not poll.poll(10_000):
            seconds.append(10.0)
            break
        sock.recv(4096)
        seconds.append(time.monotonic() - sent_at)
        wake_at = time.monotonic() + options.every_ms / 1000
        time.sleep(options.every_ms / 1000)
        late_seconds.append(time.monotonic() - wake_at)
    report(
        {
            "program": "prober",
            "probes": len(seconds),
            "answer_ms": milliseconds(seconds),
            "pauses": sum(1 for value in seconds if value > options.pause_ms / 1000),
            "own_lateness_ms": milliseconds(late_seconds),
        }
    )


if __name__ == "__main__":
    main()
