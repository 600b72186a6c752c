"""The share of a carrier that an account may have."""

from typing import Final, NamedTuple


class AccountShare(NamedTuple):
    """The share of a carrier that an account may have while several accounts wait for it.

    :ivar weight: how many parts it may send in one turn.
    :ivar priority: the priority of messages that name none.
    :ivar highest_priority: up to this priority its messages go before other accounts' messages of a lower priority.
    """

    weight: int = 1
    priority: int = 0
    highest_priority: int = 0


#: The share of an account that the configuration doesn't have any more.
NO_SHARE: Final = AccountShare()
