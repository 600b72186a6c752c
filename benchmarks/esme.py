"""SMPP load: binds as customers, submits within a window or at a rate, and matches receipts to responses by id.

If a receipt comes before its response, it is kept until the response has the id. *Lost* counts messages that were
accepted and never got a receipt, *duplicate* those that got more than one, and *unmatched* receipts for an id that no
response had. Prints one JSON line.
"""

import argparse
import gc
import re
import socket
import struct
import time
from array import array
from collections import Counter
from pathlib import Path

from benchmarks import wire
from benchmarks.fast_path import FastPath
from benchmarks.figures import instants, milliseconds, report, save_instants
from benchmarks.links import Link, Loop

RECEIPT = re.compile(rb"id:([^ ]+) .*?stat:([^ ]+)", re.DOTALL)

DELIVER_RESPONSE_HEAD = struct.pack(">III", 17, wire.DELIVER_SM_RESP, 0)

#: Sequence numbers from here on are not messages.
OTHER_SEQUENCES = 0x7FFF0000


class BindFailed(Exception):
    """The gateway closed the connection or refused the bind."""


class Customer:
    """One bound connection."""

    def __init__(self, link: Link, submissions: wire.Submissions) -> None:
        self.link = link
        self.submissions = submissions
        self.outstanding = 0


class Esme:
    """The load and its accounts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = Loop()
        self.total: int = options.total
        self.first: int = options.first_number
        self.next_number = self.first
        self.end_number = self.first + self.total
        self._lane = FastPath()
        self.sequence_of: dict[bytes, bytes] = {}
        self.arrived_at: dict[bytes, float] = {}
        self.sent_at = instants(self.end_number)
        self.answer_seconds = array("d")
        self.accepted = self.duplicates = 0
        self.refused: Counter[int] = Counter()
        self.states: Counter[str] = Counter()
        self.behind_seconds = 0.0
        self.last_event_at = 0.0
        prefixes = options.prefixes.encode().split(b",")
        self._customers = [
            self._bind(number, prefixes[number % len(prefixes)]) for number in range(options.connections)
        ]
        self._rotor = 0
        self.owed = 0
        if options.load_ids:
            with open(options.load_ids, "rb") as file:
                self.sequence_of = dict.fromkeys(file.read().split(), b"\0\0\0\1")
            self.owed = len(self.sequence_of)

    def _bind(self, number: int, prefix: bytes) -> Customer:
        options = self._options
        sock = socket.create_connection(("127.0.0.1", options.port), timeout=10)
        login = options.login.replace("#", str(number % options.accounts))
        sock.sendall(wire.bind_pdu(wire.BIND_TRANSCEIVER, login, options.password))
        answer = b""
        while len(answer) < 16 or len(answer) < int.from_bytes(answer[:4], "big"):
            data = sock.recv(4096)
            if not data:
                raise BindFailed(f"{login} on port {options.port}: the connection was closed")
            answer += data
        status = wire.HEADER.unpack_from(answer)[2]
        if status:
            raise BindFailed(f"{login} on port {options.port}: command_status 0x{status:08X}")
        customer = Customer(Link(self._loop, sock), wire.Submissions(prefix))
        customer.link.rest = answer[int.from_bytes(answer[:4], "big") :]
        customer.link.on_readable = lambda: self._read(customer)
        return customer

    def run(self) -> None:
        """Submits everything, then waits for the receipts until nothing has come for `--idle-seconds`."""
        options = self._options
        gc.disable()
        self._meet("bound")
        begun_at = self.last_event_at = time.monotonic()
        cpu = time.process_time()
        ends_at = begun_at + options.max_seconds
        if not options.rate:
            for customer in self._customers:
                self._refill(customer, [], begun_at)
        while not self._finished():
            self._loop.turn(0.001 if options.rate and self.next_number < self.end_number else 0.05)
            now = time.monotonic()
            if options.rate:
                self._submit_due(now, begun_at)
            if now > ends_at or now - self.last_event_at > options.idle_seconds:
                break
            if all(customer.link.closed for customer in self._customers):
                break
        cpu = time.process_time() - cpu
        self._meet("done")
        for customer in self._customers:
            customer.link.write(wire.header_pdu(wire.UNBIND, OTHER_SEQUENCES))
        self._loop.turn(0.2)
        self._report(begun_at, cpu)

    def _meet(self, what: str) -> None:
        """Lets the runner read its meters between binding and submitting, and before unbinding: makes a file and goes
        on when it has been taken away."""
        if self._options.meeting:
            path = Path(f"{self._options.meeting}.{what}")
            path.touch()
            ends_at = time.monotonic() + 20.0
            while path.exists() and time.monotonic() < ends_at:
                self._loop.turn(0.002)

    def _finished(self) -> bool:
        if self.next_number < self.end_number or self.accepted + sum(self.refused.values()) < self.total:
            return False
        return not self._options.receipts or len(self.arrived_at) >= self.accepted + self.owed

    def _submit_due(self, now: float, begun_at: float) -> None:
        """At a fixed rate: what is due is spread over the connections; how late the schedule ran is remembered."""
        rate = self._options.rate
        due = min(self.end_number, self.first + int((now - begun_at) * rate))
        customers = self._customers
        for _ in range(len(customers)):
            count = due - self.next_number
            if count <= 0:
                return
            customer = customers[self._rotor % len(customers)]
            self._rotor += 1
            count = min(count, self._options.window - customer.outstanding)
            if count > 0 and not customer.link.closed:
                customer.link.write(self._submissions(customer, count, now))
        self.behind_seconds = max(self.behind_seconds, (due - self.next_number) / rate)

    def _submissions(self, customer: Customer, count: int, now: float) -> bytes:
        first = self.next_number
        self.next_number = first + count
        customer.outstanding += count
        self.sent_at[first : first + count] = array("d", (now,)) * count
        self.last_event_at = now
        return customer.submissions.encode(first, count)

    def _refill(self, customer: Customer, out: list[bytes], now: float) -> None:
        room = min(self._options.window - customer.outstanding, self.end_number - self.next_number)
        if room > 0 and not self._options.rate:
            out.append(self._submissions(customer, room, now))
        if out:
            customer.link.write(b"".join(out))

    def _read(self, customer: Customer) -> None:
        link = customer.link
        data = link.read()
        if link.closed or not data:
            return
        now = self.last_event_at = time.monotonic()
        found = self._lane.find(data)
        if found is None:
            self._read_plainly(customer, data, now)
            return
        responses, requests, consumed = found
        link.rest = data[consumed:]
        if responses:
            self.sequence_of.update([(fields[1], fields[0]) for fields in responses])
            customer.outstanding -= len(responses)
            self.accepted += len(responses)
            # Every message is counted; in a long read, one in sixteen is timed.
            self._time_answers([fields[0] for fields in responses[:: 1 + len(responses) // 16]], now)
        out: list[bytes] = []
        if requests:
            before = len(self.arrived_at)
            self.arrived_at.update(dict.fromkeys([fields[3] for fields in requests], now))
            self.duplicates += before + len(requests) - len(self.arrived_at)
            out.append(b"".join([DELIVER_RESPONSE_HEAD + fields[2] + b"\0" for fields in requests]))
        self._refill(customer, out, now)

    def _read_plainly(self, customer: Customer, data: bytes, now: float) -> None:
        """PDU by PDU: the first ones of each shape, and all that is unusual."""
        out: list[bytes] = []
        position = 0
        while len(data) - position >= 16:
            length, command, status, sequence = wire.HEADER.unpack_from(data, position)
            if position + length > len(data):
                break
            pdu = data[position : position + length]
            position += length
            if command == wire.SUBMIT_SM_RESP:
                customer.outstanding -= 1
                self._time_answers([pdu[12:16]], now)
                if status:
                    self.refused[status] += 1
                else:
                    self.accepted += 1
                    self.sequence_of[pdu[16:-1]] = pdu[12:16]
                    self._lane.learn_response(pdu, [(16, length - 1)])
            elif command == wire.DELIVER_SM:
                out.append(DELIVER_RESPONSE_HEAD + pdu[12:16] + b"\0")
                self._take_receipt(pdu, now)
            elif command == wire.ENQUIRE_LINK:
                out.append(wire.header_pdu(wire.ENQUIRE_LINK_RESP, sequence))
        customer.link.rest = data[position:]
        self._refill(customer, out, now)

    def _take_receipt(self, pdu: bytes, now: float) -> None:
        found = RECEIPT.search(pdu, 16)
        if found is None:
            self.states["unreadable"] += 1
            return
        message_id, state = found.groups()
        if message_id in self.arrived_at:
            self.duplicates += 1
        self.arrived_at[message_id] = now
        if state == b"DELIVRD":
            self._lane.learn_request(pdu, [found.span(1)], [found.span(2)])
        else:
            self.states[state.decode("latin-1")] += 1

    def _time_answers(self, sequences: list[bytes], now: float) -> None:
        sent_at = self.sent_at
        self.answer_seconds.extend([now - sent_at[int.from_bytes(sequence, "big") - 1] for sequence in sequences])

    def _report(self, begun_at: float, cpu_seconds: float) -> None:
        sent = [at for at in self.sent_at if at]
        arrived = max(self.arrived_at.values(), default=0.0)
        matched = self.sequence_of.keys() & self.arrived_at.keys()
        if self._options.save_ids:
            with open(self._options.save_ids, "wb") as file:
                file.write(b"\n".join(self.sequence_of))
        if self._options.instants_file:
            by_number = instants(self.end_number)
            for message_id in matched:
                by_number[int.from_bytes(self.sequence_of[message_id], "big") - 1] = self.arrived_at[message_id]
            save_instants(self._options.instants_file, by_number)
        submit_seconds = (max(sent) - min(sent)) if sent else 0.0
        whole_seconds = arrived - (min(sent) if sent else begun_at) if arrived else 0.0
        report(
            {
                "program": "esme",
                "submitted": len(sent),
                "accepted": self.accepted,
                "refused": {f"0x{status:08X}": count for status, count in self.refused.items()},
                "receipts": len(matched),
                "lost": self.accepted + self.owed - len(matched) if self._options.receipts else 0,
                "unanswered": len(sent) - self.accepted - sum(self.refused.values()),
                "duplicates": self.duplicates,
                "unmatched": len(self.arrived_at) - len(matched),
                "other_states": dict(self.states),
                "answer_ms": milliseconds(self.answer_seconds),
                "submitted_per_second": round(self.accepted / submit_seconds, 1) if submit_seconds else 0.0,
                "messages_per_second": round(len(matched) / whole_seconds, 1) if whole_seconds else 0.0,
                "behind_seconds": round(self.behind_seconds, 4),
                "begun_at": begun_at,
                "ended_at": self.last_event_at,
                "cpu_seconds": round(cpu_seconds, 3),
                "cpu_us_per_message": round(1e6 * cpu_seconds / (len(sent) or len(matched) or 1), 2),
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.esme", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--total", type=int, default=100_000, help="messages")
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--window", type=int, default=100, help="unanswered submit_sm a connection")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0 = as fast as the windows allow")
    parser.add_argument("--login", default="bench#", help="system_id; # stands for the account's number")
    parser.add_argument("--accounts", type=int, default=1, help="connection i binds as account i modulo this")
    parser.add_argument("--password", default="bench")
    parser.add_argument("--prefixes", default="4477", help="digits before a message's number; connection i takes one")
    parser.add_argument(
        "--first-number", type=int, default=0, help="of the first message, for runs that share a carrier"
    )
    parser.add_argument("--no-receipts", dest="receipts", action="store_false", help="end with the last response")
    parser.add_argument("--instants-file", default="", help="where the receipts' arrivals are written")
    parser.add_argument("--meeting", default="", help="files by which the runner is met: FILE.bound and FILE.done")
    parser.add_argument("--save-ids", default="", help="where the accepted messages' ids are written")
    parser.add_argument("--load-ids", default="", help="ids of an earlier run whose receipts are awaited as well")
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    parser.add_argument("--max-seconds", type=float, default=300.0)
    Esme(parser.parse_args()).run()


if __name__ == "__main__":
    main()
