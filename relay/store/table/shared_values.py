"""Gives the rows of the table one object for values that are equal, so that memory has them once.

An object that many rows refer to costs each of them nothing, and the garbage collector tracks none of these.
"""

from typing import Final

from relay.store.table.entry_values import NO_CARRIER_ERROR, NOTHING_LEARNT, CarrierError, LatestState
from relay.values.network_errors import network_error_text

#: How many different errors are shared between rows. Beyond it, each row has its own.
_CARRIER_ERRORS_SHARED: Final = 4096
#: How many different lengths of time are shared between rows. Beyond it, sharing begins anew.
_SECONDS_SHARED: Final = 4096
#: How many octets of a carrier's error are kept.
_ERROR_BYTES_KEPT: Final = 64


class SharedValues:
    """The values that were made for rows, to be used again."""

    def __init__(self) -> None:
        self._carrier_errors: dict[bytes | tuple[bytes, ...], CarrierError] = {}
        self._latest = NOTHING_LEARNT
        self._seconds: dict[float, float] = {}

    def carrier_error(self, error: bytes, network_error_code: bytes, stat: bytes = b"") -> CarrierError:
        """The shared value for a carrier's words. If there is no err, the network's error takes its place."""
        key: bytes | tuple[bytes, ...]
        if stat:
            key = (error, network_error_code, stat)
        elif not error and not network_error_code:
            return NO_CARRIER_ERROR
        else:
            key = error if not network_error_code else (error, network_error_code)
        carrier_error = self._carrier_errors.get(key)
        if carrier_error is None:
            kept = _ERROR_BYTES_KEPT
            error = error or network_error_text(network_error_code)
            carrier_error = CarrierError(error[:kept], network_error_code[:kept], stat[:kept])
            if len(self._carrier_errors) < _CARRIER_ERRORS_SHARED:
                self._carrier_errors[key] = carrier_error
        return carrier_error

    def latest_state(
        self, state: int, carrier_error: CarrierError, done_at: float, carrier_done_at: float
    ) -> LatestState:
        """The value for what was learnt of a message. It is the last one again if that says the same."""
        latest = self._latest
        if (
            state != latest.state
            or carrier_error is not latest.carrier_error
            or done_at != latest.done_at
            or carrier_done_at != latest.carrier_done_at
        ):
            latest = self._latest = LatestState(state, carrier_error, done_at, carrier_done_at)
        return latest

    def seconds(self, seconds: float) -> float:
        """The object for a length of time: few different ones occur, for instance the validities of messages."""
        shared = self._seconds
        if len(shared) >= _SECONDS_SHARED and seconds not in shared:
            shared.clear()
        return shared.setdefault(seconds, seconds)
