"""Makes `twistd relay` and `twist relay` known to Twisted."""

import signal
import threading
from typing import Any

from twisted.application.service import ServiceMaker


class RelayServiceMaker(ServiceMaker):
    """Ignores SIGHUP from the moment when the command line names the relay.

    Until the relay can reload its configuration, a SIGHUP would end the process: by default it does. This module is
    read by every `twistd`, so nothing happens when it is imported.
    """

    @property
    def options(self) -> Any:
        if threading.current_thread() is threading.main_thread():
            # A function, and not SIG_IGN, which the processes that this one starts would inherit.
            signal.signal(signal.SIGHUP, lambda number, frame: None)
        return super().options


relay = RelayServiceMaker("relay", "relay.tap", "An SMS relay whose delivery receipts come home.", "relay")
