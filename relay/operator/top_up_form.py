"""The two pages that top an account's balance up: the first asks for the amount, the second whether it is right."""

from collections.abc import Mapping, Sequence

import msgspec
from twisted.web.template import Tag

from relay.account_pages.html import button, el, facts, field, moment
from relay.charging.statement import Statement
from relay.operator.action_questions import QUESTIONS
from relay.operator.balances import KeyRefusal, TopUpRequest, check_same
from relay.operator.operator_html import Frame, path_of, question
from relay.operator.refusal import Refusal
from relay.values.amounts import amount_text
from relay.values.charge import TopUp

_KEY_HINT = (
    "Your own name for the payment, such as the number of an invoice, without spaces. A second top-up with the same "
    "key changes nothing."
)


def wanted_top_up(fields: Mapping[str, str], reason: str = "") -> TopUpRequest:
    """Reads the fields of a form.

    :raises KeyRefusal: the key is missing, too long, or has spaces.
    """
    asked = {"amount": fields.get("amount", ""), "key": fields.get("key", ""), "reason": reason}
    try:
        return msgspec.convert(asked, TopUpRequest)
    except msgspec.ValidationError:
        raise KeyRefusal("the key must have 1 to 100 letters, digits or signs, without spaces", 422) from None


def top_up_form(account: str, found: Statement, asked: Mapping[str, str], problem: Refusal | None = None) -> Tag:
    """Makes the form for the amount. It only leads to the question, so it changes nothing.

    :param asked: what was filled in before.
    :param problem: what is wrong with that.
    """
    words = "" if problem is None else f"{problem}"
    said, of_key = words[:1].upper() + words[1:], isinstance(problem, KeyRefusal)
    amount = el("input", value=asked.get("amount", ""), inputmode="decimal", required=True, maxlength="20",
                autocomplete="off")  # fmt: skip
    key = el("input", value=asked.get("key", ""), required=True, maxlength="100", autocomplete="off",
             spellcheck="false")  # fmt: skip
    return el(
        "section",
        el("p", f"The balance of {account} is {found.balance_text} {found.currency}."),
        el(
            "form",
            field(f"Amount in {found.currency}", "amount", amount, hint="Below 0 it is a correction.",
                  problem="" if of_key else said),
            field("Key", "key", key, hint=_KEY_HINT, problem=said if of_key else ""),
            el("div", button("Go on", kind="primary"),
               el("a", "Cancel", href=path_of("accounts", account), class_="button"), class_="buttons"),
            method="get",
            action=path_of("accounts", account, "top-up"),
            class_="stack",
        ),
        class_="card",
    )  # fmt: skip


def top_up_question(frame: Frame, top_up: TopUp, balance: int, earlier: Sequence[TopUp]) -> Tag:
    """Makes the page that shows what a top-up would do, and asks whether to do it.

    :param balance: the present one.
    :param earlier: the top-ups of the account before.
    :raises KeyRefusal: the key was used for another amount.
    """
    same = [known for known in earlier if known.key == top_up.key]
    for known in same:
        check_same(known, top_up)
    rows = [
        ("Account", top_up.account),
        ("Amount", f"{amount_text(top_up.amount)} {top_up.currency}"),
        ("Key", top_up.key),
        ("Balance now", f"{amount_text(balance)} {top_up.currency}"),
        ("Balance then", f"{amount_text(balance + (0 if same else top_up.amount))} {top_up.currency}"),
    ]
    used = el("p", "This key was used before, on ", moment(same[0].at), ". Nothing will be added.") if same else None
    text = el("div", facts(rows), used, class_="stack")
    here, own = path_of("accounts", top_up.account, "top-up"), path_of("accounts", top_up.account)
    fields = {"amount": amount_text(top_up.amount), "key": top_up.key}
    return question(frame, text, QUESTIONS["accounts", "top-up"].words, here, own, fields)
