"""Says when a message goes to another carrier, because one could not deliver it."""

import msgspec


class FailoverRule(msgspec.Struct, frozen=True, array_like=True):
    """The conditions under which a message goes to another carrier. Messages of one route share one rule.

    The journal has it in this form, so a new field may only be added at the end, with a default.

    :ivar states: the final states after which the message goes on.
    :ivar errors: the carrier's errors after which it does; empty: after all.
    :ivar no_receipt_seconds: how long the relay waits for a final receipt before the message goes on; 0.0: the message
        doesn't go on for this reason.
    :ivar times: how often the message goes on.
    """

    states: tuple[int, ...]
    errors: tuple[bytes, ...] = ()
    no_receipt_seconds: float = 0.0
    times: int = 1

    def applies(self, state: int, error: bytes) -> bool:
        """Whether a message goes to another carrier after this final state, with this error of the carrier."""
        return state in self.states and (not self.errors or error in self.errors)
