"""The operator's pages about the files of conf.d: all of them in a table, and one of them with what it gives."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, card, el, facts
from relay.config.entry_trees import IS_SET
from relay.config.yaml_writer import yaml_of
from relay.operator.entry_requests import PartFile, PartFilePage, PartState
from relay.operator.operator_html import grid, link, path_of, word

#: Files of one page.
FILES_SHOWN: Final = 100
_HEADS: Final = ("File", "Gives", "Keys", "State")
_WORDS: Final[dict[PartState, str]] = {
    "in use": "in use",
    "changed": "changed since the last reload",
    "new": "waits for a reload",
    "deleted": "deleted since the last reload",
}
#: What stands in the place of a secret.
_SECRET: Final = "(secret)"


def files_card(page: PartFilePage) -> Tag:
    """Makes the card with a table of files."""
    more = None
    if page.next is not None:
        query = urlencode({"after": page.next})
        more = el("p", el("a", "More files", href=f"{path_of('configuration', 'files')}?{query}", class_="button",
                          rel="next"), class_="more")  # fmt: skip
    return card(
        "Files of conf.d",
        el("p", "Each file in ", el("code", page.directory), " gives one account, carrier or route. The admin API "
           "writes them, and you may edit them.", class_="hint"),
        el("ul", *(el("li", line) for line in page.problems), class_="troubles") if page.problems else None,
        grid("files", "Files of conf.d", _HEADS, map(_row, page.files), "There is no file."),
        more,
    )  # fmt: skip


def _row(file: PartFile) -> Sequence[Content]:
    keys = ", ".join(file.settings or ())
    own = link(f"{file.table}/{file.name}.yaml", "configuration", "files", file.table, file.name)
    wrong = el("ul", *(el("li", line) for line in file.problems), class_="troubles") if file.problems else None
    return (
        el("td", own),
        _given(file),
        el("td", keys, class_="wide" if keys else "nought"),
        el("td", _state(file), wrong, class_="wide" if file.problems else None),
    )


def _given(file: PartFile) -> Content:
    """What the file gives, with a link if the relay uses it."""
    kind = file.table.removesuffix("s")
    if file.state == "new" or file.table == "routes":
        return f"{kind} {file.name}"
    return el("span", f"{kind} ", link(file.name, file.table, file.name))


def _state(file: PartFile) -> Tag:
    if file.problems:
        return word("wrong", "bad")
    return word(_WORDS[file.state], "good" if file.state == "in use" else "some")


def file_page(file: PartFile) -> list[Content]:
    """Makes the content of the page of one file."""
    said = facts((("File", el("code", file.file)), ("Gives", _given(file)), ("State", _state(file))))
    content: list[Content] = [card("File", said)]
    if file.problems:
        problems = el("ul", *(el("li", line) for line in file.problems), class_="troubles")
        content.append(card("What is wrong", problems))
    if file.settings is not None:
        text = yaml_of(_without_secrets(file.settings)) if file.settings else "It has no keys.\n"
        hint = f"Secrets are not shown: {_SECRET} stands in their place. Whatever is not here has its default."
        content.append(card("Its keys", el("pre", text, tabindex="0"), el("p", hint, class_="hint")))
    content.append(el("p", el("a", "Back", href=path_of("configuration"), class_="button"), class_="apart"))
    return content


def _without_secrets(tree: Any) -> Any:
    if tree == IS_SET:
        return _SECRET
    if isinstance(tree, dict):
        return {key: _without_secrets(value) for key, value in tree.items()}
    return [_without_secrets(value) for value in tree] if isinstance(tree, list) else tree
