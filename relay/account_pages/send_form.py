"""The form that sends a message, and what is wrong with the values in it."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import button, card, choice, el, field, form
from relay.account_pages.page_values import Session
from relay.text.compose import InvalidText, destination_address, encode, source_address

FIELDS: Final = ("to", "from", "text", "reference", "validity_seconds")

_VALIDITIES: Final = (
    ("", "As the relay is configured"),
    ("300", "5 minutes"),
    ("3600", "1 hour"),
    ("21600", "6 hours"),
    ("86400", "1 day"),
    ("259200", "3 days"),
    ("604800", "7 days"),
)

#: What people write between the digits of a number: blanks, hyphens and dashes, dots, slashes, parentheses.
_BETWEEN_DIGITS: Final = re.compile(r"[\s\-\u2010-\u2015.()/]+")
_NUMBER: Final = re.compile(r"\+?[0-9]+", re.ASCII)

_EMPTY: Final = "This must not be empty."


def plain_number(text: str) -> str:
    """Takes out what people write between the digits of a number. Other texts lose only blanks at their ends.

    The 0 in "+44 (0)20 7946 0958" goes, too: it is dialled only within the country.
    """
    digits = _BETWEEN_DIGITS.sub("", text.replace("(0)", ""))
    return digits if _NUMBER.fullmatch(digits) else text.strip()


def entered_values(fields: Mapping[str, str]) -> dict[str, str]:
    """The values of the form as the relay understands them."""
    values = {name: fields.get(name, "") for name in FIELDS}
    return values | {"to": plain_number(values["to"]), "from": plain_number(values["from"])}


def problems_of(values: Mapping[str, str], default_sender: str) -> dict[str, str]:
    """What is wrong with the fields that are always needed: a sentence for each wrong one.

    :param default_sender: the sender if the customer names none; "": one must be named.
    """
    checks: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("to", destination_address),
        ("from", source_address),
        ("text", encode),
    )
    problems = {}
    for name, check in checks:
        value = values[name] or (default_sender if name == "from" else "")
        try:
            if value:
                check(value)
            else:
                problems[name] = _EMPTY
        except InvalidText as problem:
            problems[name] = problem.reason
    return problems


def send_card(
    session: Session,
    values: Mapping[str, str],
    *,
    problems: Mapping[str, str] | None = None,
    size: str = "",
    default_sender: str = "",
    test_numbers: Mapping[str, str] | None = None,
) -> Tag:
    """Makes the form for a message.

    :param values: the values that the customer has entered.
    :param problems: what is wrong with each field; "" names the form as a whole.
    :param size: how long the text is, in words.
    :param test_numbers: the account's numbers that no carrier sees, and the status in which messages to each end.
    """
    wrong = problems or {}
    elsewhere = [words for name, words in wrong.items() if name not in FIELDS]
    return card(
        "New message",
        el("p", " ".join(elsewhere), class_="notice bad", role="alert") if elsewhere else None,
        form(
            session,
            "/my/send",
            field(
                "To",
                "to",
                el("input", type="tel", value=values.get("to", ""), placeholder="+44 7700 900123", required=True,
                   maxlength="40", autocomplete="off"),
                hint="With the country code. Spaces and dashes don't matter.",
                problem=wrong.get("to", ""),
            ),
            field(
                "From",
                "from",
                el("input", type="text", value=values.get("from", ""), placeholder=default_sender or "RELAY",
                   required=not default_sender, maxlength="40", autocomplete="off", spellcheck="false"),
                hint="A number, or up to 11 letters and digits."
                + (f" If it is empty: {default_sender}." if default_sender else ""),
                problem=wrong.get("from", ""),
            ),
            field(
                "Text",
                "text",
                el("textarea", values.get("text", ""), rows="4", maxlength="10000", required=True, data_counted=True),
                hint=["Long texts are sent in parts. ", el("output", size, id="size")],
                problem=wrong.get("text", ""),
            ),
            field(
                "Reference",
                "reference",
                el("input", type="text", value=values.get("reference", ""), maxlength="200", autocomplete="off",
                   spellcheck="false"),
                hint="A name of your own, such as an order number. It may stay empty. Notifications repeat it.",
                problem=wrong.get("reference", ""),
            ),
            field(
                "Validity",
                "validity_seconds",
                choice(_VALIDITIES, values.get("validity_seconds", "")),
                hint="After this time nobody tries any more to deliver the message.",
                problem=wrong.get("validity_seconds", ""),
            ),
            el("div", button("Send message", "send", "primary"), button("Count characters", "count", "no-script"),
               class_="buttons"),
            novalidate=True,
        ),
        el("p", "Test numbers, which no carrier sees: ",
           ", ".join(f"{number} ends as {status}" for number, status in test_numbers.items()), ".", class_="hint")
        if test_numbers else None,
    )  # fmt: skip
