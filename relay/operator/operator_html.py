"""The frame of the operator's pages, and the elements that several of them have.

The elements of My Account (`relay.account_pages.html`) and its style sheet are used here, too, so both look the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, button, document, el, notice, titled, top
from relay.account_pages.page_values import Flash
from relay.operator.operator_logins import Operator, role_for

#: The pages: path, name.
NAVIGATION: Final = (
    ("/", "Overview"),
    ("/page/carriers", "Carriers"),
    ("/page/quality", "Quality"),
    ("/page/accounts", "Accounts"),
    ("/page/messages", "Messages"),
    ("/page/inbound", "From handsets"),
    ("/page/receipts", "Receipts"),
    ("/page/traces", "Traces"),
    ("/page/configuration", "Configuration"),
    ("/page/audit", "Audit"),
)


class Frame(NamedTuple):
    """What every page shows around its content.

    :ivar token: proves that a form is ours.
    :ivar stands_by: whether another relay of the cluster works.
    :ivar troubles: how many things are wrong.
    :ivar flash: a message about the action that was just done.
    """

    token: str
    ready: bool
    troubles: int
    user: Operator
    flash: Flash | None = None
    stands_by: bool = False

    def why_not(self, *elements: str) -> str:
        """Says why the user can't do the action of a page; "": the user can.

        :param elements: the path of the page, without `/page/`.
        """
        if self.stands_by:
            return "Another relay of the cluster works. Do it there."
        return self.user.lacks(role_for(["page", *elements], reads=False))


def operator_page(frame: Frame, title: str, here: str, *content: Content) -> Tag:
    """Makes a page.

    :param here: the path in `NAVIGATION` to which it belongs.
    """
    state = "Stands by" if frame.stands_by else "Ready" if frame.ready else "Not ready"
    wrong = f"{frame.troubles} wrong" if frame.troubles else "nothing is wrong"
    kind = "bad" if not frame.ready and not frame.stands_by else "some" if frame.troubles or frame.stands_by else "good"
    me = el("div", el("a", f"{state}, {wrong}", href="/", class_=f"word {kind}"), id="state", class_="me",
            data_live=True)  # fmt: skip
    return document(
        f"{title} · SMS relay",
        *top(NAVIGATION, here, "Pages", me),
        titled(title, None if frame.flash is None else notice(frame.flash), *content),
        el("footer", el("span", "Times are UTC.", id="zone"), el("span", _who(frame.user)),
           el("a", "Metrics", href="/metrics"), el("a", "Health", href="/health/ready")),
        head=(el("link", rel="stylesheet", href="/page.css"), el("script", src="/page.js", defer=True)),
        class_="operator",
    )  # fmt: skip


def _who(user: Operator) -> str:
    """Says who looks. A user who may not do everything also learns why there are no buttons."""
    if user.may("configure"):
        return f"You are {user.name}."
    may = "look at everything and change nothing" if user.role == "view" else "do everything but configure"
    return f"You are {user.name}. Your role is {user.role}: you may {may}."


def grid(identity: str, caption: str, heads: Sequence[str], rows: Iterable[Sequence[Content]], empty: str) -> Tag:
    """Makes a table that is drawn again while somebody looks. In a narrow window each row is a list of its cells.

    :param identity: the id of the element.
    :param heads: the names of the columns; "" for one of buttons. That is left out if the user has no button in it.
    :param rows: the cells of each row: a text, a `td` or any other content.
    """
    cells = list(rows)
    if not cells:
        return el("div", el("p", empty, class_="empty"), id=identity, data_live=True)
    columns = [at for at, head in enumerate(heads) if head or any(_is_filled(row[at]) for row in cells)]
    body = [el("tr", *(_cell(row[at], heads[at], first=not at) for at in columns)) for row in cells]
    return el(
        "div",
        el(
            "table",
            el("caption", caption, class_="unseen"),
            el("thead", el("tr", *(el("th", head or el("span", "Actions", class_="unseen"), scope="col")
                                   for head in (heads[at] for at in columns)))),
            el("tbody", *body),
            class_="grid",
        ),
        id=identity,
        class_="scrolls",
        data_live=True,
        tabindex="0",
        role="region",
        aria_label=caption,
    )  # fmt: skip


def _is_filled(cell: Content) -> bool:
    return bool(cell.children) if isinstance(cell, Tag) else bool(cell)


def _cell(content: Content, head: str, *, first: bool) -> Tag:
    cell = content if isinstance(content, Tag) and content.tagName in ("td", "th") else el("td", content)
    if first:
        cell.tagName = "th"
        cell.attributes["scope"] = "row"
    cell.attributes["data-head"] = head
    return cell


def number(value: float, kind: str = "") -> Tag:
    """Makes the cell of a number. A narrow window leaves a 0 out.

    :param kind: "bad", "some" or "good".
    """
    text = f"{value:,.0f}" if value == int(value) or value >= 10 else f"{value:,.1f}"
    return el("td", text, class_=f"number {kind} {'' if value else 'nought'}".strip())


def word(text: str, kind: str) -> Tag:
    """Makes a coloured word: a state."""
    return el("span", text, class_=f"word {kind}")


def percent(share: float | None) -> str:
    """Writes a share: 98.5 %. None is a dash."""
    return "–" if share is None else f"{100 * share:.1f} %"


def path_of(*elements: str) -> str:
    """Makes the path of a page."""
    return "/page/" + "/".join(quote(element, safe="") for element in elements)


def link(text: str, *elements: str) -> Tag:
    """Makes a link to a page."""
    return el("a", text, href=path_of(*elements))


def search_link(text: str, **query: str) -> Tag:
    """Makes a link to a search for messages."""
    return el("a", text, href=f"/page/messages?{urlencode(query)}")


def action_link(frame: Frame, text: str, *elements: str, label: str | None = None) -> Tag | None:
    """Makes a link that looks like a button: to the page that asks before an action. None: the user can't do it.

    :param label: the name of the link for who can't see what it belongs to.
    """
    if frame.why_not(*elements):
        return None
    return el("a", text, href=path_of(*elements), class_="button small", aria_label=label)


def question(
    frame: Frame,
    text: Content,
    words: str,
    path: str,
    back: str,
    fields: Mapping[str, str] | None = None,
    controls: Sequence[Tag] = (),
) -> Tag:
    """Makes the card that asks before an action. Its form posts to the same path.

    :param words: the words of the button that does it.
    :param back: the path of the page to which `Cancel` leads.
    :param fields: further fields of the form, which nobody sees.
    :param controls: further fields of the form, which somebody fills in.
    """
    return el(
        "section",
        el("p", text) if isinstance(text, str) else text,
        el(
            "form",
            token(frame),
            *(el("input", type="hidden", name=name, value=value) for name, value in (fields or {}).items()),
            *controls,
            el("div", el("label", "Reason (for the record)", for_="reason"),
               el("input", id="reason", name="reason", maxlength="200", autocomplete="off"), class_="field"),
            el("div", button(words, kind="primary"), el("a", "Cancel", href=back, class_="button"), class_="buttons"),
            method="post",
            action=path,
        ),
        class_="card",
    )  # fmt: skip


def token(frame: Frame) -> Tag:
    """Makes the field that proves that a form is ours."""
    return el("input", type="hidden", name="csrf", value=frame.token)
