"""A webhook receiver that costs almost nothing: answers at once, and remembers when each id came first.

`GET /count` answers with the number of different ids so far. On SIGTERM it prints one JSON line. With `--ids-file` it
writes one line for each id into that file, with the time at which it came first.
"""

import argparse
import re
import signal
import time
from collections import Counter

from benchmarks.figures import report
from benchmarks.links import Link, Loop

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
ID = re.compile(rb'(?:"id": ?"|[?&]id=|^id=)([0-9A-Za-z-]+)')
STATUS = re.compile(rb'(?:"send_status": ?"|[?&]send_status=|^send_status=)([0-9A-Za-z-]+)')


class Sink:
    """The receiver."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = Loop()
        self._loop.listen(options.port, self._accepted)
        self._stop = False
        self.answer = (
            b"HTTP/1.1 204 No Content\r\n\r\n"
            if options.status == 204
            else b"HTTP/1.1 %d Answer\r\nContent-Length: 2\r\n\r\nok" % options.status
        )
        self.requests = self.connections = self.notifications = 0
        self.arrived_at: dict[bytes, float] = {}
        self.statuses: Counter[bytes] = Counter()
        self.first_at = self.last_at = 0.0

    def run(self) -> None:
        """Serves until SIGTERM or `--max-seconds`."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stop", True))
        ends_at = time.monotonic() + self._options.max_seconds
        while not self._stop and time.monotonic() < ends_at:
            self._loop.turn(0.1)
        if self._options.ids_file:
            with open(self._options.ids_file, "wb") as file:
                file.writelines(b"%b %.6f\n" % row for row in self.arrived_at.items())
        report(
            {
                "program": "sink",
                "requests": self.requests,
                "connections": self.connections,
                "notifications": self.notifications,
                "distinct": len(self.arrived_at),
                "duplicates": self.notifications - len(self.arrived_at),
                "send_statuses": {status.decode(): count for status, count in self.statuses.items()},
                "first_at": self.first_at,
                "last_at": self.last_at,
                "cpu_us_per_message": round(1e6 * time.process_time() / max(1, self.notifications), 2),
            }
        )

    def _accepted(self, link: Link) -> None:
        self.connections += 1
        link.on_readable = lambda: self._read(link)

    def _read(self, link: Link) -> None:
        data = link.read()
        position, out = 0, []
        while not link.closed:
            head_end = data.find(b"\r\n\r\n", position)
            if head_end < 0:
                break
            body_at = head_end + 4
            length = CONTENT_LENGTH.search(data, position, head_end)
            end = body_at + int(length[1]) if length else body_at
            if not length and CHUNKED.search(data, position, head_end):
                last = data.find(b"0\r\n\r\n", body_at)
                end = last + 5 if last >= 0 else len(data) + 1
            if end > len(data):
                break
            out.append(self._serve(data, position, body_at, end))
            position = end
        link.rest = data[position:]
        if out:
            link.write(b"".join(out))

    def _serve(self, data: bytes, begin: int, body_at: int, end: int) -> bytes:
        if data.startswith(b"GET /count", begin):
            text = b"%d" % len(self.arrived_at)
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
        now = self.last_at = time.monotonic()
        self.first_at = self.first_at or now
        self.requests += 1
        # A callback in the manner of Kannel says everything in its request line.
        text = data[body_at:end] if end > body_at else data[begin : data.index(b"\r", begin)].partition(b" HTTP/")[0]
        ids = ID.findall(text)
        self.notifications += len(ids)
        for message_id in ids:
            self.arrived_at.setdefault(message_id, now)
        self.statuses.update(STATUS.findall(text))
        return self.answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--status", type=int, default=204, help="what every notification is answered with")
    parser.add_argument("--ids-file", default="")
    parser.add_argument("--max-seconds", type=float, default=600.0)
    Sink(parser.parse_args()).run()


if __name__ == "__main__":
    main()
