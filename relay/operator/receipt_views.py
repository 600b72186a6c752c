"""The page about receipts that could not be matched to one message, with the settings that would match them."""

from collections.abc import Iterator, Sequence

from relay.account_pages.html import Content, card, el, moment
from relay.operator.operator_html import Frame, action_link, grid, link
from relay.operator.receipt_review import Advice, Review, ShownReceipt

_HEADS = ("Carrier", "At", "Why", "Ids", "State", "Raw")


def receipts_page(frame: Frame, review: Review) -> list[Content]:
    """Makes the content of the page."""
    counts = (
        f"{len(review.orphans)} orphans, {len(review.evidence)} kept as evidence, {len(review.unreadable)} unreadable "
        f"and {len(review.ambiguous)} ambiguous receipts, the latest first."
    )
    carriers = dict.fromkeys(receipt.carrier for receipt in review.evidence)
    return [
        el("div", *map(_advised, review.advice), id="advice", class_="pictures", data_live=True),
        el(
            "div",
            *(
                el(
                    "p",
                    f"Receipts of {carrier} match too few messages. Some are kept until its dialect is corrected. ",
                    action_link(frame, "Dismiss", "carriers", carrier, "dismiss"),
                )
                for carrier in carriers
            ),
            id="evidence",
            data_live=True,
        ),
        el(
            "section",
            el("p", counts, class_="hint"),
            grid("receipts", "Receipts without one message", _HEADS, _rows(review), "Every receipt found its message."),
            class_="card",
        ),
    ]


def _advised(advice: Advice) -> Content:
    presets = f" (as preset {', '.join(advice.presets)})" if advice.presets else ""
    return card(
        f"A setting for {advice.carrier}",
        el(
            "p",
            f"With this under carriers.{advice.carrier}, {advice.matched} of {advice.tried} orphans would match a "
            f"message{presets}:",
        ),
        el("pre", advice.yaml, tabindex="0"),
    )


def _rows(review: Review) -> Iterator[Sequence[Content]]:
    kinds = (
        ("orphan: no message has this id", review.orphans),
        ("evidence: no message had this id in time", review.evidence),
        ("unreadable", review.unreadable),
    )
    for why, receipts in kinds:
        for receipt in receipts:
            yield _row(why, receipt)
    for ambiguous in review.ambiguous:
        matched: list[Content] = ["matched to none, because its number differs"]
        if ambiguous.message_id:
            matched = ["matched to ", link(ambiguous.message_id, "messages", ambiguous.message_id)]
        others: list[Content] = []
        for other in ambiguous.others:
            others += [", " if others else "; may also be ", link(other, "messages", other)]
        yield (
            link(ambiguous.carrier, "carriers", ambiguous.carrier),
            moment(ambiguous.received_at),
            "ambiguous: several messages have this id",
            ambiguous.carrier_message_id,
            "",
            el("td", *matched, *others, class_="wide"),
        )


def _row(why: str, receipt: ShownReceipt) -> Sequence[Content]:
    return (
        link(receipt.carrier, "carriers", receipt.carrier),
        moment(receipt.received_at),
        why,
        el("td", ", ".join(receipt.ids), class_="wide"),
        el("td", f"{receipt.stat} {receipt.error}".strip(), class_="wide"),
        el("td", receipt.raw, class_="wide raw"),
    )
