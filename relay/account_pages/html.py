"""Makes pages of tags: the frame of all pages, and the elements in them."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from twisted.web.template import Tag

from relay.account_pages.page_values import Flash, Session
from relay.values.instants import instant

#: The parts of the site: path, name, and the beginning of the paths of its pages.
NAVIGATION: Final = (
    ("/", "Overview"),
    ("/my/messages", "Messages"),
    ("/my/settings", "Settings"),
    ("/my/send", "Send"),
    ("/my/access", "Access"),
)

Content = Any


def el(element: str, /, *children: Content, **attributes: object) -> Tag:
    """Makes an element. Attributes that are None or False are left out; `data_id` is written `data-id`."""
    written: dict[Any, Any] = {}
    for attribute, value in attributes.items():
        if value is None or value is False:
            continue
        written[attribute.rstrip("_").replace("_", "-")] = "" if value is True else str(value)
    tag = Tag(element, attributes=written)
    tag.children.extend(child for child in children if child is not None)
    return tag


class Markup:
    """Markup that is written without escapes. Only for markup that the relay itself has made."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def flatten(tag: Tag) -> bytes:
    """Writes a whole document. The octets are those that `flattenString` of twisted.web.template would write.

    `flattenString` can wait for parts of a page, which we don't need. It takes 65 ms for a list of fifty messages, and
    the relay could send no messages meanwhile. This takes 1 ms.
    """
    out = ["<!DOCTYPE html>\n"]
    _write(tag, out.append)
    return "".join(out).encode()


def _write(node: Content, write: Callable[[str], object]) -> None:
    if isinstance(node, str):
        write(node.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    elif isinstance(node, Tag):
        name = node.tagName
        # A tag's name may be of other types, too, but `el` makes only strings.
        assert isinstance(name, str)
        written = [f' {key!s}="{_attribute(value)}"' for key, value in node.attributes.items()]
        if name in _VOID:
            write(f"<{name}{''.join(written)} />")
            return
        write(f"<{name}{''.join(written)}>")
        for child in node.children:
            _write(child, write)
        write(f"</{name}>")
    elif isinstance(node, Markup):
        write(node.text)
    else:
        for child in node:
            _write(child, write)


def _attribute(value: Any) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


def page(
    session: Session,
    title: str,
    here: str,
    *content: Content,
    flash: Flash | None = None,
    alarm: Tag | None = None,
    **body: object,
) -> Tag:
    """Makes a page for a customer who is logged in.

    :param here: the path in `NAVIGATION` to which it belongs.
    :param flash: the message at its top.
    :param alarm: what is wrong with the account's notifications.
    :param body: attributes of the body element.
    """
    me = el(
        "div",
        el("span", session.account, class_="who", title="You are logged in as this account"),
        form(session, "/logout", el("button", "Log out", class_="quiet"), class_="inline"),
        class_="me",
    )
    return document(
        f"{title} · {session.account}",
        *top(NAVIGATION, here, "Account", me),
        titled(title, alarm, None if flash is None else notice(flash), *content),
        el("p", id="said", class_="unseen", aria_live="polite", role="status"),
        el(
            "footer",
            el("span", "Times are UTC.", id="zone"),
            el("a", "API documentation", href="/docs"),
            el("a", "OpenAPI", href="/openapi.json"),
        ),
        head=(),
        **body,
    )


def top(navigation: Iterable[tuple[str, str]], here: str, label: str, me: Tag) -> list[Tag]:
    """Makes what is above the content of a page: the link that skips it, and the bar with the links to other pages.

    :param navigation: the path and name of each page.
    :param here: the path of the page to which this one belongs.
    :param label: what a screen reader calls the links.
    :param me: who is logged in.
    """
    links = [
        el("a", name, href=path, class_="tab", aria_current="page" if path == here else None)
        for path, name in navigation
    ]
    bar = el("div", brand(), el("nav", *links, aria_label=label), me, class_="bar")
    return [el("a", "Skip to content", href="#content", class_="skip"), el("header", bar, class_="top")]


def titled(title: str, *content: Content) -> Tag:
    """Makes the main part of a page: its title, the sign that it is live, and its content."""
    dot = el("span", class_="dot", aria_hidden="true")
    live = el("p", dot, el("span", "Live", id="live-text"), id="live", class_="live", hidden=True)
    heading = el("div", el("h1", title), live, class_="heading")
    return el("main", heading, *content, id="content", tabindex="-1")


def document(title: str, *content: Content, head: Iterable[Tag] = (), **body: object) -> Tag:
    """Makes the html element around a body.

    :param head: further elements of the head.
    """
    return el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("title", title),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("link", rel="icon", href="/my/icon.svg", type="image/svg+xml"),
            el("link", rel="stylesheet", href="/my/page.css"),
            el("script", src="/my/page.js", defer=True),
            *head,
        ),
        el("body", *content, **body),
        lang="en",
    )


def brand() -> Tag:
    """The relay's name and logo, with a link to the overview."""
    return el("a", el("img", src="/my/icon.svg", alt="", width="24", height="24"), el("span", "SMS Relay"),
              href="/", class_="brand")  # fmt: skip


def form(session: Session, action: str, *content: Content, **attributes: object) -> Tag:
    """Makes a form that posts, with the token that proves that the form is ours."""
    token = el("input", type="hidden", name="csrf", value=session.csrf)
    return el("form", token, *content, method="post", action=action, **attributes)


def card(title: str, *content: Content, **attributes: object) -> Tag:
    """Makes a part of a page with a frame and a title."""
    attributes.setdefault("class_", "card")
    return el("section", el("h2", title), *content, **attributes)


def facts(rows: Iterable[tuple[str, Content]], **attributes: object) -> Tag:
    """Makes a list of names and values."""
    items = (item for name, value in rows for item in (el("dt", name), el("dd", value)))
    return el("dl", *items, class_="facts", **attributes)


def field(label: str, name: str, control: Tag, *, hint: Content = None, problem: str = "") -> Tag:
    """Makes a control with its label, a hint, and the problem of its value. A control with a problem gets the focus."""
    control.attributes["id"] = name
    control.attributes["name"] = name
    described = [f"{name}-problem"] if problem else []
    if problem:
        control.attributes["aria-invalid"] = "true"
        # The browser scrolls to the first of these, and puts the cursor there.
        control.attributes["autofocus"] = ""
    if hint is not None:
        described.append(f"{name}-hint")
    if described:
        control.attributes["aria-describedby"] = " ".join(described)
    return el(
        "div",
        el("label", label, for_=name),
        control,
        el("p", problem, id=f"{name}-problem", class_="wrong", role="alert") if problem else None,
        el("p", hint, id=f"{name}-hint", class_="hint") if hint is not None else None,
        class_="field",
    )


def choice(options: Iterable[tuple[str, str]], chosen: str) -> Tag:
    """Makes a select element.

    :param options: the value and the words of each.
    """
    return el("select", *(el("option", words, value=value, selected=value == chosen) for value, words in options))


def button(words: str, action: str | None = None, kind: str = "") -> Tag:
    """Makes a submit button.

    :param action: the value of the form's field `action` if this button was pressed.
    """
    name = None if action is None else "action"
    return el("button", words, type="submit", name=name, value=action, class_=kind or None)


def notice(flash: Flash) -> Tag:
    """Makes the message about the action that was just done."""
    return el(
        "div",
        el("p", flash.text),
        facts(flash.facts) if flash.facts else None,
        el("pre", flash.body, tabindex="0", aria_label="The beginning of the answer") if flash.body else None,
        el("p", copied("secret", flash.secret), class_="secret") if flash.secret else None,
        class_="notice good" if flash.good else "notice bad",
        role="status" if flash.good else "alert",
    )


def copied(name: str, text: str) -> list[Content]:
    """Makes a text with a button that copies it. The button needs the script, and is hidden without it.

    :param name: the id of the text, once on a page.
    """
    return [
        el("code", text, id=name),
        " ",
        el("button", "Copy", type="button", class_="quiet small", data_copy=name, hidden=True),
    ]


def badge(send_status: str) -> Tag:
    """Makes a coloured send_status."""
    return el("span", send_status, class_=f"badge {send_status}")


def moment(seconds: float) -> Tag:
    """Makes an instant for people to read. In a browser with JavaScript it changes to the reader's time zone."""
    at = datetime.fromtimestamp(seconds, UTC)
    return el(
        "time",
        el("span", at.strftime("%d %b %Y"), class_="date"),
        " ",
        el("span", at.strftime("%H:%M"), el("span", at.strftime(":%S"), class_="seconds"), class_="clock"),
        datetime=instant(seconds),
        title=at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def duration(seconds: float) -> str:
    """Writes a length of time for people to read: 35 ms, 1.2 s, 3 min, 5 h, 2 d."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    for limit, size, unit in ((7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
