"""The relay's peers in the crash tests: separate processes, which survive every kill and write down what they got.

    python -m tests.integration.crash_peers carrier PORT FILE
    python -m tests.integration.crash_peers receiver PORT FILE

FILE gets one line per event: the time, a tab, and the destination of a submit_sm or the JSON of a notification. The
process prints `listening` when it listens.
"""

import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocolFactory
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from relay.config.carrier_config import Simulator
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.simulator.simulator_connection import SimulatorProtocol
from relay.values.messages import destination_of
from relay.values.pdus import MessagePdu

reactor: Any = installed_reactor


class Notebook:
    """A file that is written a batch at a time, so that its reader never meets half a line of an ended process."""

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, items: Sequence[str]) -> None:
        """Adds a line an item."""
        now = time.time()
        os.write(self._handle, "".join(f"{now:.4f}\t{item}\n" for item in items).encode())


class NotingCarrier(SimulatedCarrier):
    """A simulated carrier that notes the destination of every submit_sm, whatever becomes of it."""

    notebook: Notebook

    def submitted(self, protocol: SimulatorProtocol, pdus: Sequence[MessagePdu]) -> None:
        self.notebook.write([destination_of(pdu.addresses).decode() for pdu in pdus])
        super().submitted(protocol, pdus)


class NotingReceiver(Resource):
    """A customer's web server that notes the body of every POST before it says 200."""

    isLeaf = True

    def __init__(self, notebook: Notebook) -> None:
        super().__init__()
        self._notebook = notebook

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        self._notebook.write([request.content.read().decode()])
        return b""


def _factory(kind: str, notebook: Notebook) -> IProtocolFactory:
    if kind == "receiver":
        site = Site(NotingReceiver(notebook))
        site.noisy = False
        return site
    carrier = NotingCarrier(Simulator(receipt_delay_seconds=0.2), reactor, random.Random(1))
    carrier.notebook = notebook
    return carrier.factory


def main(kind: str, port: str, path: str) -> None:
    """Listens until it is ended."""
    listening = TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1").listen(_factory(kind, Notebook(path)))
    listening.addCallback(lambda _: print("listening", flush=True))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
