"""Runs `twistd` as always, but with a store whose awaitables fire late and in bursts (see tests/late_store.py).

`RELAY_TEST_STORE=late python -m twisted.trial tests.integration` runs the whole suite with it: what passes there
doesn't count on a store in the same process.
"""

import sys
from typing import Any

from twisted.scripts.twistd import run

import relay.tap
from tests.late_store import LateStore


def make_service(options: Any) -> Any:
    """The daemon, on a late store."""
    from twisted.internet import reactor

    return relay.tap.build(options.config, reactor, store_wrapper=lambda store: LateStore(store, reactor))


if __name__ == "__main__":
    relay.tap.makeService = make_service
    sys.exit(run())
