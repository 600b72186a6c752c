"""Writes requests to the decision service, and reads its answers. docs/decision-service.md describes both."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from relay.text.compose import InvalidText, source_address
from relay.values.decision import Decision, Question
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RSUBMITFAIL, status_numbers

#: The kind of a problem that a refusal makes over HTTP.
REFUSED_KIND: Final = "refused"
_STATUS_NUMBERS: Final = status_numbers()


class _Asked(msgspec.Struct, frozen=True):
    account: str
    from_: str = field(name="from")
    to: str
    length: int
    text: str | UnsetType | None = UNSET


class _Request(msgspec.Struct, frozen=True):
    messages: Sequence[_Asked]


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One decision, as the service writes it."""

    tags: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=16)] = field(
        default_factory=list
    )
    from_: str = field(name="from", default="")
    refuse: Annotated[str, Meta(max_length=500)] = ""
    smpp_status: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)] | str = ""
    cache_seconds: Annotated[float, Meta(ge=0)] = 0.0


class _Answers(msgspec.Struct, frozen=True):
    decisions: list[_Answer]


_read: Final = msgspec.json.Decoder(_Answers).decode


def request_body(questions: Sequence[Question], *, with_text: bool) -> bytes:
    """Writes the body of a request."""
    return msgspec.json.encode(
        _Request([_Asked(q.account, q.sender, q.to, q.length, q.text if with_text else UNSET) for q in questions])
    )


def read_decisions(body: bytes, count: int) -> list[tuple[Decision, float]]:
    """Reads the body of an answer: each decision, and for how many seconds it may be kept. Keeps the order.

    :param count: how many questions the request had.
    :raises ValueError: the body isn't what docs/decision-service.md describes. The error's text says what is wrong, and
        never repeats a number or a text.
    """
    try:
        answers = _read(body).decisions
    except msgspec.ValidationError as problem:
        raise ValueError(f"its answer is wrong: {problem}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("its answer isn't JSON") from None
    if len(answers) != count:
        raise ValueError(f"it gave {len(answers)} decisions about {count} messages")
    return [(_decision(answer, f"decisions[{index}]"), answer.cache_seconds) for index, answer in enumerate(answers)]


def _decision(answer: _Answer, where: str) -> Decision:
    refused = None
    if answer.refuse:
        refused = Refused(_status(answer.smpp_status, where), "", answer.refuse, kind=REFUSED_KIND)
    elif answer.smpp_status:
        raise ValueError(f"its answer is wrong: {where} has an smpp_status, but no reason to refuse the message")
    source = b""
    if answer.from_:
        try:
            source = source_address(answer.from_)
        except InvalidText as problem:
            raise ValueError(f"its answer is wrong: {where}.from: {problem.reason}") from None
    return Decision(tuple(answer.tags), source, refused)


def _status(status: int | str, where: str) -> int:
    if isinstance(status, int):
        return status
    if not status:
        return ESME_RSUBMITFAIL
    number = _STATUS_NUMBERS.get(status, 0)
    if not number:
        raise ValueError(f"its answer is wrong: {where}.smpp_status is no error of SMPP 3.4, such as ESME_RINVDSTADR")
    return number
