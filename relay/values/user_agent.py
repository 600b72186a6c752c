"""The User-Agent of the relay's HTTP requests.

Firewalls refuse requests without a User-Agent. With ours, the operator of a receiver finds our requests in the log.
"""

from typing import Final

from relay import __version__

USER_AGENT: Final = f"sms-receipt-relay/{__version__}"
