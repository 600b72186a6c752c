"""The embedded store: the contract on it, alone and behind late answers."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.core import config
from tests.late_store import LateStore
from tests.simulated_disk import SimulatedDisk
from tests.store_contract import StoreContract
from tests.stores import make_store, started, wait_for


class JournalStoreContractTests(StoreContract, SynchronousTestCase):
    """The contract, on the embedded store."""

    def make_store(self, limits: config.Limits) -> Any:
        self.disk = SimulatedDisk()
        self.limits = limits
        return started(self.disk, self.clock, limits=limits)

    def reopen(self) -> Any:
        self.disk = self.disk.crash()
        return started(self.disk, self.clock, limits=self.limits)


class LateStoreContractTests(StoreContract, SynchronousTestCase):
    """The contract, where answers come late and in bursts."""

    def make_store(self, limits: config.Limits) -> Any:
        self.disk = SimulatedDisk()
        self.limits = limits
        return self._late()

    def reopen(self) -> Any:
        self.disk = self.disk.crash()
        return self._late()

    def _late(self) -> LateStore:
        late = LateStore(make_store(self.disk, self.clock, limits=self.limits), self.clock, seed=7)
        wait_for(self.clock, late.start())
        return late
