"""Test numbers: messages to them end as the configuration says, and no carrier sees them."""

from collections.abc import Callable, Mapping
from typing import Final

from relay.config.account_config import Account
from relay.values.messages import destination_of
from relay.values.states import DELETED, DELIVERED, EXPIRED, REJECTED, UNDELIVERABLE, UNKNOWN

_STATES: Final = {
    "DELIVRD": DELIVERED,
    "EXPIRED": EXPIRED,
    "DELETED": DELETED,
    "UNDELIV": UNDELIVERABLE,
    "UNKNOWN": UNKNOWN,
    "REJECTD": REJECTED,
}


class SetEnding(tuple[str, ...]):
    """Takes the place of the carriers of a message to a test number. It names none of them.

    :ivar status: the status in which the message ends, as in `Account.test_numbers`; likewise `state`.
    """

    status: str
    state: int


def _ending(status: str) -> SetEnding:
    # An empty tuple would mean that no route leads there. No carrier has an empty name.
    ending = SetEnding(("",))
    ending.status, ending.state = status, _STATES[status]
    return ending


#: Each status has one object, so that neighbouring messages of a batch share it.
_ENDINGS: Final = {status: _ending(status) for status in _STATES}

#: An account's test numbers: digits, and how a message to them ends.
Endings = Mapping[bytes, SetEnding]


#: No account has test numbers.
NO_ENDINGS: Final[Mapping[str, Endings]] = {}


def endings_of(accounts: Mapping[str, Account]) -> dict[str, Endings]:
    """The test numbers of each account that has any."""
    return {
        name: {number.lstrip("+").encode(): _ENDINGS[status] for number, status in account.test_numbers.items()}
        for name, account in accounts.items()
        if account.test_numbers
    }


def or_carriers(numbers: Endings, find: Callable[[bytes], tuple[str, ...]], addresses: bytes) -> tuple[str, ...]:
    """The ending of a message to a test number, or the carriers of another message.

    :param find: finds the carriers.
    """
    return ending_of(numbers, addresses) or find(addresses)


def ending_of(numbers: Endings, addresses: bytes) -> SetEnding | None:
    """The ending of a message to a test number. None: it is another number."""
    return numbers.get(destination_of(addresses).lstrip(b"+"))
