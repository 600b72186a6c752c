"""Shows receipts that could not be matched to one message: orphans, evidence, unreadable and ambiguous receipts.

The octets of orphans, evidence (orphans that waited in vain) and unreadable receipts are shown, and the dialect setting
that would match orphans and evidence.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.config.carrier_config import Dialect
from relay.receipts.dialect_search import Suggestion, suggest_for_orphans, yaml
from relay.store.api import StoreQueries
from relay.values.carrier_reports import AmbiguousReceipt, Receipt
from relay.values.ids import id_text
from relay.values.message_view import MessageView
from relay.values.states import UNKNOWN

#: How many receipts of each kind are shown.
SHOWN: Final = 50
#: How many messages of each account, ids of each carrier, and orphans are compared. A comparison with 1,000 ids takes
#: about 15 ms.
_MESSAGES_TRIED: Final = 200
IDS_TRIED: Final = 1_000
_ORPHANS_TRIED: Final = 30
#: For so many carriers the messages of their evidence are looked for among older ones.
_CARRIERS_TRIED: Final = 5
#: How many accounts' messages are read in one turn of the reactor.
ACCOUNTS_A_TURN: Final = 20
_TEXT = re.compile(rb"(?i)(text:).*", re.S)


class ShownReceipt(msgspec.Struct, frozen=True):
    """An orphan or unreadable receipt. `raw` is its PDU's body in readable form, without the message's text."""

    carrier: str
    received_at: float
    ids: list[str]
    stat: str
    error: str
    raw: str
    raw_hex: str


class ShownAmbiguous(msgspec.Struct, frozen=True):
    """A receipt that could belong to several messages.

    :ivar message_id: the message to which it was matched; empty: none, because the receipt names another number.
    """

    carrier: str
    received_at: float
    carrier_message_id: str
    message_id: str
    others: list[str]


class Advice(msgspec.Struct, frozen=True):
    """A dialect that would match a carrier's orphans. The operator can copy it into the configuration."""

    carrier: str
    matched: int
    tried: int
    yaml: str
    presets: list[str]


class Review(msgspec.Struct, frozen=True):
    """Orphans, unreadable and ambiguous receipts, newest first, and the settings that would match the orphans.

    :ivar evidence: the latest of each carrier; the settings are for these as well.
    """

    orphans: list[ShownReceipt]
    unreadable: list[ShownReceipt]
    advice: list[Advice]
    ambiguous: list[ShownAmbiguous]
    evidence: list[ShownReceipt] = []


async def review(store: StoreQueries, accounts: Sequence[str], clock: IReactorTime) -> Review:
    """Reviews the receipts that the store keeps. It works in slices, and the reactor does other work between them."""
    orphans = await store.orphans(SHOWN)
    evidence = await store.evidence(SHOWN)
    unreadable = await store.unreadable(SHOWN)
    advice = await _advice_for(store, accounts, clock, orphans, None)
    advised = {one.carrier for one in advice}
    others = [carrier for carrier in dict.fromkeys(receipt.carrier for receipt in evidence) if carrier not in advised]
    for carrier in others[:_CARRIERS_TRIED]:
        # Their messages may be long past the latest ones.
        theirs = [receipt for receipt in evidence if receipt.carrier == carrier]
        advice += await _advice_for(store, accounts, clock, theirs, theirs[0].received_at)
    ambiguous = [_shown_ambiguous(receipt) for receipt in await store.ambiguous(SHOWN)]
    shown = [_shown(receipt) for receipt in orphans]
    kept = [_shown(receipt) for receipt in evidence]
    return Review(shown, [_shown(receipt) for receipt in unreadable], advice, ambiguous, kept)


async def _advice_for(
    store: StoreQueries, accounts: Sequence[str], clock: IReactorTime, orphans: Sequence[Receipt], before: float | None
) -> list[Advice]:
    """The settings with which these receipts would find messages.

    :param before: only messages that were accepted before then are compared; None: the latest ones.
    """
    advice: list[Advice] = []
    if orphans:
        ids = await _ids_by_carrier(store, accounts, clock, before)
        for number, carrier in enumerate(dict.fromkeys(orphan.carrier for orphan in orphans if orphan.carrier in ids)):
            if number:
                await deferLater(clock, 0.0)
            theirs = [orphan for orphan in orphans if orphan.carrier == carrier][:_ORPHANS_TRIED]
            for suggestion in suggest_for_orphans(ids[carrier], theirs)[:3]:
                advice.append(_advice(carrier, suggestion, len(theirs)))
    return advice


def _advice(carrier: str, suggestion: Suggestion, tried: int) -> Advice:
    dialect: Dialect = suggestion.dialect
    return Advice(carrier, suggestion.matched, tried, yaml(dialect), list(suggestion.presets))


async def _ids_by_carrier(
    store: StoreQueries, accounts: Sequence[str], clock: IReactorTime, before: float | None
) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    # Every account has its share of the ids that are compared.
    limit = max(1, min(_MESSAGES_TRIED, IDS_TRIED // max(1, len(accounts))))
    for number, account in enumerate(accounts, 1):
        views: Sequence[MessageView] = await store.recent(account, before=before, limit=limit)
        # UNKNOWN: what ended because no receipt was found for it.
        waiting = [view for view in views if not view.final or view.state == UNKNOWN]
        for part in (part for view in waiting for part in view.parts):
            if part.carrier_message_id:
                ids = found.setdefault(part.carrier, [])
                if len(ids) < IDS_TRIED:
                    ids.append(part.carrier_message_id.encode())
        if number % ACCOUNTS_A_TURN == 0:
            await deferLater(clock, 0.0)
    return found


def _shown_ambiguous(receipt: AmbiguousReceipt) -> ShownAmbiguous:
    return ShownAmbiguous(
        receipt.carrier,
        receipt.received_at,
        receipt.carrier_message_id.decode("latin-1"),
        id_text(receipt.message_id) if receipt.message_id else "",
        [id_text(other) for other in receipt.others],
    )


def _shown(receipt: Receipt) -> ShownReceipt:
    raw = _TEXT.sub(rb"\1...", receipt.raw)
    readable = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in raw)
    return ShownReceipt(
        carrier=receipt.carrier,
        received_at=receipt.received_at,
        ids=[key.decode("latin-1") for key in receipt.keys],
        stat=receipt.stat.decode("latin-1"),
        error=receipt.error.decode("latin-1"),
        raw=readable,
        raw_hex=raw.hex(),
    )
