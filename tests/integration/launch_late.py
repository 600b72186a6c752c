"""Runs `twistd` as always, but with a store whose awaitables fire late and in bursts (see tests/late_store.py).

`RELAY_TEST_STORE=late python -m twisted.trial tests.integration` runs the whole suite with it. A test that passes this
way doesn't depend on a store in the same process.
"""

import sys
from typing import Any

from twisted.scripts.twistd import run

import relay.tap
from relay.app.daemon import Daemon
from relay.config.model import Config
from tests.late_store import LateStore

_build = relay.tap.build


def build(config: Config, reactor: Any, **more: Any) -> Daemon:
    """The parts put together as always, on a late store."""
    return _build(config, reactor, store_wrapper=lambda store: LateStore(store, reactor), **more)


if __name__ == "__main__":
    # Everything else that `relay.tap.makeService` does (logs, SIGHUP) stays as it is.
    relay.tap.build = build
    sys.exit(run())
