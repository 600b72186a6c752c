"""The embedded store's messages that go to another carrier: the contract, the disk, compaction, and crashes."""

from typing import Any

from relay.config import daemon_config
from tests import failover_contract
from tests.late_store import LateStore
from tests.simulated_disk import SimulatedDisk
from tests.stores import make_store, started, wait_for


class JournalFailoverTests(failover_contract.FailoverContract):
    """The contract, on the embedded store."""

    def make_store(self, limits: daemon_config.Limits) -> Any:
        self.disk = SimulatedDisk()
        self.limits = limits
        return started(self.disk, self.clock, limits=limits)

    def reopen(self) -> Any:
        self.disk = self.disk.crash()
        return started(self.disk, self.clock, limits=self.limits)


class LateFailoverTests(failover_contract.FailoverContract):
    """The contract, where answers come late and in bursts."""

    def make_store(self, limits: daemon_config.Limits) -> Any:
        self.disk = SimulatedDisk()
        late = LateStore(make_store(self.disk, self.clock, limits=limits), self.clock, seed=7)
        wait_for(self.clock, late.start())
        return late
