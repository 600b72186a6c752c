"""Messages from handsets (mobile-originated) for accounts that get them by HTTP, and long ones put together.

Theory of operation: a carrier's deliver_sm is answered when what it says is durable. A message of one part becomes an
`InboundMessage` at once. The parts of a long message are kept by the store, and here; with the last part the message is
put together, and the store forgets the parts. If parts are missing when their time is over, the account gets the
message without them. Which account gets a message may depend on its first word, so that is decided when it is put
together.

An account that gets messages over SMPP alone is not this module's business, unless a long message must be put together
before anybody can know whose it is: otherwise its deliver_sm is handed on as it is, and the carrier hears what the
customer answers.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.config.account_config import Account
from relay.config.carrier_config import Carrier
from relay.config.daemon_config import Limits
from relay.routing.flow import MessageFlow
from relay.routing.inbound_rules import InboundRules, InboundTarget
from relay.runtime.tasks import Tasks
from relay.store.store_values import StoreUnavailable
from relay.text.from_handsets import HandsetPart, read_part, text_of, without_place
from relay.values.ids import RandomBytes, new_ids
from relay.values.inbound import InboundMessage, InboundPart, PartsKey
from relay.values.messages import destination_of
from relay.values.pdus import MessagePdu
from relay.values.smpp_constants import ESME_ROK, ESME_RX_P_APPN, ESME_RX_T_APPN

#: Gets an account's name and a deliver_sm or data_sm, and hands it to one of the account's receivers. Returns None if
#: none can take it; otherwise a Deferred that fires with the command_status of the customer's answer.
OverSmpp = Callable[[str, MessagePdu], "Deferred[int] | None"]

#: A message that could not be made durable is tried again after this, at the latest.
_AGAIN_SECONDS: Final = 60.0

#: Long messages remembered after they were put together: a carrier that got no response sends a part again.
_REMEMBERED: Final = 1_000

#: For so long after it came, an equal part is the same part sent again: a carrier sends it again within its response
#: time and the time it takes to bind. Later it is a part of another message: handsets use their references again.
_SENT_AGAIN_SECONDS: Final = 300.0


class _Unfinished(msgspec.Struct):
    """A long message of which parts are missing."""

    due_at: float
    parts: dict[int, InboundPart]


class HandsetMessages:
    """Takes messages from handsets over all carriers. Only the reactor thread may call.

    :param account_of: gives an account by its name; None where there is none.
    :param settings_of: gives a carrier's settings by its name; None where there is none.
    :param over_smpp: hands a deliver_sm to a bound receiver of an account.
    """

    log = Logger()

    def __init__(
        self,
        flow: MessageFlow,
        account_of: Callable[[str], Account | None],
        settings_of: Callable[[str], Carrier | None],
        over_smpp: OverSmpp,
        clock: IReactorTime,
        random_bytes: RandomBytes,
        limits: Limits,
    ) -> None:
        self._flow = flow
        self._account_of = account_of
        self._settings_of = settings_of
        self._over_smpp = over_smpp
        self._clock = clock
        self._random_bytes = random_bytes
        self._most_parts = limits.inbound_parts
        self._part_seconds = limits.inbound_part_seconds
        self._tasks = Tasks(self.log)
        self._rules: dict[str, tuple[Carrier, InboundRules]] = {}
        #: By the time when their first part came.
        self._unfinished: OrderedDict[PartsKey, _Unfinished] = OrderedDict()
        self._part_count = 0
        #: How many of the parts have these addresses: the handset, and the number that it sent to.
        self._parts_by_addresses: Counter[bytes] = Counter()
        self._being_received: set[PartsKey] = set()
        #: The parts of messages that were put together lately, by number: when each came, and its digest.
        self._received: OrderedDict[PartsKey, dict[int, tuple[float, bytes]]] = OrderedDict()
        self._timer: IDelayedCall | None = None
        #: Messages since the start: taken for accounts, of these incomplete, and long ones that nobody wanted.
        self.counts = {"received": 0, "incomplete": 0, "unwanted": 0}

    # Life

    async def start(self) -> None:
        """Takes up the parts that the store has kept. To be awaited before the first carrier is bound."""
        parts = sorted(await self._flow.store.kept_parts(), key=lambda part: part.received_at)
        for part in parts:
            self._add(part)
        self._arm()

    async def stop(self) -> None:
        """Ends the wait for missing parts; the store has the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.wait()

    # A carrier's deliver_sm

    def take(self, carrier: str, pdu: MessagePdu) -> "Deferred[int] | None":
        """Takes a deliver_sm or data_sm that is no receipt.

        :return: fires with the command_status for the carrier; None: nobody can take it now.
        """
        rules = self._rules_of(carrier)
        to = destination_of(pdu.addresses).decode("latin-1")
        part = read_part(pdu)
        if part.count == 1:
            target = rules.find(to, text_of(part.octets, pdu.data_coding) or "")
            webhook, smpp = self._ways(target)
            if not webhook:
                return self._over_smpp(target.account, pdu) if smpp else succeed(ESME_RX_P_APPN)
            return self._start(self._receive_one(carrier, pdu, part, target))
        candidates = rules.candidates(to)
        if len(candidates) == 1 and not self._ways(candidates[0])[0]:
            account = candidates[0].account
            return self._over_smpp(account, pdu) if account else succeed(ESME_RX_P_APPN)
        return self._start(self._take_part(carrier, pdu, part))

    async def _receive_one(self, carrier: str, pdu: MessagePdu, part: HandsetPart, target: InboundTarget) -> int:
        webhook, smpp = self._ways(target)
        message = InboundMessage(
            new_ids(1, self._random_bytes)[0],
            target.account,
            carrier,
            self._clock.seconds(),
            pdu.addresses,
            pdu.data_coding,
            part.octets,
            part.header,
            webhook=webhook,
            smpp=smpp,
        )
        return ESME_ROK if await self._receive(message) else ESME_RX_T_APPN

    async def _take_part(self, carrier: str, pdu: MessagePdu, handset_part: HandsetPart) -> int:
        now = self._clock.seconds()
        part = InboundPart(
            carrier,
            now,
            pdu.addresses,
            handset_part.reference,
            handset_part.count,
            handset_part.number,
            pdu.data_coding,
            handset_part.octets,
            without_place(handset_part.header),
        )
        key = part.key
        if key in self._being_received:
            return ESME_RX_T_APPN
        if self._is_sent_again(part):
            # The carrier got no response to it.
            return ESME_ROK
        if self._is_of_another(part) and not await self._finish(key):
            return ESME_RX_T_APPN
        unfinished = self._add(part)
        if len(unfinished.parts) == part.count:
            return ESME_ROK if await self._finish(key) else ESME_RX_T_APPN
        self._arm()
        try:
            # If we stop before this is durable, then the carrier has no answer and sends the part again.
            await self._flow.store.keep_parts([part])
        except StoreUnavailable:
            return ESME_RX_T_APPN
        while self._part_count > self._most_parts and await self._finish(self._oldest_of_most()):
            pass
        return ESME_ROK

    # Putting together

    def _is_sent_again(self, part: InboundPart) -> bool:
        """Whether the part is in a message that was put together a short time ago."""
        came_at, digest = self._received.get(part.key, {}).get(part.number, (0.0, b""))
        return part.received_at - came_at <= _SENT_AGAIN_SECONDS and digest == _digest(part)

    def _is_of_another(self, part: InboundPart) -> bool:
        """Whether an unfinished message with the same reference has another part at this place, which was answered."""
        unfinished = self._unfinished.get(part.key)
        there = unfinished and unfinished.parts.get(part.number)
        return bool(there and there.octets != part.octets)

    def _add(self, part: InboundPart) -> _Unfinished:
        unfinished = self._unfinished.get(part.key)
        if unfinished is None:
            unfinished = self._unfinished[part.key] = _Unfinished(part.received_at + self._part_seconds, {})
        if part.number not in unfinished.parts:
            self._count(part.key, 1)
        unfinished.parts[part.number] = part
        return unfinished

    def _count(self, key: PartsKey, change: int) -> None:
        addresses = key[1]
        self._part_count += change
        self._parts_by_addresses[addresses] += change
        if not self._parts_by_addresses[addresses]:
            del self._parts_by_addresses[addresses]

    def _oldest_of_most(self) -> PartsKey:
        """The oldest message of the handset that has most parts here: one that floods must not end others' messages."""
        addresses = max(self._parts_by_addresses, key=self._parts_by_addresses.__getitem__)
        return next(key for key in self._unfinished if key[1] == addresses)

    async def _finish(self, key: PartsKey) -> bool:
        """Puts a message together of the parts that are there; false: it can't be made durable now."""
        unfinished = self._unfinished.pop(key)
        parts = [unfinished.parts[number] for number in sorted(unfinished.parts)]
        self._count(key, -len(parts))
        first = parts[0]
        target = self._target_of(first)
        webhook, smpp = self._ways(target)
        missing = tuple(number for number in range(1, first.count + 1) if number not in unfinished.parts)
        message = InboundMessage(
            new_ids(1, self._random_bytes)[0],
            target.account if webhook or smpp else "",
            first.carrier,
            max(part.received_at for part in parts),
            first.addresses,
            first.data_coding,
            b"".join([part.octets for part in parts]),
            first.header,
            first.count,
            first.reference,
            missing,
            webhook,
            smpp,
        )
        self._being_received.add(key)
        # If we stop here, then the parts that were answered are put together after the start, or wait for the others.
        received = False
        try:
            received = await self._receive(message)
        finally:
            self._being_received.discard(key)
            if not received:
                # The store has its parts again, but for the last one, which the carrier sends again.
                unfinished.due_at = self._clock.seconds() + min(self._part_seconds, _AGAIN_SECONDS)
                self._unfinished[key] = unfinished
                self._count(key, len(parts))
                self._arm()
        if received:
            self._say(message)
            self._received[key] = {part.number: (part.received_at, _digest(part)) for part in parts}
            self._received.move_to_end(key)
            if len(self._received) > _REMEMBERED:
                self._received.popitem(last=False)
        return received

    def _say(self, message: InboundMessage) -> None:
        if not message.account:
            self.counts["unwanted"] += 1
            self.log.warn(
                "inbound_unwanted: a long message from a handset over {carrier} was put together, and no rule of the "
                "carrier gives it to an account; it is dropped", carrier=message.carrier,
            )  # fmt: skip
        elif message.missing:
            self.counts["incomplete"] += 1
            self.log.warn(
                "inbound_incomplete: {account} gets a long message from a handset over {carrier}, and {count} of its "
                "{parts} parts are missing: they did not come in time",
                account=message.account, carrier=message.carrier, count=len(message.missing), parts=message.parts,
            )  # fmt: skip

    async def _receive(self, message: InboundMessage) -> bool:
        try:
            await self._flow.follow_up(self._flow.store.receive([message]))
        except StoreUnavailable:
            return False
        self.counts["received"] += bool(message.account)
        return True

    # Time

    def _arm(self) -> None:
        if self._timer is None and self._unfinished:
            due_at = min(unfinished.due_at for unfinished in self._unfinished.values())
            self._timer = self._clock.callLater(max(0.0, due_at - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        self._tasks.start(self._finish_overdue())

    async def _finish_overdue(self) -> None:
        now = self._clock.seconds()
        for key in [key for key, unfinished in self._unfinished.items() if unfinished.due_at <= now]:
            if key in self._unfinished:
                await self._finish(key)
        self._arm()

    # Who gets it

    def _target_of(self, first: InboundPart) -> InboundTarget:
        """Who gets a long message.

        :param first: the first of the parts that are there.
        """
        rules, to = self._rules_of(first.carrier), destination_of(first.addresses).decode("latin-1")
        if first.number == 1:
            return rules.find(to, text_of(first.octets, first.data_coding) or "")
        # Nobody knows its first word. A word from its middle must not decide, and the carrier was answered ESME_ROK.
        target = rules.find(to, "")
        if any(self._ways(target)):
            return target
        return next((candidate for candidate in rules.candidates(to) if any(self._ways(candidate))), target)

    def _rules_of(self, carrier: str) -> InboundRules:
        settings = self._settings_of(carrier)
        known = self._rules.get(carrier)
        # The rules of a carrier that is gone hold for the parts that it left.
        if known is not None and (settings is None or settings is known[0]):
            return known[1]
        rules = InboundRules(settings.inbound, settings.mobile_originated) if settings else InboundRules([], "refuse")
        if settings is not None:
            self._rules[carrier] = settings, rules
        return rules

    def _ways(self, target: InboundTarget) -> tuple[bool, bool]:
        """Whether the target gets the message by HTTP, and over SMPP; neither: nobody gets it."""
        account = self._account_of(target.account) if target.account else None
        if account is None:
            return False, False
        if target.over == "auto":
            return account.inbound_url is not None, account.inbound_url is None
        return target.over in ("http", "both"), target.over in ("smpp", "both")

    def _start(self, taking: Coroutine[Any, Any, int]) -> "Deferred[int]":
        done: Deferred[int] = Deferred()
        self._tasks.start(_passed_on(taking, done))
        return done


def _digest(part: InboundPart) -> bytes:
    """Stands for what a part says, so that the texts need not stay in memory."""
    return hashlib.blake2b(part.octets, digest_size=16).digest()


async def _passed_on(taking: Coroutine[Any, Any, int], done: "Deferred[int]") -> None:
    try:
        status = await taking
    except BaseException:
        done.callback(ESME_RX_T_APPN)
        raise
    done.callback(status)
