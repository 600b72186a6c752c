"""The history in a cluster's database is as that in a file: the same tests, on a PostgreSQL server of their own."""

import contextlib
from typing import Any, cast

from hypothesis import given, settings

from relay.history.history_query import HistoryQuery
from relay.history.history_search import HistorySearch
from relay.history.history_source import HistoryConnection, HistorySource, SearchTimedOut
from tests import HUNG_SECONDS
from tests.history import (
    test_erasure,
    test_history_feed,
    test_history_records,
    test_history_writer,
    test_message_lists,
)
from tests.history.keeping import HistoryCase
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING
from tests.postgresql_stores import shared_server
from tests.stores import message, message_id

_FILES = (
    "SELECT pg_relation_filepath(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'relay_history' AND c.relkind IN ('r', 'i') AND pg_relation_filepath(c.oid) IS NOT NULL"
)


_END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class InPostgresql(HistoryCase):
    """The history is in the database."""

    skip = POSTGRESQL_MISSING

    def setUp(self) -> None:
        # A property test calls this for each of its examples, and a server has few connections.
        if hasattr(self, "writer"):
            self.writer.close()
            self.search.close()
        self.epoch = 1
        self.delete_database()
        super().setUp()

    def source(self) -> HistorySource:
        # psycopg may be missing.
        from relay.history.postgresql_history import PostgresqlHistory

        epoch = self.epoch
        return PostgresqlHistory(shared_server().primary.arguments, lambda: epoch)

    def catch_up(self) -> None:
        """As the service does: after a failure it tries again, with a new connection."""
        with contextlib.suppress(OSError):
            super().catch_up()
        super().catch_up()

    def octets(self) -> bytes:
        server = shared_server().primary
        server.query("CHECKPOINT", DATABASE)
        return b"".join((server.data / path).read_bytes() for (path,) in server.query(_FILES, DATABASE))

    def delete_database(self) -> None:
        shared_server().primary.query("DROP SCHEMA IF EXISTS relay_history CASCADE", DATABASE)


class FollowingTests(InPostgresql, test_history_writer.FollowingTests):
    """As in a file."""

    # Hypothesis refuses one property that is tested by two classes.
    @settings(max_examples=40)
    @given(*test_history_writer.courses)
    def test_after_any_course_of_events_it_says_what_the_store_says(
        self, history: list[Any], looks: set[int], restarts: set[int]
    ) -> None:
        self.assert_it_says_what_the_store_says(history, looks, restarts)


class CrashTests(InPostgresql, test_history_writer.CrashTests):
    """As in a file."""


class SegmentTests(InPostgresql, test_history_writer.SegmentTests):
    """As in a file."""

    def test_a_search_that_takes_too_long_says_so_and_can_go_on(self) -> None:
        self.done(self.store.accept([message(n) for n in range(10)]))
        self.catch_up()
        now, selecting_seconds = [0.0], [6.0]
        source = self.source()
        connect = source.open_for_searches

        def connected() -> HistoryConnection:
            connection: Any = connect()
            # It is called before each SELECT of rows.
            connection.hint = slow
            return cast(HistoryConnection, connection)

        def slow(segment: int, index: str) -> str:
            now[0] += selecting_seconds[0]
            return ""

        source.open_for_searches = connected  # type: ignore[method-assign]
        self.search = HistorySearch(source, self.keep, seconds=10.0, monotonic=lambda: now[0])
        self.addCleanup(self.search.close)
        page = self.search.search(HistoryQuery(account="plain"))
        self.assertEqual((len(page.messages), page.complete), (0, False))
        selecting_seconds[0] = 0.0
        page = self.search.search(HistoryQuery(account="plain", after=page.cursor))
        self.assertEqual((len(page.messages), page.complete), (10, True))

    def test_the_server_ends_a_statement_when_the_time_of_its_search_is_over(self) -> None:
        db = self.source().open_for_searches()
        self.addCleanup(db.close)
        seconds_left = [0.05]
        db.limit(lambda: seconds_left[0], 0)
        with db.reading():
            with self.assertRaises(SearchTimedOut):
                db.execute("SELECT pg_sleep(?)", (HUNG_SECONDS,))
            seconds_left[0] = HUNG_SECONDS
            db.go_on()
            self.assertEqual(db.execute("SELECT 1").fetchone(), (1,))

    def test_a_search_that_can_not_read_a_segment_in_its_time_gets_further_with_each_page(self) -> None:
        # The clock of this test counts SQLite's looks at it.
        """Only with a file."""


class FeedTests(InPostgresql, test_history_feed.FeedTests):
    """As in a file."""


class ListsTests(InPostgresql, test_message_lists.ListsTests):
    """As in a file."""


class NumbersTests(InPostgresql, test_message_lists.NumbersTests):
    """As in a file."""


class ExportTests(InPostgresql, test_message_lists.ExportTests):
    """As in a file."""


class ErasureTests(InPostgresql, test_erasure.ErasureTests):
    """As in a file."""


class HistoryRecordsTests(InPostgresql, test_history_records.HistoryRecordsTests):
    """As in a file."""


class OwnerTests(InPostgresql):
    """One node writes at a time, and goes on where the one before it was."""

    def accept(self, *numbers: int) -> None:
        for number in numbers:
            self.done(self.store.accept([message(number)]))

    def test_the_next_owner_goes_on_and_the_earlier_one_writes_nothing_more(self) -> None:
        self.accept(1, 2)
        self.catch_up()
        earlier = self.writer
        self.epoch = 2
        self.open()
        self.accept(3)
        with self.assertRaisesRegex(OSError, "another node writes the history now"):
            earlier.catch_up(self.store.durable_segments(), self.clock.seconds())
        self.assertEqual(len(self.ids()), 2)
        self.catch_up()
        self.assertEqual(sorted(self.ids()), sorted(message_id(n) for n in (1, 2, 3)))
        # It has lost its connection, and doesn't get another one.
        with self.assertRaisesRegex(OSError, "another node writes the history now"):
            earlier.catch_up(self.store.durable_segments(), self.clock.seconds())

    def test_a_connection_that_breaks_in_a_batch_costs_nothing(self) -> None:
        self.accept(1)
        self.catch_up()
        self.accept(2, 3)
        shared_server().primary.query(_END_CONNECTIONS, DATABASE)
        with self.assertRaises(OSError):
            self.writer.catch_up(self.store.durable_segments(), self.clock.seconds())
        self.catch_up()
        self.search.close()
        self.assertEqual(sorted(self.ids()), sorted(message_id(n) for n in (1, 2, 3)))

    def test_a_schema_that_is_deleted_is_begun_anew(self) -> None:
        self.accept(1, 2)
        self.catch_up()
        self.search.close()
        self.delete_database()
        self.accept(3)
        with self.assertRaises(OSError):
            self.writer.catch_up(self.store.durable_segments(), self.clock.seconds())
        self.catch_up()
        self.assertEqual(len(self.ids()), 3)

    def test_a_text_that_postgresql_can_not_hold_stops_nothing(self) -> None:
        self.done(self.store.accept([message(1, reference="a\0b")]))
        self.catch_up()
        self.assertEqual([view.reference for view in self.find()], ["ab"])
