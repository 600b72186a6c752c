"""What this relay asks before it sends anything to a carrier or a customer: whether it may do so now."""

from typing import Final, Protocol


class WorkGate(Protocol):
    """Says whether this relay may send. A relay in a cluster may not while another one could have taken over."""

    @property
    def open(self) -> bool:
        """Whether it may send at this instant."""


class _AlwaysOpen:
    """The gate of a relay that is alone."""

    open: Final = True


ALWAYS_OPEN: Final[WorkGate] = _AlwaysOpen()
