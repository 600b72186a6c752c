"""Runs `twistd` (or `twist`) as always, and sends itself SIGHUP at every import of one of the relay's modules."""

import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType


class HangUp:
    """An importer that finds nothing, and sends SIGHUP when it is asked for a module of the relay."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name.partition(".")[0] == "relay":
            os.kill(os.getpid(), signal.SIGHUP)


if __name__ == "__main__":
    # `run` reads the plugins, and the first module of the relay that they lead to is relay.tap.
    sys.meta_path.insert(0, HangUp())
    if "--pidfile=" in sys.argv:
        from twisted.scripts.twistd import run

        sys.exit(run())
    from twisted.application.twist._twist import Twist

    sys.exit(Twist.main(sys.argv))
