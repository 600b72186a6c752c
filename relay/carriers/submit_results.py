"""Says what a carrier's command_status in submit_sm_resp means for the message (SMPP 3.4 section 5.1.3)."""

import enum
from typing import Final

from relay.values import smpp_constants as c


class AnswerClass(enum.Enum):
    """The class of a response: what the relay does after it."""

    TAKEN = "taken"
    LATER = "later"
    ELSEWHERE = "elsewhere"
    REFUSED = "refused"


#: The carrier can't take the message now. Kannel and Vumi handle these in the same way. Carriers that are about to end
#: a session send ESME_RINVBNDSTS.
_LATER: Final = frozenset({c.ESME_RTHROTTLED, c.ESME_RMSGQFUL, c.ESME_RSYSERR, c.ESME_RX_T_APPN, c.ESME_RINVBNDSTS})

#: The message itself is wrong, so another carrier would refuse it, too.
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
    """The class of the command_status in a submit_sm_resp or generic_nack.

    If the specification doesn't name the number, the carrier has a reason of its own. Another carrier may take it.
    """
    if command_status == c.ESME_ROK:
        return AnswerClass.TAKEN
    if command_status in _LATER:
        return AnswerClass.LATER
    if command_status in _REFUSED:
        return AnswerClass.REFUSED
    return AnswerClass.ELSEWHERE
