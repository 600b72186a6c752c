"""Message records from the history: each message that has ended has one line, whatever happens in between."""

import json
import os
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from relay.history.history_database import HistoryDatabase
from relay.history.history_records import HistoryRecords
from relay.history.history_writer import HistoryWriter
from relay.history.journal_tail import JournalTail
from relay.values.ids import id_text
from tests.history.keeping import HistoryCase
from tests.stores import DAY, message, message_id, receipt, submitted


class HistoryRecordsTests(HistoryCase):
    def open(self, numbers: Any = "full", days: float = 90.0, segment_rows: int = 20) -> None:
        super().open(numbers, days, segment_rows)
        self.writer.close()
        self.records = Path(os.path.dirname(self.path), "records", "records.jsonl")
        self.database = HistoryDatabase(self.source(), self.keep, segment_rows=segment_rows)
        self.file = HistoryRecords(str(self.records), sync=True)
        self.writer = HistoryWriter(self.database, JournalTail(self.disk, "data"), days * DAY, self.file)
        self.writer.open(self.store.durable_segments())
        self.addCleanup(self.writer.close)

    def finish(self, *numbers: int) -> None:
        """Accepts messages and has them end."""
        now = self.clock.seconds()
        self.done(self.store.accept([message(n, accepted_at=now, expires_at=now + DAY) for n in numbers]))
        self.done(self.store.submitted([submitted(n, at=now) for n in numbers]))
        self.done(self.store.receipts([receipt(n, received_at=now + 1.0) for n in numbers]))

    def recorded(self) -> Counter[str]:
        return Counter(json.loads(line)["id"] for line in self.records.read_bytes().splitlines())

    def assert_recorded(self, *numbers: int) -> None:
        """Each of them has one line, and no other has one."""
        self.assertEqual(self.recorded(), Counter(id_text(message_id(n)) for n in numbers))

    def test_a_message_gets_its_line_when_it_has_ended(self) -> None:
        self.catch_up()
        self.done(self.store.accept([message(1)]))
        self.catch_up()
        self.assert_recorded()
        self.done(self.store.submitted([submitted(1)]))
        self.done(self.store.receipts([receipt(1)]))
        self.catch_up()
        self.assert_recorded(1)
        (line,) = map(json.loads, self.records.read_bytes().splitlines())
        self.assertEqual((line["to"], line["status"], line["carrier"]), ("447700900002", "DELIVRD", "tier1"))
        self.done(self.store.receipts([receipt(1)]))
        self.catch_up()
        self.assert_recorded(1)

    def test_killed_between_the_file_and_the_note_it_writes_no_second_line(self) -> None:
        self.catch_up()
        self.finish(1, 2)

        class Killed(Exception):
            """The process ends here."""

        def killed(notes: Any) -> None:
            raise Killed

        self.database.lines_written = killed  # type: ignore[method-assign]
        with self.assertRaises(Killed):
            self.catch_up()
        self.assert_recorded(1, 2)
        self.reopen()
        self.finish(3)
        self.catch_up()
        self.assert_recorded(1, 2, 3)

    def test_one_write_has_only_so_many_octets_of_lines(self) -> None:
        self.catch_up()
        self.file.bytes_a_write = 1
        self.finish(1, 2, 3)
        writes: list[int] = []
        written = self.database.lines_written

        def counted(notes: Any) -> None:
            writes.append(len(notes))
            written(notes)

        self.database.lines_written = counted  # type: ignore[method-assign]
        self.catch_up()
        self.assertEqual(writes, [1, 1, 1])
        self.assert_recorded(1, 2, 3)

    def test_killed_before_the_file_the_next_start_writes_the_lines(self) -> None:
        self.catch_up()
        self.finish(1, 2)
        self.reopen()
        self.catch_up()
        self.assert_recorded(1, 2)

    def test_while_the_file_can_not_be_written_lines_wait_and_messages_are_found(self) -> None:
        self.catch_up()
        self.records.unlink()
        self.records.mkdir()
        self.finish(1)
        self.catch_up()
        self.assertEqual(len(self.ids()), 1)
        self.reopen()
        self.records.rmdir()
        self.finish(2)
        self.catch_up()
        self.assert_recorded(1, 2)

    def test_a_history_that_is_switched_on_writes_no_second_lines_and_those_that_the_file_lacks(self) -> None:
        self.finish(*range(4))
        self.catch_up()
        # As message records without a history leave it after a kill.
        lines = [f'{{"id": "{id_text(message_id(n))}", "done_at": "2023-11-14T22:13:21Z"}}\n' for n in range(3)]
        self.writer.close()
        self.delete_database()
        self.records.write_text("".join(lines))
        self.reopen()
        self.catch_up()
        self.assert_recorded(0, 1, 2, 3)

    def test_a_history_that_is_switched_off_and_on_again_writes_no_second_lines(self) -> None:
        self.finish(1, 2, 3)
        self.catch_up()
        self.writer.close()
        # Without a history, message records write the lines themselves.
        self.finish(4, 5)
        with self.records.open("a") as file:
            for n in (4, 5):
                file.write(f'{{"id": "{id_text(message_id(n))}", "done_at": "2023-11-14T22:13:21Z"}}\n')
        self.reopen()
        self.finish(6)
        self.catch_up()
        self.assert_recorded(1, 2, 3, 4, 5, 6)

    def test_what_ends_while_a_history_that_was_switched_on_reads_the_journal_gets_its_line(self) -> None:
        self.finish(1, 2)
        self.writer.close()
        self.delete_database()
        self.reopen()
        self.finish(3, 4)
        self.catch_up()
        self.assert_recorded(3, 4)

    def test_message_records_that_are_switched_on_begin_now(self) -> None:
        self.finish(1, 2)
        self.writer.close()
        self.delete_database()
        self.reopen()
        self.catch_up()
        self.assertEqual(len(self.ids()), 2)
        self.assert_recorded()
        self.finish(3)
        self.catch_up()
        self.assert_recorded(3)

    def test_a_file_that_can_not_be_opened_keeps_nothing_from_the_history(self) -> None:
        self.records.mkdir(parents=True)
        self.finish(1)
        self.catch_up()
        self.assertEqual(len(self.ids()), 1)
        self.records.rmdir()
        self.catch_up()
        self.assert_recorded(1)

    def test_a_database_that_is_begun_anew_writes_no_second_lines(self) -> None:
        self.catch_up()
        self.finish(1, 2)
        self.catch_up()
        self.delete_database()
        self.finish(3)
        self.catch_up()
        self.assert_recorded(1, 2, 3)

    def test_only_damage_has_the_database_begun_anew(self) -> None:
        self.catch_up()
        self.finish(1)

        def fails(*arguments: Any, **more: Any) -> None:
            problem = sqlite3.IntegrityError("UNIQUE constraint failed")
            problem.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT
            raise problem

        self.database.write = fails  # type: ignore[method-assign]
        with self.assertRaises(sqlite3.IntegrityError):
            self.catch_up()
        self.assertFalse(os.path.exists(self.path + ".damaged"))
