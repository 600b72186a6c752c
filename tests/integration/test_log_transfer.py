"""A journal goes into the database and comes out of it."""

import os

import psycopg

from relay.store.journal.journal_format import JournalError
from relay.store.journal.journal_store import JournalStore
from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_transfer import TransferRefused, export_log, import_journal
from tests.cli.test_cli import CommandLineTestCase
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING
from tests.postgresql_stores import StoreInPostgresql, make_tables, shared_server
from tests.simulated_disk import SimulatedDisk
from tests.stores import SettableClock, message, receipt, started, state_of, submitted, wait_for

JOURNAL = "data/journal"


def no_progress(done: int, total: int) -> None:
    """Nobody looks."""


class TransferTests(CommandLineTestCase):
    skip = POSTGRESQL_MISSING

    def setUp(self) -> None:
        super().setUp()
        make_tables(shared_server())
        self.clock = SettableClock()

    def journal(self) -> tuple[SimulatedDisk, JournalStore]:
        """The disk with a journal of several segments, and the store that wrote it."""
        files = SimulatedDisk()
        store = started(files, self.clock, segment_bytes=2000)
        wait_for(self.clock, store.accept([message(1), message(2)]))
        for number in range(3, 60):
            wait_for(self.clock, store.accept([message(number)]))
            wait_for(self.clock, store.submitted([submitted(number)]))
            if number % 3:
                wait_for(self.clock, store.receipts([receipt(number)]))
        return files, store

    def bring_in(self, files: SimulatedDisk) -> int:
        with psycopg.connect(shared_server().url()) as connection:
            return import_journal(connection, 0, files, JOURNAL, no_progress)

    def rows(self) -> int:
        rows = shared_server().primary.query("SELECT count(*) FROM relay.segment", DATABASE)
        return int(rows[0][0])

    def test_a_node_that_starts_after_an_import_has_everything_and_goes_on(self) -> None:
        files, store = self.journal()
        wait_for(self.clock, store.stop())
        self.assertGreater(self.bring_in(files), 3)
        node = StoreInPostgresql(shared_server(), self.clock, segment_bytes=2000).own()
        self.addCleanup(node.close)
        self.assertEqual(state_of(node.store), state_of(store))
        wait_for(self.clock, node.store.accept([message(70)]))
        other = StoreInPostgresql(shared_server(), self.clock).own("b")
        self.addCleanup(other.close)
        self.assertEqual(state_of(other.store), state_of(node.store))

    def test_what_comes_out_is_a_journal_with_the_same_state(self) -> None:
        files, store = self.journal()
        self.bring_in(files)
        out = SimulatedDisk()
        connection = LogConnection({"conninfo": shared_server().url()})
        self.addCleanup(connection.close)
        export_log(connection, 0, out, JOURNAL, no_progress)
        self.assertEqual(state_of(started(out.crash(), self.clock)), state_of(store))
        problem = self.assertRaises(TransferRefused, export_log, connection, 0, out, JOURNAL, no_progress)
        self.assertIn("has a journal already", str(problem))

    def test_a_torn_end_is_left_out_and_damage_leaves_the_log_empty(self) -> None:
        files, _ = self.journal()
        last = max(path for path in files.files if path.endswith(".seg"))
        del files.files[last].octets[-3:]
        self.assertGreater(self.bring_in(files), 3)
        make_tables(shared_server())
        files.files[f"{JOURNAL}/000000000002.seg"].octets[60] ^= 1
        self.assertRaises(JournalError, self.bring_in, files)
        self.assertEqual(self.rows(), 0)

    def test_only_an_empty_log_that_nobody_owns_takes_a_journal(self) -> None:
        files, _ = self.journal()
        self.bring_in(files)
        self.assertIn("isn't empty", str(self.assertRaises(TransferRefused, self.bring_in, files)))
        make_tables(shared_server())
        shared_server().primary.query("UPDATE relay.shard SET owner = 'a'", DATABASE)
        self.assertIn("stop all nodes", str(self.assertRaises(TransferRefused, self.bring_in, files)))

    def test_the_commands_move_a_journal_in_and_out(self) -> None:
        url = shared_server().url()
        file = self.file(
            f"data_dir: {self.directory}/data\ncluster: {{database: '{url}', allow_single_database: true}}"
        )
        done = self.relay("cluster", "import", "--config", file)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no journal", done.stderr)
        simulated, _ = self.journal()
        os.makedirs(self.directory / JOURNAL)
        for path, content in simulated.files.items():
            if path.endswith(".seg"):
                (self.directory / path).write_bytes(content.octets)
        done = self.relay("cluster", "import", "--config", file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("rows are in the database", done.stdout)
        self.assertFalse((self.directory / JOURNAL).exists())
        done = self.relay("cluster", "export", "--config", file, "--to", self.directory / "out")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for path, content in simulated.files.items():
            if path.endswith(".seg"):
                self.assertEqual((self.directory / "out/journal" / os.path.basename(path)).read_bytes(), content.octets)
