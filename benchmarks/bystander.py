"""A customer that sends one message at a time, and measures how long its answer and its receipt take.

It shows what the load of another customer costs. It ends after `--rounds` messages, and prints one JSON line.
"""

import argparse
import select
import socket
import time
from array import array

from benchmarks import wire
from benchmarks.figures import milliseconds, report


class Bystander:
    """One bound transceiver, read with plain blocking calls: it has nothing else to do."""

    def __init__(self, port: int, login: str, password: str, hook_port: int = 0) -> None:
        self._hook = socket.create_server(("127.0.0.1", hook_port)) if hook_port else None
        self._hook_connections: list[socket.socket] = []
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._sock.sendall(wire.bind_pdu(wire.BIND_TRANSCEIVER, login, password))
        status = wire.HEADER.unpack_from(self._pdu())[2]
        if status:
            raise SystemExit(f"bind refused with command_status 0x{status:08X}")

    def _pdu(self) -> bytes:
        while len(self._rest) < 4 or len(self._rest) < int.from_bytes(self._rest[:4], "big"):
            data = self._sock.recv(65_536)
            if not data:
                raise SystemExit("the gateway closed the connection")
            self._rest += data
        length = int.from_bytes(self._rest[:4], "big")
        pdu, self._rest = self._rest[:length], self._rest[length:]
        return pdu

    def send_one(self, submission: bytes) -> tuple[float, float]:
        """Sends one message; gives the seconds until its response, and until its receipt."""
        sent_at = time.monotonic()
        self._sock.sendall(submission)
        answered = told = 0.0
        while not (answered and told):
            if answered and self._hook is not None:
                self._be_notified(self._hook)
                return answered, time.monotonic() - sent_at
            pdu = self._pdu()
            _, command, status, sequence = wire.HEADER.unpack_from(pdu)
            if command == wire.SUBMIT_SM_RESP:
                if status:
                    raise SystemExit(f"a message was refused with command_status 0x{status:08X}")
                answered = time.monotonic() - sent_at
            elif command == wire.DELIVER_SM:
                told = time.monotonic() - sent_at
                self._sock.sendall(wire.EMPTY_ID_RESPONSE.pack(17, wire.DELIVER_SM_RESP, 0, sequence))
            elif command == wire.ENQUIRE_LINK:
                self._sock.sendall(wire.header_pdu(wire.ENQUIRE_LINK_RESP, sequence))
        return answered, told

    def _be_notified(self, hook: socket.socket) -> None:
        """Takes one webhook, on whichever connection it comes: the relay may open one beside that which it keeps."""
        data: dict[socket.socket, bytes] = {}
        while True:
            for sock in select.select([hook, *self._hook_connections], [], [], 120)[0]:
                if sock is hook:
                    self._hook_connections.append(hook.accept()[0])
                    continue
                more = sock.recv(65_536)
                if not more:
                    self._hook_connections.remove(sock)
                    sock.close()
                    continue
                data[sock] = data.get(sock, b"") + more
                if b"\r\n\r\n" in data[sock] and data[sock].endswith(b"}"):
                    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                    return


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bystander", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--login", default="bench0")
    parser.add_argument("--password", default="bench")
    parser.add_argument("--prefix", default="4477", help="digits before a message's number")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--every-ms", type=float, default=5.0, help="from a receipt to the next message")
    parser.add_argument("--hook-port", type=int, default=0, help="be told by webhooks to this port, not by deliver_sm")
    options = parser.parse_args()
    bystander = Bystander(options.port, options.login, options.password, options.hook_port)
    submissions = wire.Submissions(options.prefix.encode())
    answers, receipts, late = array("d"), array("d"), array("d")
    for number in range(options.rounds):
        answered, told = bystander.send_one(submissions.encode(number, 1))
        answers.append(answered)
        receipts.append(told)
        wake_at = time.monotonic() + options.every_ms / 1000
        time.sleep(options.every_ms / 1000)
        late.append(time.monotonic() - wake_at)
    report(
        {
            "program": "bystander",
            "answer_ms": milliseconds(answers),
            "receipt_ms": milliseconds(receipts),
            "own_lateness_ms": milliseconds(late),
        }
    )


if __name__ == "__main__":
    main()
