"""Makes questions about messages that are ready to be sent, and does what the decisions say."""

from collections.abc import Sequence

import msgspec

from relay.decisions.decision_service import Decider
from relay.smpp.message_codec import decode_message
from relay.text.from_handsets import read_part, text_of
from relay.values.decision import Decision, Question
from relay.values.messages import Submission, destination_of, source_of
from relay.values.pdus import CodecError
from relay.values.smpp_constants import SUBMIT_SM


def question_about(account: str, submission: Submission) -> Question:
    """Makes the question about a message. The texts of a long message's parts are joined."""
    texts: list[str] = []
    length = 0
    is_text = True
    for body in submission.parts:
        try:
            pdu = decode_message(SUBMIT_SM, 0, body)
        except CodecError:
            # Our own parts can be read. It costs the service nothing but the length if one can't.
            is_text = False
            continue
        octets = read_part(pdu).octets
        text = text_of(octets, pdu.data_coding)
        if text is None:
            is_text = False
            length += len(octets)
        else:
            texts.append(text)
            length += len(text)
    addresses = submission.addresses
    return Question(
        account,
        source_of(addresses).decode("latin-1"),
        destination_of(addresses).removeprefix(b"+").decode("latin-1"),
        length,
        "".join(texts) if is_text else None,
    )


def decided(submission: Submission, decision: Decision) -> Submission | int:
    """Changes a submission as the decision says. Returns the command_status if the message is refused."""
    if decision.refused is not None:
        return decision.refused.command_status
    if not (decision.tags or decision.source):
        return submission
    return msgspec.structs.replace(submission, tags=decision.tags, source=decision.source)


def decided_now(decider: Decider, account: str, wanted: Sequence[Submission | int]) -> list[Submission | int | None]:
    """Does what known decisions say. Statuses stay as they are.

    :return: in the same order; None for submissions about which the decision service must be asked.
    """
    submissions = [one for one in wanted if isinstance(one, Submission)]
    known = iter(decider.known([question_about(account, one) for one in submissions]))
    return [
        one if isinstance(one, int) else None if (decision := next(known)) is None else decided(one, decision)
        for one in wanted
    ]


async def decide_all(decider: Decider, account: str, wanted: Sequence[Submission | int]) -> list[Submission | int]:
    """Asks about all submissions, and does what the decisions say. Statuses stay as they are."""
    submissions = [one for one in wanted if isinstance(one, Submission)]
    decisions = iter(await decider.decide(account, [question_about(account, one) for one in submissions]))
    return [one if isinstance(one, int) else decided(one, next(decisions)) for one in wanted]
