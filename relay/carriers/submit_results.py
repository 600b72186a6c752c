"""What a carrier's command_status to a submit_sm means for the message (SMPP 3.4 section 5.1.3)."""

import enum
from typing import Final

from relay.values import smpp_constants as c


class AnswerClass(enum.Enum):
    """What to do after an answer."""

    TAKEN = "taken"
    LATER = "later"
    ELSEWHERE = "elsewhere"
    REFUSED = "refused"


#: The carrier can't now. Kannel and Vumi treat these alike; ESME_RINVBNDSTS comes from carriers that are just
#: taking a session down.
_LATER: Final = frozenset({c.ESME_RTHROTTLED, c.ESME_RMSGQFUL, c.ESME_RSYSERR, c.ESME_RX_T_APPN, c.ESME_RINVBNDSTS})

#: The message itself is at fault, so that another carrier would only say the same.
_REFUSED: Final = frozenset(
    {
        c.ESME_RINVMSGLEN,
        c.ESME_RINVCMDLEN,
        c.ESME_RINVPRTFLG,
        c.ESME_RINVREGDLVFLG,
        c.ESME_RINVESMCLASS,
        c.ESME_RINVSCHED,
        c.ESME_RINVEXPIRY,
        c.ESME_RINVOPTPARSTREAM,
        c.ESME_RINVPARLEN,
        c.ESME_RMISSINGOPTPARAM,
        c.ESME_RINVOPTPARAMVAL,
    }
)


def class_of(command_status: int) -> AnswerClass:
    """The class of a submit_sm_resp's (or generic_nack's) command_status.

    A number that the specification doesn't name is the carrier's own reason: another carrier may not have it.
    """
    if command_status == c.ESME_ROK:
        return AnswerClass.TAKEN
    if command_status in _LATER:
        return AnswerClass.LATER
    if command_status in _REFUSED:
        return AnswerClass.REFUSED
    return AnswerClass.ELSEWHERE
