"""Customers for the crash tests: they never stop sending, and remember exactly what the relay has promised them."""

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import treq
from twisted.internet import reactor as installed_reactor
from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from relay.values import smpp_constants as c
from tests.fakes import FastEsme, connect_esme, submit_body
from tests.integration.harness import within

reactor: Any = installed_reactor

#: Ends a destination: which carrier takes it is up to the digit in front of the number.
NUMBER_DIGITS = 8


class Customers:
    """An SMPP customer and several HTTP clients of another, all submitting until `stop`.

    Each message goes to a number of its own, so that its way can be told from anybody's notes.

    :param smpp_ports, http_ports: those of the relay; in a cluster, of all relays. Whoever is refused tries the next.
    :param prefixes: destinations begin with one of these.
    :ivar smpp_accepted: message id by destination: ESME_ROK was read.
    :ivar http_accepted: likewise for 202.
    :ivar receipts: message ids of the receipts that the SMPP customer acknowledged, with repetitions.
    :ivar refused: answers other than these.
    """

    def __init__(
        self,
        smpp_ports: Sequence[int],
        http_ports: Sequence[int],
        randomness: random.Random,
        prefixes: list[str],
        http_clients: int = 6,
    ) -> None:
        self._smpp_ports = itertools.cycle(smpp_ports)
        self._http_ports = list(http_ports)
        self._random = randomness
        self._prefixes = prefixes
        self._numbers = itertools.count()
        self._running = True
        self._batch = 100
        self.smpp_accepted: dict[str, str] = {}
        self.http_accepted: dict[str, str] = {}
        self.http_asked: set[str] = set()
        self.refused = 0
        self.esmes: list[FastEsme] = []
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = http_clients
        self._pool.retryAutomatically = False
        self._client = treq.client.HTTPClient(Agent(reactor, connectTimeout=2, pool=self._pool))
        self._done = gatherResults(
            [
                Deferred.fromCoroutine(self._smpp()),
                *(Deferred.fromCoroutine(self._http(n)) for n in range(http_clients)),
            ],
            consumeErrors=True,
        )

    @property
    def receipts(self) -> list[str]:
        return [receipt.message_id for esme in self.esmes for receipt in esme.receipts]

    async def stop(self) -> None:
        """Submits nothing more. The SMPP customer stays bound, or binds again, for its receipts until `leave`."""
        self._running = False
        await self._done

    async def leave(self) -> None:
        """Closes every connection."""
        for esme in self.esmes:
            if not esme.lost:
                esme.abort()
                await esme.gone
        await self._pool.closeCachedConnections()

    def _destination(self, kind: str) -> str:
        return f"{self._random.choice(self._prefixes)}{kind}{next(self._numbers):0{NUMBER_DIGITS}}"

    async def bound(self) -> FastEsme:
        """A bound session; tries until there is one."""
        while True:
            try:
                esme: FastEsme = await connect_esme(reactor, next(self._smpp_ports), 100)
                self.esmes.append(esme)
                await within(5, esme.bind("acme", "secret08"))
                return esme
            except Exception:
                await task.deferLater(reactor, 0.05)

    async def _smpp(self) -> None:
        while self._running:
            esme = await self.bound()
            while self._running and not esme.lost:
                to = [self._destination("1") for _ in range(self._batch)]
                answers = await esme.submit([submit_body(number) for number in to])
                for number, (status, message_id) in zip(to, answers, strict=True):
                    if status == c.ESME_ROK:
                        self.smpp_accepted[number] = message_id
                    elif status != -1:
                        self.refused += 1
                await task.deferLater(reactor, 0.03)

    async def _http(self, client: int) -> None:
        """Posts one after the other, each until it has an answer: the same key makes a repetition harmless."""
        for n in itertools.count():
            if not self._running:
                return
            number = self._destination("2")
            self.http_asked.add(number)
            while number not in self.http_accepted:
                try:
                    status, answer = await self._post(number, f"{client}-{n}-{number}")
                except Exception:
                    self._http_ports.append(self._http_ports.pop(0))
                    await task.deferLater(reactor, 0.1)
                    continue
                if status == 202:
                    self.http_accepted[number] = answer["id"]
                else:
                    self.refused += 1
                    await task.deferLater(reactor, 0.1)

    async def _post(self, number: str, key: str) -> tuple[int, Any]:
        response = await self._client.post(
            f"http://127.0.0.1:{self._http_ports[0]}/messages",
            auth=("hooked", "hooked-key"),
            headers=Headers({"Content-Type": ["application/json"], "Idempotency-Key": [key]}),
            data=json.dumps({"to": f"+{number}", "from": "447700900000", "text": "hello"}).encode(),
            timeout=5,
            reactor=reactor,
        )
        return response.code, json.loads(await response.content())
