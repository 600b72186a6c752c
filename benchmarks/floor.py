"""The floor: the least that a Twisted process can do with the same traffic.

It passes PDUs on with new sequence numbers, gives each message an id of its own, and replaces the id of each receipt.
It checks nothing and stores nothing; one read causes one write per destination. The difference between the relay and
the floor is the cost of durability, correctness and limits.
"""

import argparse
import struct
from collections import defaultdict

from twisted.internet import endpoints, protocol, reactor
from twisted.internet.interfaces import IAddress, ITransport

from benchmarks import wire

HEAD = wire.HEADER
ID_RESPONSE = struct.Struct(">IIII12sx")
RECEIPT_TEXT = b"id:"


class Shared:
    """What both sides know."""

    def __init__(self) -> None:
        self.upstreams: list[Upstream] = []
        self.customers_seen = 0
        self.ids_given = 0
        self.owners: dict[bytes, tuple[Customer, bytes]] = {}


class Peer(protocol.Protocol):
    """A connection that is cut into PDUs."""

    transport: ITransport

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.rest = b""
        self.next_sequence = 2


class Customer(Peer):
    """A customer's connection: its messages go up on one of the upstream's binds."""

    def connectionMade(self) -> None:
        shared = self.shared
        self.receipts: dict[int, tuple[Upstream, int]] = {}
        self.upstream = shared.upstreams[shared.customers_seen % len(shared.upstreams)]
        shared.customers_seen += 1

    def dataReceived(self, data: bytes) -> None:
        data = self.rest + data if self.rest else data
        position, limit = 0, len(data)
        upstream = self.upstream
        up: list[bytes] = []
        acknowledgements: dict[Upstream, list[bytes]] = {}
        own: list[bytes] = []
        sequence_up, waiting = upstream.next_sequence, upstream.waiting
        while limit - position >= 16:
            length, command, status, sequence = HEAD.unpack_from(data, position)
            end = position + length
            if end > limit:
                break
            if command == wire.SUBMIT_SM:
                waiting[sequence_up] = (self, sequence)
                up.append(HEAD.pack(length, command, 0, sequence_up) + data[position + 16 : end])
                sequence_up += 1
            elif command == wire.DELIVER_SM_RESP:
                bind, their_sequence = self.receipts.pop(sequence)
                acknowledgements.setdefault(bind, []).append(
                    wire.EMPTY_ID_RESPONSE.pack(17, command, status, their_sequence)
                )
            elif command == wire.BIND_TRANSCEIVER:
                own.append(HEAD.pack(22, command | wire.RESPONSE_BIT, 0, sequence) + b"floor\0")
            else:
                own.append(HEAD.pack(16, command | wire.RESPONSE_BIT, 0, sequence))
            position = end
        upstream.next_sequence = sequence_up
        self.rest = data[position:]
        if up:
            upstream.transport.write(b"".join(up))
        for bind, responses in acknowledgements.items():
            bind.transport.write(b"".join(responses))
        if own:
            self.transport.write(b"".join(own))


class Upstream(Peer):
    """One bind to the carrier."""

    def connectionMade(self) -> None:
        self.waiting: dict[int, tuple[Customer, int]] = {}
        self.transport.write(wire.bind_pdu(wire.BIND_TRANSCEIVER, "floor", "bench"))

    def dataReceived(self, data: bytes) -> None:
        data = self.rest + data if self.rest else data
        position, limit = 0, len(data)
        shared = self.shared
        waiting, owners = self.waiting, shared.owners
        down: defaultdict[Customer, list[bytes]] = defaultdict(list)
        while limit - position >= 16:
            length, command, status, sequence = HEAD.unpack_from(data, position)
            end = position + length
            if end > limit:
                break
            if command == wire.SUBMIT_SM_RESP:
                customer, their_sequence = waiting.pop(sequence)
                shared.ids_given += 1
                own_id = b"%012d" % shared.ids_given
                owners[data[position + 16 : end - 1]] = (customer, own_id)
                down[customer].append(ID_RESPONSE.pack(29, command, status, their_sequence, own_id))
            elif command == wire.DELIVER_SM:
                at = data.index(RECEIPT_TEXT, position, end) + 3
                stop = data.index(b" ", at, end)
                customer, own_id = owners.pop(data[at:stop])
                customer.receipts[customer.next_sequence] = (self, sequence)
                longer = 12 - (stop - at)
                down[customer].append(
                    HEAD.pack(length + longer, command, 0, customer.next_sequence)
                    + data[position + 16 : at - 4]
                    + bytes((data[at - 4] + longer,))
                    + RECEIPT_TEXT
                    + own_id
                    + data[stop:end]
                )
                customer.next_sequence += 1
            elif command == wire.ENQUIRE_LINK:
                self.transport.write(wire.header_pdu(wire.ENQUIRE_LINK_RESP, sequence))
            position = end
        self.rest = data[position:]
        for customer, pdus in down.items():
            customer.transport.write(b"".join(pdus))


class CustomerFactory(protocol.Factory):
    """Takes customers in."""

    noisy = False

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def buildProtocol(self, addr: IAddress | None) -> Customer:
        return Customer(self.shared)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--carrier-port", type=int, required=True)
    parser.add_argument("--binds", type=int, default=2)
    parser.add_argument("--max-seconds", type=float, default=600.0)
    options = parser.parse_args()
    shared = Shared()
    for _ in range(options.binds):
        upstream = Upstream(shared)
        shared.upstreams.append(upstream)
        endpoint = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", options.carrier_port)
        endpoints.connectProtocol(endpoint, upstream).addErrback(lambda failure: reactor.stop())
    endpoints.TCP4ServerEndpoint(reactor, options.port, backlog=1024, interface="127.0.0.1").listen(
        CustomerFactory(shared)
    )
    reactor.callLater(options.max_seconds, reactor.stop)
    reactor.run()


if __name__ == "__main__":
    main()
