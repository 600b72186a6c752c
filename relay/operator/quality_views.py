"""The page about the quality of carriers: what they deliver, and how soon, against the week before."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, card, el, moment
from relay.operator.carrier_views import median
from relay.operator.operator_html import grid, link, number, percent, word
from relay.operator.quality_looks import KEYS, QualityLook, QualityLooks, SpanLook, country_words
from relay.quality.quality_rules import Avoided

PATH: Final = "/page/quality"
_FIGURE_HEADS: Final = (
    "Ended 1 h", "Delivered 1 h", "Change", "Median 1 h", "95 % 1 h",
    "Ended 7 d", "Delivered 7 d", "Median 7 d", "95 % 7 d",
)  # fmt: skip
_NAMES: Final = {"carrier": "Carrier", "country": "Country code", "account": "Account"}


def quality_page(looks: QualityLooks, by: Sequence[str], only: Mapping[str, str]) -> list[Content]:
    """Makes the content of the page.

    :param by: the keys by which the rows are divided; `only` says which messages are shown.
    """
    heads = [*(_NAMES[key] for key in by), *_FIGURE_HEADS]
    table = grid("quality", "Quality of carriers", heads, (_row(row, by) for row in looks.rows),
                 "No message has ended that a carrier took.")  # fmt: skip
    left_out = f" {looks.left_out:,} rows with less traffic are left out." if looks.left_out else ""
    return [
        avoided_card(looks.avoided),
        el("section", _filters(by, only), table, class_="card"),
        el(
            "p",
            "1 h is the last hour, 7 d the week before it. Counted since ",
            moment(looks.since),
            ". A message counts when it ends, or, if it went to another carrier, for both when it has ended. Times are "
            "from the moment when the carrier took the message to its receipt; each is the upper bound of a class.",
            left_out,
            class_="hint"),
    ]  # fmt: skip


def avoided_card(avoided: Sequence[Avoided]) -> Tag | None:
    """Makes the card that names the carriers that routes avoid; None: there are none."""
    if not avoided:
        return None
    rows = (
        (el("td", link(each.carrier, "carriers", each.carrier)), each.route, moment(each.at), number(each.messages),
         percent(each.share), percent(each.back_at))
        for each in avoided
    )  # fmt: skip
    heads = ("Carrier", "Route for", "Since", "Messages", "Delivered", "Comes back at")
    return card("Carriers that routes avoid", grid("avoided", "Carriers that routes avoid", heads, rows, ""))


def _filters(by: Sequence[str], only: Mapping[str, str]) -> Tag:
    """Makes the links that divide the rows in another way, and the one that shows all carriers again."""
    choices = [("carrier",), ("carrier", "country"), ("carrier", "account"), KEYS]
    links: list[Content] = ["Each row is for one: "]
    for number_, keys in enumerate(choices):
        words = " and ".join(_NAMES[key].lower() for key in keys)
        links += [" · " if number_ else ""]
        links += [el("strong", words) if tuple(by) == tuple(keys) else _link(words, keys, only)]
    for key, value in only.items():
        if value:
            rest = {name: text for name, text in only.items() if name != key}
            links += [" · only ", el("strong", value), " (", _link("show all", by, rest), ")"]
    return el("p", *links)


def _link(words: str, by: Sequence[str], only: Mapping[str, str]) -> Tag:
    asked = {"by": ",".join(by), **{key: value for key, value in only.items() if value}}
    return el("a", words, href=f"{PATH}?{urlencode(asked)}")


def _row(row: QualityLook, by: Sequence[str]) -> Sequence[Content]:
    names: dict[str, Content] = {
        "carrier": el("td", link(row.carrier, "carriers", row.carrier)),
        "country": country_words(row.country),
        "account": el("td", "others" if row.account == "*" else link(row.account, "accounts", row.account)),
    }
    change = "–" if row.change is None else f"{100 * row.change:+.1f}"
    fell = word(change, "bad") if row.fell else change
    return (
        *(names[key] for key in by),
        number(row.recent.ended),
        el("td", _share(row.recent), class_="number"),
        el("td", fell, class_="number"),
        *_times(row.recent),
        number(row.week.ended),
        el("td", _share(row.week), class_="number"),
        *_times(row.week),
    )


def _share(span: SpanLook) -> str:
    if span.delivered_share is None and span.ended:
        return "no receipts"
    return percent(span.delivered_share)


def _times(span: SpanLook) -> tuple[Content, Content]:
    return (
        el("td", median(span.median_seconds), class_="number"),
        el("td", median(span.p95_seconds), class_="number"),
    )
