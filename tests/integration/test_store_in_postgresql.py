"""The store with its log in PostgreSQL passes the store's contract."""

from typing import Any

from relay.config import daemon_config
from tests import store_contract
from tests.postgresql_servers import POSTGRESQL_MISSING
from tests.postgresql_stores import StoreInPostgresql, make_tables, shared_server


class PostgresqlStoreContractTests(store_contract.StoreContract):
    """The contract, on the store with its log in PostgreSQL. A restart is another node that takes over."""

    skip = POSTGRESQL_MISSING

    def make_store(self, limits: daemon_config.Limits) -> Any:
        make_tables(shared_server())
        self.limits = limits
        return self._owner()

    def reopen(self) -> Any:
        return self._owner()

    def _owner(self) -> Any:
        node = StoreInPostgresql(shared_server(), self.clock, limits=self.limits).own()
        self.addCleanup(node.close)
        return node.store
