"""The name by which the relay's HTTP requests are known.

Firewalls refuse requests without a User-Agent, and whoever runs a receiver finds ours in the log by it.
"""

from typing import Final

from relay import __version__

USER_AGENT: Final = f"sms-receipt-relay/{__version__}"
