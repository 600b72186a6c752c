"""The pages about carriers: all of them in a table, and one of them with everything that is known of it."""

import math
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, card, duration, el, facts
from relay.operator.looks import CarrierLook
from relay.operator.operator_html import Frame, action_link, grid, link, number, percent, search_link, word

_HEADS = (
    "Carrier", "State", "Binds", "Rate", "Window", "Queue", "Taken", "Refused", "Receipts", "Matched", "Orphans",
    "Delivered", "To a receipt", "Last error", "",
)  # fmt: skip


def state_of(carrier: CarrierLook) -> Tag:
    """Makes the word for the state of a carrier."""
    if carrier.draining:
        return word("draining", "some" if carrier.bound else "bad")
    if carrier.held:
        return word("held", "some")
    if not carrier.up:
        return word("down", "bad")
    if carrier.paused_seconds > 0:
        return word(f"pausing {math.ceil(carrier.paused_seconds)} s", "some")
    return word("partly up", "some") if carrier.bound < carrier.wanted else word("up", "good")


def carriers_table(frame: Frame, carriers: Iterable[CarrierLook], since: Content) -> Tag:
    """Makes the table of all carriers.

    :param since: says since when the counts are.
    """
    rows = (_row(frame, carrier) for carrier in carriers)
    return el(
        "section",
        grid("carriers", "Carriers", _HEADS, rows, "The configuration has no carrier."),
        el("p", "Counts are ", since, ". Rates are of the last ten seconds, refused shares of the last hour.",
           class_="hint"),
        class_="card",
    )  # fmt: skip


def _row(frame: Frame, carrier: CarrierLook) -> Sequence[Content]:
    receipts = carrier.receipts
    limit = f" of {carrier.rate_limit:g}" if carrier.rate_limit else ""
    remarks = "wide" if carrier.last_error or carrier.draining else "nought"
    nearly_full = carrier.queued > 0.8 * carrier.queue_limit
    refused = f"{carrier.refused:,} ({percent(carrier.error_share)})" if carrier.refused else "0"
    refused_kind = "bad" if carrier.error_share > 0.2 else "" if carrier.refused else "nought"
    return (
        el("td", link(carrier.name, "carriers", carrier.name)),
        state_of(carrier),
        f"{carrier.bound} of {carrier.wanted}",
        el("td", f"{carrier.rate:.1f}{limit} /s", class_="number"),
        el("td", f"{carrier.in_flight} of {carrier.window:g}", class_="number"),
        number(carrier.queued, "bad" if nearly_full else ""),
        number(carrier.taken),
        el("td", refused, class_=f"number {refused_kind}".strip()),
        number(sum(receipts.values())),
        number(carrier.matched),
        number(receipts["orphan"], "bad" if receipts["orphan"] else ""),
        el("td", percent(carrier.delivered_share), class_="number"),
        el("td", median(carrier.receipt_seconds), class_="number"),
        el("td", carrier.last_error, _removed(carrier), class_=remarks),
        el("td", *actions_of(frame, carrier)),
    )


def _removed(carrier: CarrierLook) -> Tag | None:
    """Says of a removed carrier what is outstanding, and until when it stays bound."""
    if not carrier.draining:
        return None
    out = "Its receipts" if carrier.receipts_out < 0 else f"{carrier.receipts_out:,} receipts"
    hours = math.ceil(carrier.drain_seconds / 3600)
    said = f"Removed from the configuration. {out} are outstanding; it is unbound after {hours} h at the latest."
    return el("div", said)


def actions_of(frame: Frame, carrier: CarrierLook) -> list[Content]:
    """Makes the links to the actions that a carrier's state and the user's role allow."""
    if carrier.draining:
        return [action_link(frame, "Unbind now", "carriers", carrier.name, "unbind")]
    if carrier.held:
        return [action_link(frame, "Resume", "carriers", carrier.name, "resume")]
    return [action_link(frame, "Hold", "carriers", carrier.name, "hold")]


def _purge(frame: Frame, carrier: CarrierLook) -> list[Content]:
    return [action_link(frame, "Purge queue", "carriers", carrier.name, "purge")] if carrier.queued else []


def median(seconds: float) -> str:
    """Writes a median. 0.0: nothing was measured; below 0: longer than what is measured."""
    return "–" if not seconds else "very long" if seconds < 0 else duration(seconds)


def carrier_page(frame: Frame, carrier: CarrierLook, receipts_out: int | None, since: Content) -> list[Content]:
    """Makes the content of a carrier's own page.

    :param receipts_out: parts that the carrier took and whose receipt has not come; None: unknown.
    """
    ended = sum(carrier.ended.values())
    at_most = f", at most {carrier.rate_limit:g}" if carrier.rate_limit else ""
    out = "not counted" if receipts_out is None else f"{receipts_out:,}"
    now = facts(
        (
            ("State", state_of(carrier)),
            ("Kind", carrier.kind),
            ("Binds", f"{carrier.bound} of {carrier.wanted}"),
            ("Rate", f"{carrier.rate:.1f} a second{at_most}"),
            ("Without response", f"{carrier.in_flight} of {carrier.window:g} that the window allows"),
            ("Queue", f"{carrier.queued:,} of {carrier.queue_limit:,} parts"),
            ("Receipts outstanding", out),
            ("Last error", carrier.last_error or "none"),
        ),
        id="carrier-now",
        data_live=True,
    )
    submitted = facts(
        (
            ("Taken", f"{carrier.taken:,}"),
            ("Refused", f"{carrier.refused:,}; {percent(carrier.error_share)} in the last hour"),
            ("Throttled", f"{carrier.throttled:,}"),
            ("In doubt", f"{carrier.in_doubt:,}"),
            ("Expired in the queue", f"{carrier.expired:,}"),
            ("Taken without an id", f"{carrier.without_id:,}"),
            ("Median time to a response", median(carrier.response_seconds)),
        ),
        id="carrier-submitted",
        data_live=True,
    )
    found = facts(
        (
            ("All", f"{sum(carrier.receipts.values()):,}"),
            ("Found their message", f"{carrier.matched:,}"),
            *((name.replace("_", " ").capitalize(), f"{count:,}") for name, count in carrier.receipts.items()),
            ("Median time to a receipt", median(carrier.receipt_seconds)),
        ),
        id="carrier-receipts",
        data_live=True,
    )
    outcomes = facts(
        [("Ended by receipts", f"{ended:,}"), ("Delivered", percent(carrier.delivered_share))]
        + [(status, f"{count:,}") for status, count in carrier.ended.items()],
        id="carrier-ended",
        data_live=True,
    )
    return [
        el(
            "div",
            *actions_of(frame, carrier),
            *_purge(frame, carrier),
            action_link(frame, "Trace", "carriers", carrier.name, "trace"),
            " ",
            _messages(carrier.name),
            class_="buttons",
        ),
        _removed(carrier),
        el(
            "div",
            card("Now", now),
            card("Submitted messages", submitted),
            card("Receipts", found),
            card("How messages ended", outcomes),
            class_="pair",
        ),
        el("p", "Counts are ", since, ".", class_="hint"),
    ]


def _messages(name: str) -> Tag:
    refused = search_link("Messages that it refused", carrier=name, status="carrier-reject")
    quality = el("a", "What it delivers", href=f"/page/quality?{urlencode({'carrier': name})}")
    return el("span", search_link("Its messages", carrier=name), " · ", refused, " · ", quality)
