"""Finds routes that ask for a tag that nothing gives, because it is misspelt.

The configuration alone can't tell: the tags of a list with columns are in its file, and a decision service may give any
word. So what is found here is a note, never a reason to refuse the file.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from relay.config.model import Config
from relay.routing.number_lists import NumberLists

#: With so many tags a hint says little, and a look at all of them would take long.
_MOST_COMPARED: Final = 1_000
#: A word of fewer letters is misspelt if one of them is wrong; a longer one, if it is one or two.
_SHORT_LETTERS: Final = 6


def unknown_tags(config: Config, lists: NumberLists | None) -> list[str]:
    """Finds the routes whose tag no list gives. Returns one sentence for each.

    With a decision service nobody can know the tags. Then only those routes are found whose tag is nearly one of the
    lists'.

    :param lists: the lists of this configuration, as they were read; None: it has none.
    """
    return list(_unknown_tags(config, lists))


def _unknown_tags(config: Config, lists: NumberLists | None) -> Iterator[str]:
    given = lists.given_tags() if lists is not None else frozenset()
    for index, route in enumerate(config.routes):
        if not route.tag or route.tag in given:
            continue
        near = _nearest(route.tag, given)
        if not config.decisions.url:
            hint = f"; did you mean {near!r}?" if near else ""
            yield f"routes[{index}].tag: no line of the lists gives the tag {route.tag!r} now{hint}"
        elif near:
            yield (
                f"routes[{index}].tag: no list gives the tag {route.tag!r}, but one gives {near!r}; if the decision "
                "service doesn't give it, it is misspelt"
            )


def _nearest(word: str, known: Collection[str]) -> str:
    """The first known word, in their order, that differs from a word by a letter or two; "": there is none."""
    most = 1 if len(word) < _SHORT_LETTERS else 2
    for other in islice(sorted(known), _MOST_COMPARED):
        if abs(len(word) - len(other)) <= most and _distance(word.lower(), other.lower()) <= most:
            return other
    return ""


def _distance(one: str, other: str) -> int:
    """How many letters must be put in, left out, changed, or exchanged with the next one, so that both are equal."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        this = [row]
        for column, against in enumerate(other, 1):
            cost = min(last[column] + 1, this[-1] + 1, last[column - 1] + (letter != against))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == against:
                cost = min(cost, before[column - 2] + 1)
            this.append(cost)
        before, last = last, this
    return last[-1]
