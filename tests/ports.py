"""Gives tests free ports of loopback. No other test gets the same port at the same time, in any process."""

import random
import socket
from collections.abc import Iterator

#: Outside the range from which the kernel takes the ports of connections.
_FIRST, _LAST = 20_000, 32_000
_BLOCK = 50

_reserved: list[socket.socket] = []


def _reserve(block: int) -> bool:
    """Reserves a block of ports for this process until it ends; says whether it could.

    A socket in Linux's abstract name space: a name that only one process can hold, and that goes with it.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(f"\0relay-test-ports-{block}")
    except OSError:
        mark.close()
        return False
    _reserved.append(mark)
    return True


def _ports() -> Iterator[int]:
    blocks = list(range(_FIRST, _LAST, _BLOCK))
    random.shuffle(blocks)
    for block in blocks:
        if _reserve(block):
            yield from range(block, block + _BLOCK)
    raise AssertionError("no port is left")


_next = _ports()


def free_port() -> int:
    """A port that nobody listens on; each call gives another one.

    Between this and the listening nobody else takes it: other tests' processes have other ports.
    """
    for port in _next:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is left")
