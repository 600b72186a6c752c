"""The pages about the configuration: the last reload, what a reload would do, and the route of a message."""

from collections.abc import Iterable, Mapping, Sequence

from twisted.web.template import Tag

from relay.account_pages.html import Content, card, choice, el, moment
from relay.config.changes import Change, ReloadResult
from relay.operator.actions import AuditRecord
from relay.operator.operator_html import Frame, action_link, grid, path_of, question, word
from relay.routing.explanation import Explanation, RouteNow, words
from relay.routing.routes import CompiledRoute, Routes

_ROUTE_HEADS = ("Route", "Takes", "Carriers", "")
_ROUTE_FIELDS = (
    ("from", "From", ""),
    ("to", "To", "447700900123"),
    ("tags", "Tags of a decision", "gold, bulk"),
    ("at", "At (empty: now)", "2026-03-01T22:30Z"),
)


def configuration_page(
    frame: Frame,
    last: ReloadResult | None,
    accounts: Sequence[str],
    routes: Routes,
    asked: Mapping[str, str],
    explained: Explanation | str | None,
) -> list[Content]:
    """Makes the content of the page.

    :param last: how the last reload went; None: there was none since the start.
    :param asked: what the form about a route was sent with.
    :param explained: the answer to it; a text: what is wrong with it; None: nothing was asked.
    """
    shown = (_route(frame, route) for route in routes.compiled)
    return [
        card(
            "The configuration file",
            el("div", *_last(last), id="reload", data_live=True),
            el("div", el("a", "Check the file", href=path_of("configuration", "reload"), class_="button primary"),
               class_="buttons"),
            el("p", "The next page says what a reload would change, and asks before it does it.", class_="hint"),
        ),
        card("Which carriers a message would go to", _route_form(accounts, asked), *_explained(explained)),
        card("Routes", grid("routes", "Routes", _ROUTE_HEADS, shown, "There is no route.")),
    ]  # fmt: skip


def _route(frame: Frame, route: CompiledRoute) -> Sequence[Content]:
    carriers = ", then ".join(place if isinstance(place, str) else " or ".join(place) for place in route.route.carriers)
    label = f"Purge the messages of routes[{route.index}]"
    purge = action_link(frame, "Purge", "routes", str(route.index), "purge", label=label)
    return f"routes[{route.index}]", el("td", words(route.route), class_="wide"), carriers, el("td", purge)


def _last(last: ReloadResult | None) -> list[Content]:
    if last is None:
        return [el("p", "There was no reload since the start of the relay.")]
    if last.applied:
        return [el("p", "The last reload was at ", moment(last.at), ", and was applied."), *_changes(last.changes)]
    return [
        el("p", "The last reload was at ", moment(last.at), ". ", word("The file was refused", "bad"),
           ", and the old configuration holds:"),
        problems(last.problems),
    ]  # fmt: skip


def problems(lines: Iterable[str]) -> Tag:
    """Makes the list of what is wrong in the file."""
    return el("ul", *(el("li", line) for line in lines), class_="troubles")


def _changes(changes: Sequence[Change]) -> list[Content]:
    if not changes:
        return [el("p", "Nothing differs from the configuration in use.", class_="empty")]
    return [
        el(
            "ul",
            *(
                el(
                    "li",
                    el("code", change.key),
                    f": {change.what}",
                    None if change.live else word(" (needs a restart)", "some"),
                )
                for change in changes
            ),
        )
    ]


def reload_page(frame: Frame, result: ReloadResult) -> list[Content]:
    """Makes the content of the page that asks before a reload.

    :param result: what a reload would do now.
    """
    back = path_of("configuration")
    if result.problems:
        return [
            card(
                "The file can't be used",
                problems(result.problems),
                el(
                    "div",
                    el("a", "Check again", href=path_of("configuration", "reload"), class_="button primary"),
                    el("a", "Back", href=back, class_="button"),
                    class_="buttons",
                ),
            )
        ]
    if said := frame.why_not("configuration", "reload"):
        last = card("The file is right", el("p", said), el("p", el("a", "Back", href=back, class_="button")))
    else:
        last = question(frame, "The file is right.", "Reload", path_of("configuration", "reload"), back)
    return [
        card("What a reload would change", *_changes(result.changes)),
        last,
    ]


def _route_form(accounts: Sequence[str], asked: Mapping[str, str]) -> Tag:
    account = choice([(name, name) for name in accounts], asked.get("account", ""))
    account.attributes |= {"id": "route-account", "name": "account"}
    fields = [el("div", el("label", "Account", for_="route-account"), account, class_="field")]
    for name, label, hint in _ROUTE_FIELDS:
        control = el(
            "input",
            id=f"route-{name}",
            name=name,
            value=asked.get(name, ""),
            maxlength="40",
            placeholder=hint or None,
            required=name == "to",
            autocomplete="off",
            spellcheck="false",
        )
        fields.append(el("div", el("label", label, for_=f"route-{name}"), control, class_="field"))
    return el("form", *fields, el("div", el("button", "Explain", type="submit"), class_="buttons"), method="get",
              action=path_of("configuration"), class_="filters")  # fmt: skip


def _explained(explained: Explanation | str | None) -> list[Content]:
    if explained is None:
        return []
    if isinstance(explained, str):
        return [el("p", explained, class_="wrong", role="alert", id="route-found")]
    return [
        el("p", word(explained.decision, "" if explained.carriers else "bad"), id="route-found"),
        *_now(explained.now),
        el("ul", *(el("li", f"{step.route} ({step.asks_for}): {step.verdict}") for step in explained.steps)),
    ]


def _now(now: RouteNow | None) -> list[Content]:
    """What the running relay would do now."""
    if now is None:
        return []
    against = [el("li", el("strong", each.carrier), f": {each.words}") for each in now.carriers if each.reasons]
    return [
        el("p", word(now.decision, "" if now.carrier else "bad"), id="route-now"),
        el("ul", *against) if against else None,
    ]


def audit_page(records: Sequence[AuditRecord]) -> list[Content]:
    """Makes the content of the page about what operators did."""
    rows = (
        (moment(record.at), record.what, el("td", record.reason, class_="wide"), record.user, record.peer)
        for record in records
    )
    heads = ("At", "Action", "Reason", "User", "From")
    table = grid("audit", "Actions of operators", heads, rows, "Nobody has done anything.")
    return [el("section", table, class_="card")]
