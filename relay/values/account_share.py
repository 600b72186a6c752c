"""What an account may have of a carrier."""

from typing import Final, NamedTuple


class AccountShare(NamedTuple):
    """What an account may have of a carrier for which several wait.

    :ivar weight: how many parts it may send in one of its turns.
    :ivar priority: of messages that name none.
    :ivar highest_priority: up to here its messages go before other accounts' of a lower priority.
    """

    weight: int = 1
    priority: int = 0
    highest_priority: int = 0


#: Of an account that the configuration doesn't have any more.
NO_SHARE: Final = AccountShare()
