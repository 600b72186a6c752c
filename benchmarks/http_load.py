"""HTTP load: POST /messages on kept-alive connections, one message or an array of them in a request.

Prints one JSON line. With `--ids-file` it writes one line for each accepted message into that file: its id, the
message's number, and the time at which its 202 was read.
"""

import argparse
import base64
import gc
import re
import socket
import time
from array import array
from collections import Counter

from benchmarks.figures import instants, milliseconds, report
from benchmarks.links import Link, Loop
from benchmarks.wire import INDEX_DIGITS, SOURCE, TEXT

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
ID = re.compile(rb'"id": ?"([^"]+)"')


def cut_answer(data: bytes) -> tuple[int, bytes, int] | None:
    """Status, body and length of the first whole answer in `data`; None where there is no whole one yet."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    status = int(data[9:12])
    body_at = head_end + 4
    length = CONTENT_LENGTH.search(data, 0, head_end)
    if length is not None:
        end = body_at + int(length[1])
    elif CHUNKED.search(data, 0, head_end):
        last = data.find(b"0\r\n\r\n", body_at)
        end = last + 5 if last >= 0 else len(data) + 1
    else:
        end = body_at
    return (status, data[body_at:end], end) if end <= len(data) else None


class Client:
    """One connection with one request under way."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.numbers = range(0)
        self.sent_at = 0.0


class HttpLoad:
    """The load."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = Loop()
        login = base64.b64encode(f"{options.account}:{options.key}".encode()).decode()
        self._head = (
            f"POST {options.path} HTTP/1.1\r\nHost: 127.0.0.1:{options.port}\r\nAuthorization: Basic {login}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        path = options.get.replace("%", "%%").replace("{number}", f"%(number)0{INDEX_DIGITS}d")
        self._get = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{options.port}\r\n\r\n".encode()
        url = f',"notification_url":"{options.url}/%(number)d"' if options.url else ""
        self._item = b'{"to":"%s%%(number)08d","from":"%s","text":"%s"%s}' % (
            options.prefix.encode(), SOURCE, TEXT, url.encode()
        )  # fmt: skip
        self._next = 0
        self._open = 0
        self.ids: list[tuple[bytes, int, float]] = []
        self.sent_at = instants(options.total)
        self.answer_seconds = array("d")
        self.statuses: Counter[int] = Counter()
        self.refused_items = 0
        self.first_sent_at = self.last_answer_at = 0.0
        self._clients = [self._connect() for _ in range(options.connections)]

    def _connect(self) -> Client:
        client = Client(Link(self._loop, socket.create_connection(("127.0.0.1", self._options.port), timeout=10)))
        client.link.on_readable = lambda: self._read(client)
        return client

    def run(self) -> None:
        """Sends everything and waits for the answers."""
        gc.disable()
        options = self._options
        begun_at = self.first_sent_at = self.last_answer_at = time.monotonic()
        cpu = time.process_time()
        if not options.rate:
            for client in self._clients:
                self._send(client, begun_at)
        while self._next < options.total or self._open:
            self._loop.turn(0.001 if options.rate else 0.05)
            now = time.monotonic()
            if options.rate:
                self._send_due(now, begun_at)
            if now - self.last_answer_at > options.idle_seconds or now - begun_at > options.max_seconds:
                break
        cpu = time.process_time() - cpu
        self._report(cpu)

    def _send_due(self, now: float, begun_at: float) -> None:
        due = min(self._options.total, int((now - begun_at) * self._options.rate))
        for client in self._clients:
            if due - self._next < self._options.batch and due < self._options.total:
                return
            if not client.numbers:
                self._send(client, now)

    def _send(self, client: Client, now: float) -> None:
        count = min(self._options.batch, self._options.total - self._next)
        if count <= 0:
            return
        client.numbers = range(self._next, self._next + count)
        client.sent_at = now
        self.sent_at[self._next : self._next + count] = array("d", (now,)) * count
        self._next += count
        self._open += 1
        if self._options.get:
            client.link.write(self._get % {b"number": client.numbers[0]})
            return
        body = b",".join([self._item % {b"number": number} for number in client.numbers])
        if self._options.batch > 1:
            body = b"[%s]" % body
        client.link.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))

    def _read(self, client: Client) -> None:
        link = client.link
        data = link.read()
        if link.closed:
            if client.numbers:
                self._open -= 1
                self.statuses[0] += 1
            if self._next < self._options.total:
                self._clients.append(self._connect())
                if not self._options.rate:
                    self._send(self._clients[-1], time.monotonic())
            self._clients.remove(client)
            return
        answer = cut_answer(data)
        if answer is None:
            link.rest = data
            return
        now = self.last_answer_at = time.monotonic()
        status, body, end = answer
        link.rest = data[end:]
        self.statuses[status] += 1
        self.answer_seconds.append(now - client.sent_at)
        if status == 202:
            ids = ID.findall(body) if not self._options.get else [b"%08d" % number for number in client.numbers]
            self.refused_items += len(client.numbers) - len(ids)
            self.ids += [(message_id, number, now) for message_id, number in zip(ids, client.numbers, strict=False)]
        client.numbers = range(0)
        self._open -= 1
        if not self._options.rate:
            self._send(client, now)

    def _report(self, cpu_seconds: float) -> None:
        if self._options.ids_file:
            with open(self._options.ids_file, "wb") as file:
                file.writelines(b"%b %d %.6f\n" % row for row in self.ids)
        accepted, seconds = len(self.ids), self.last_answer_at - self.first_sent_at
        report(
            {
                "program": "http_load",
                "submitted": self._next,
                "accepted": accepted,
                "refused_items": self.refused_items,
                "statuses": {str(status): count for status, count in self.statuses.items()},
                "answer_ms": milliseconds(self.answer_seconds),
                "submitted_per_second": round(accepted / seconds, 1) if seconds else 0.0,
                "begun_at": self.first_sent_at,
                "ended_at": self.last_answer_at,
                "cpu_us_per_message": round(1e6 * cpu_seconds / self._next, 2) if self._next else 0.0,
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/messages")
    parser.add_argument("--account", default="bench0")
    parser.add_argument("--key", default="key-of-bench0")
    parser.add_argument("--total", type=int, default=10_000, help="messages")
    parser.add_argument("--batch", type=int, default=1, help="messages in a request; above 1, an array")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0 = as fast as answers come")
    parser.add_argument("--prefix", default="4477", help="digits before a message's number")
    parser.add_argument("--url", default="", help="each message gets a notification URL of its own under this one")
    parser.add_argument("--get", default="", help="GET this path, {number} being the message's, which is then its id")
    parser.add_argument("--ids-file", default="")
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    parser.add_argument("--max-seconds", type=float, default=300.0)
    HttpLoad(parser.parse_args()).run()


if __name__ == "__main__":
    main()
