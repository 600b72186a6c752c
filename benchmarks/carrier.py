"""A carrier that costs almost nothing: takes submit_sm, answers with counted ids, and sends a receipt for each.

It sends receipts in the order of their messages, on any bind of the same login that may receive, within a window for
each bind. Receipts without an answer on a lost connection are sent again on the next one, and a refused receipt a
second later, as carriers do. The options for faults (`--drop-every` and others) prove that a measurement notices
faults.

On SIGUSR1 it releases the receipts that `--withhold-prefix` kept; on SIGTERM it prints one JSON line and ends.
"""

import argparse
import json
import os
import signal
import struct
import time
from collections import Counter, deque

from benchmarks import wire
from benchmarks.fast_path import FastPath
from benchmarks.figures import instants, report, save_instants
from benchmarks.links import Link, Loop

#: login, number of the message (ten digits of it are its id), its source and destination
Receipt = tuple[str, int, bytes, bytes]

SUBMIT_RESPONSE = struct.pack(">III", 27, wire.SUBMIT_SM_RESP, 0) + b"%b%010d\0"


#: Faulty receipts name ids from here on, which no response ever named.
WRONG_IDS = 9_000_000_000


pack = struct.Struct(">I").pack


class Bind:
    """One connection of the gateway's."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.login = ""
        self.receives = False
        self.next_sequence = 1
        self.unacknowledged: dict[bytes, Receipt] = {}


class Carrier:
    """The carrier: all binds of all logins."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = Loop()
        self._lane = FastPath()
        self._loop.listen(options.port, self._accepted)
        self._binds: list[Bind] = []
        self._receipts = wire.Receipts(state=options.state.encode(), date=time.strftime("%y%m%d%H%M").encode())
        self._ready: dict[str, deque[Receipt]] = {}
        self._delayed: deque[tuple[float, Receipt]] = deque()
        self._withheld: list[Receipt] = []
        self._withhold_prefix: bytes = options.withhold_prefix.encode()
        self._release = False
        self._stop = False
        self._sent_at = instants(options.instants)
        self._faulty = bool(options.drop_every or options.duplicate_every or options.wrong_id_every)
        self.submitted = self.binds_made = self.receipts_sent = self.receipts_acknowledged = 0
        self.first_submit_at = self.last_submit_at = 0.0
        self.refusals: Counter[int] = Counter()

    def run(self) -> None:
        """Serves until SIGTERM or `--max-seconds`."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stop", True))
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "_release", True))
        ends_at = time.monotonic() + self._options.max_seconds
        self._tell_state()
        begun = time.process_time()
        while not self._stop and time.monotonic() < ends_at:
            self._loop.turn(self._until_due())
            if self._release:
                self._release = False
                self._release_withheld()
            if self._delayed:
                self._move_due(time.monotonic())
        cpu = time.process_time() - begun
        if self._options.instants_file:
            save_instants(self._options.instants_file, self._sent_at)
        report(
            {
                "program": "carrier",
                "binds": self.binds_made,
                "submitted": self.submitted,
                "receipts_sent": self.receipts_sent,
                "receipts_acknowledged": self.receipts_acknowledged,
                "receipts_waiting": sum(map(len, self._ready.values())) + len(self._delayed) + len(self._withheld),
                "receipts_refused": {f"0x{status:08X}": count for status, count in self.refusals.items()},
                "submit_seconds": round(self.last_submit_at - self.first_submit_at, 6),
                "cpu_seconds": round(cpu, 3),
                "cpu_us_per_message": round(1e6 * cpu / self.submitted, 2) if self.submitted else 0.0,
            }
        )

    def _until_due(self) -> float:
        if not self._delayed:
            return 0.05
        return min(0.05, max(0.0, self._delayed[0][0] - time.monotonic()))

    def _accepted(self, link: Link) -> None:
        bind = Bind(link)
        self._binds.append(bind)
        link.on_readable = lambda: self._read(bind)

    def _read(self, bind: Bind) -> None:
        link = bind.link
        data = link.read()
        if link.closed:
            self._lost(bind)
            return
        now = time.monotonic()
        found = self._lane.find(data) if bind.login else None
        if found is None:
            self._read_plainly(bind, data, now)
            return
        responses, requests, consumed = found
        link.rest = data[consumed:]
        unacknowledged = bind.unacknowledged
        for fields in responses:
            if unacknowledged.pop(fields[0], None) is not None:
                self.receipts_acknowledged += 1
        out: list[bytes] = []
        if requests:
            first = self.submitted + 1
            self.submitted += len(requests)
            out.append(
                b"".join([SUBMIT_RESPONSE % (fields[1], number) for number, fields in enumerate(requests, first)])
            )
            login = bind.login
            self._keep(login, [(login, n, fields[2], fields[3]) for n, fields in enumerate(requests, first)], now)
        self._fill(bind, out, now)

    def _read_plainly(self, bind: Bind, data: bytes, now: float) -> None:
        """PDU by PDU: the first ones of each shape, and all that is unusual."""
        out: list[bytes] = []
        position = 0
        while len(data) - position >= 16:
            length, command, status, sequence = wire.HEADER.unpack_from(data, position)
            if position + length > len(data):
                break
            pdu = data[position : position + length]
            position += length
            if command == wire.SUBMIT_SM:
                found = wire.ADDRESSES.match(pdu, 16)
                if found is None:
                    out.append(wire.header_pdu(wire.SUBMIT_SM_RESP, sequence, wire.ESME_RSUBMITFAIL))
                    continue
                self._lane.learn_request(pdu, [found.span(1), found.span(2)])
                self.submitted += 1
                out.append(SUBMIT_RESPONSE % (pdu[12:16], self.submitted))
                self._keep(bind.login, [(bind.login, self.submitted, found[1], found[2])], now)
            elif command == wire.DELIVER_SM_RESP:
                receipt = bind.unacknowledged.pop(pdu[12:16], None)
                if receipt is None:
                    continue
                if status:
                    self.refusals[status] += 1
                    self._delayed.append((now + 1.0, receipt))
                else:
                    self.receipts_acknowledged += 1
                    self._lane.learn_response(pdu, [])
            else:
                self._other(bind, command, sequence, pdu[16:], out)
        bind.link.rest = data[position:]
        self._fill(bind, out, now)

    def _keep(self, login: str, receipts: list[Receipt], now: float) -> None:
        """Receipts are ready now, or after the delay, or when they are released."""
        prefix = self._withhold_prefix
        if prefix:
            self._withheld += [receipt for receipt in receipts if receipt[3].startswith(prefix)]
            receipts = [receipt for receipt in receipts if not receipt[3].startswith(prefix)]
        if self._faulty:
            receipts = self._with_faults(receipts)
        self.first_submit_at = self.first_submit_at or now
        self.last_submit_at = now
        delay = self._options.delay_ms / 1000
        if delay:
            due = now + delay
            self._delayed.extend([(due, receipt) for receipt in receipts])
        else:
            self._ready.setdefault(login, deque()).extend(receipts)

    def _with_faults(self, receipts: list[Receipt]) -> list[Receipt]:
        options, result = self._options, []
        for receipt in receipts:
            number = receipt[1]
            if options.drop_every and number % options.drop_every == 0:
                continue
            if options.wrong_id_every and number % options.wrong_id_every == 0:
                receipt = (receipt[0], WRONG_IDS + number, receipt[2], receipt[3])
            result.append(receipt)
            if options.duplicate_every and number % options.duplicate_every == 0:
                result.append(receipt)
        return result

    def _fill(self, bind: Bind, out: list[bytes], now: float) -> None:
        """Sends `out`, and behind it as many receipts as the bind's window takes."""
        ready = self._ready.get(bind.login)
        if ready and bind.receives:
            room = min(self._options.window - len(bind.unacknowledged), len(ready))
            if room > 0:
                first = bind.next_sequence
                batch = [ready.popleft() for _ in range(room)]
                sequences = [pack(n) for n in range(first, first + room)]
                out.append(self._receipts.encode(sequences, batch))
                bind.unacknowledged.update(zip(sequences, batch, strict=True))
                bind.next_sequence = first + room
                sent_at = self._sent_at
                if sent_at:
                    for receipt in batch:
                        sent_at[int(receipt[3][-wire.INDEX_DIGITS :])] = now
                self.receipts_sent += room
        if out:
            bind.link.write(b"".join(out))

    def _other(self, bind: Bind, command: int, sequence: int, body: bytes, out: list[bytes]) -> None:
        if command in (wire.BIND_RECEIVER, wire.BIND_TRANSMITTER, wire.BIND_TRANSCEIVER):
            bind.login = body.partition(b"\0")[0].decode("latin-1")
            bind.receives = command != wire.BIND_TRANSMITTER
            self.binds_made += 1
            out.append(wire.HEADER.pack(24, command | wire.RESPONSE_BIT, 0, sequence) + b"carrier\0")
            self._tell_state()
        elif command in (wire.ENQUIRE_LINK, wire.UNBIND):
            out.append(wire.header_pdu(command | wire.RESPONSE_BIT, sequence))

    def _lost(self, bind: Bind) -> None:
        self._binds.remove(bind)
        self._ready.setdefault(bind.login, deque()).extendleft(reversed(bind.unacknowledged.values()))
        bind.unacknowledged = {}
        self._tell_state()

    def _move_due(self, now: float) -> None:
        delayed, logins = self._delayed, set()
        while delayed and delayed[0][0] <= now:
            receipt = delayed.popleft()[1]
            self._ready.setdefault(receipt[0], deque()).append(receipt)
            logins.add(receipt[0])
        self._fill_all(logins, now)

    def _release_withheld(self) -> None:
        for receipt in self._withheld:
            self._ready.setdefault(receipt[0], deque()).append(receipt)
        self._withheld = []
        self._fill_all(set(self._ready), time.monotonic())

    def _fill_all(self, logins: set[str], now: float) -> None:
        for bind in self._binds:
            if bind.login in logins:
                self._fill(bind, [], now)

    def _tell_state(self) -> None:
        """Writes how many binds there are, for who waits for the gateway to have bound."""
        path = self._options.state_file
        if path:
            with open(path + ".new", "w") as file:
                json.dump({"binds": sum(1 for bind in self._binds if bind.login)}, file)
            os.replace(path + ".new", path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.carrier", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--window", type=int, default=200, help="unacknowledged receipts a bind")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="from the message to its receipt")
    parser.add_argument("--state", default="DELIVRD", help="the receipts' stat")
    parser.add_argument("--withhold-prefix", default="", help="keep the receipts for such numbers until SIGUSR1")
    parser.add_argument("--drop-every", type=int, default=0, help="fault: no receipt for every Nth message")
    parser.add_argument("--duplicate-every", type=int, default=0, help="fault: two receipts for every Nth message")
    parser.add_argument("--wrong-id-every", type=int, default=0, help="fault: every Nth receipt names an unknown id")
    parser.add_argument("--instants", type=int, default=0, help="messages whose receipts' instants are kept")
    parser.add_argument("--instants-file", default="", help="where those are written")
    parser.add_argument("--state-file", default="", help="where the number of binds is written")
    parser.add_argument("--max-seconds", type=float, default=600.0)
    Carrier(parser.parse_args()).run()


if __name__ == "__main__":
    main()
