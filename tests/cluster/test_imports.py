"""A relay that is alone loads nothing of what a cluster needs."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests import HUNG_SECONDS
from tests.test_layers import ROOT

_SCRIPT = """
import sys
from twisted.internet.testing import MemoryReactorClock
from relay.config.model import Config
from relay.tap import build

build(Config(), MemoryReactorClock())
only_in_a_cluster = ("psycopg", "relay.cluster.lease", "relay.cluster.ownership", "relay.cluster.cluster_database",
                     "relay.store.postgresql", "relay.app.make_cluster")
print([name for name in sys.modules if name.startswith(only_in_a_cluster)])
"""


class ImportTests(SynchronousTestCase):
    def test_neither_the_driver_nor_the_lease_is_imported_without_a_cluster(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False
        )
        self.assertEqual((done.stdout, done.returncode), ("[]\n", 0), done.stderr)
