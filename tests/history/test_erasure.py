"""After an erasure the number is nowhere any more, and everything else is as it was."""

import bz2
import contextlib
import fcntl
import gzip
import io
import json
import lzma
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

from relay.cli.history_command import main
from relay.history.erasure import Erased, erase_in_history, erase_in_records, journal_payloads, left_in_journal
from relay.history.record_file import RecordFile
from relay.history.record_line import record_line
from relay.store.journal.journal_format import encode_frame, encode_header, segment_name
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.messages import destination_of
from tests.history.keeping import HistoryCase, wait_for_openings
from tests.stores import NOW, message, message_id, numbers_in

NUMBER = "447700900123"


class ErasureCase(HistoryCase):
    """Messages to a number and from it, and other ones."""

    def setUp(self) -> None:
        super().setUp()
        self.records = os.path.join(os.path.dirname(self.path), "records.jsonl")

    def accept(self, *numbers: int, **fields: Any) -> None:
        for n in numbers:
            to = NUMBER if n % 5 == 0 else f"4477009{n:05}"
            sender = NUMBER if n % 7 == 1 else "RELAY"
            addresses = numbers_in(sender.encode(), to.encode())
            self.done(self.store.accept([message(n, addresses=addresses, reference=f"order {n}", **fields)]))

    def erase(self, numbers: Any = "full") -> Erased:
        erased = Erased()
        erase_in_history(self.source(), NUMBER, numbers, self.keep, erased)
        erase_in_records(self.records, NUMBER, erased)
        return erased


class ErasureCommandTests(ErasureCase):
    def test_the_command_says_what_it_erased_and_what_the_journal_still_holds_until_when(self) -> None:
        self.accept(*range(11))
        self.catch_up()
        self.search.close()
        directory = Path(self.path).parent
        (directory / "journal").mkdir()
        for name, file in self.disk.files.items():
            if name.endswith(".seg"):
                (directory / "journal" / name.rpartition("/")[2]).write_bytes(bytes(file.octets))
        config = directory / "relay.yaml"
        config.write_text(f"data_dir: {directory}\nlogs: {{message_records: {self.records}}}\n")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(main(["erase", "--config", str(config), "--number", f"+{NUMBER}"]), 0)
        # Validity (a day), limits.finished_hours (a week) and journal.text_hours (a day) after 2023-11-14 22:13:20.
        self.assertEqual(
            said.getvalue().splitlines(),
            [
                "history: emptied in 3 messages",
                "message records: emptied in 0 lines",
                "journal: still holds the number in 5 messages; they are gone by 2023-11-23 22:13 UTC at the latest. A "
                "history that is begun anew before then reads them again: erase again then",
            ],
        )


class ErasureTests(ErasureCase):
    def test_the_number_is_in_no_page_of_any_file_and_the_messages_stay(self) -> None:
        # More than a segment, so that it is in indexes, too; then many messages move, so that pages were split.
        self.accept(*range(60))
        self.catch_up()
        self.assertIn(NUMBER[::-1].encode(), self.octets())
        self.search.close()
        erased = self.erase()
        self.assertEqual((erased.rows, erased.left_in_log), (12, False))
        found = self.octets()
        self.assertNotIn(NUMBER[::-1].encode(), found)
        self.assertNotIn(NUMBER.encode(), found)
        self.assertNotIn(b"order 55", found)
        self.assertIn(b"order 54", found)
        self.assertEqual(len(self.ids()), 60)
        self.assertEqual(self.ids(number=NUMBER), [])
        self.assertEqual(destination_of(self.find(id=message_id(5).hex())[0].addresses), b"")

    def test_messages_after_an_erasure_are_kept_as_always(self) -> None:
        self.accept(5)
        self.catch_up()
        self.erase()
        self.accept(10)
        self.catch_up()
        self.assertEqual(self.ids(number=NUMBER), [message_id(10)])

    def test_messages_from_handsets_and_their_parts_count_among_what_the_journal_still_holds(self) -> None:
        handset = numbers_in(NUMBER.encode(), b"12345")
        long = InboundMessage(message_id(1), "hooked", "tier1", NOW + 1, handset, 0, b"a long text", b"", 2, 7)
        batches: list[list[InboundMessage | InboundPart]] = [
            [InboundPart("tier1", NOW, handset, 7, 2, n, 0, b"a") for n in (1, 2)],
            [long],
            [InboundPart("tier1", NOW + 2, handset, 8, 3, n, 0, b"a") for n in (1, 2)],
            [InboundPart("tier1", NOW + 9, numbers_in(b"447700900999", b"12345"), 8, 3, 1, 0, b"a")],
        ]
        directory = Path(self.path).parent
        for count, until, written in ((1, NOW, batches[:1]), (1, NOW + 1, batches[:2]), (2, NOW + 2, batches)):
            (directory / "journal").mkdir(exist_ok=True)
            frames = b"".join(map(encode_frame, written))
            (directory / "journal" / segment_name(1)).write_bytes(encode_header(1, NOW) + frames)
            erased = Erased()
            left_in_journal(journal_payloads(str(directory)), NUMBER, 60.0, erased)
            self.assertEqual((erased.in_journal, erased.journal_until), (count, until + 60.0))

    def test_hashed_numbers_are_erased_by_the_whole_number(self) -> None:
        self.reopen(numbers="hashed")
        self.accept(5, 6)
        self.catch_up()
        self.assertEqual(self.erase("hashed").rows, 1)
        self.assertEqual(self.ids(number=NUMBER), [])
        self.assertEqual(len(self.ids()), 2)

    def test_messages_whose_sender_is_the_number_lose_their_reference(self) -> None:
        self.accept(*range(50))
        self.catch_up()
        self.erase()
        references = {view.reference for view in self.find()}
        self.assertEqual(references, {None} | {f"order {n}" for n in range(50) if n % 5 and n % 7 != 1})

    def test_whole_numbers_from_before_a_change_of_the_setting_are_erased(self) -> None:
        for numbers, last in (("hashed", 15), ("masked", 30)):
            self.reopen(numbers="full")
            self.accept(last - 10, last - 9)
            self.catch_up()
            self.reopen(numbers=numbers)
            self.accept(last)
            self.catch_up()
            self.assertEqual(self.erase(numbers).rows, 2 if numbers == "hashed" else 1)
            self.assertNotIn(NUMBER[::-1].encode(), self.octets())

    def test_a_number_that_was_kept_with_a_plus_is_erased_too(self) -> None:
        plus = f"+{NUMBER}".encode()
        for n, addresses in enumerate((numbers_in(b"RELAY", plus), numbers_in(plus, b"447700900001"))):
            self.done(self.store.accept([message(n, addresses=addresses, reference=f"order {n}")]))
        self.catch_up()
        Path(self.records).write_bytes(b"".join(record_line(view) for view in self.find()))
        erased = self.erase()
        self.assertEqual((erased.rows, erased.lines), (1, 2))
        self.assertNotIn(NUMBER.encode(), self.octets())
        self.assertNotIn(NUMBER[::-1].encode(), self.octets())
        self.assertNotIn(b"order", self.octets())

    def test_message_records_lose_the_number_and_the_reference_and_nothing_else(self) -> None:
        self.accept(*range(10))
        self.catch_up()
        views = self.find(oldest_first=True)
        file = RecordFile(self.records)
        file.append(b"".join(record_line(view) for view in views), NOW, sync=True)
        yesterday = Path(self.records + ".2023-11-13")
        yesterday.write_bytes(record_line(views[5]) + b'{"torn": "' + NUMBER[:6].encode() + b"\n")
        erased = self.erase()
        self.assertEqual(erased.lines, 5)
        lines = [json.loads(line) for line in Path(self.records).read_bytes().splitlines()]
        self.assertEqual([line["id"] for line in lines], [json.loads(record_line(view))["id"] for view in views])
        self.assertEqual([line["to"] for line in lines[4:7]], ["447700900004", "", "447700900006"])
        self.assertEqual([line["reference"] for line in lines[4:7]], ["order 4", None, "order 6"])
        self.assertEqual([line["from"] for line in lines[7:9]], ["RELAY", ""])
        self.assertNotIn(NUMBER.encode(), yesterday.read_bytes())
        # The relay has the old file open, and goes on with the new one.
        file.append(b"{}\n", NOW, sync=True)
        self.assertEqual(Path(self.records).read_bytes().count(b"\n"), 11)
        file.close()

    def test_compressed_records_lose_the_number_and_stay_compressed(self) -> None:
        self.accept(5)
        self.catch_up()
        line = record_line(self.find()[0])
        for suffix, module in ((".gz", gzip), (".bz2", bz2), (".xz", lzma)):
            path = Path(f"{self.records}-20231113{suffix}")
            path.write_bytes(module.compress(line + b'{"to": "447700900001"}\n'))
            erased = Erased()
            erase_in_records(self.records, NUMBER, erased)
            plain: bytes = module.decompress(path.read_bytes())
            self.assertEqual((erased.lines, plain.count(b"\n")), (1, 2), suffix)
            self.assertNotIn(NUMBER.encode(), plain)

    def test_a_torn_compressed_file_is_an_error_and_stays(self) -> None:
        path = Path(f"{self.records}-20231113.gz")
        path.write_bytes(gzip.compress(b'{"to": "447700900001"}\n')[:-9])
        before = path.read_bytes()
        problem = self.assertRaises(OSError, erase_in_records, self.records, NUMBER, Erased())
        self.assertIn("can't be read", str(problem))
        self.assertEqual(path.read_bytes(), before)

    def test_files_that_can_not_be_read_are_named(self) -> None:
        path = Path(f"{self.records}-20231113.zst")
        path.write_bytes(b"octets")
        erased = Erased()
        erase_in_records(self.records, NUMBER, erased)
        self.assertEqual(erased.not_read, [str(path)])

    def test_a_number_that_was_erased_is_kept_again_as_a_sender_too(self) -> None:
        self.accept(5, 8)
        self.catch_up()
        self.erase()
        self.accept(10, 15)
        self.catch_up()
        self.assertEqual(set(self.ids(number=NUMBER)), {message_id(10), message_id(15)})
        self.assertEqual(self.ids(sender=NUMBER), [message_id(15)])

    def test_a_large_file_of_records_is_not_read_into_memory(self) -> None:
        self.accept(5)
        self.catch_up()
        path = Path(self.records)
        path.write_bytes(b'{"to": "447700900001"}\n' * 200_000 + record_line(self.find()[0]))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        erased = Erased()
        erase_in_records(self.records, NUMBER, erased)
        self.assertEqual(erased.lines, 1)
        self.assertLess(tracemalloc.get_traced_memory()[1], 1_000_000)

    def test_a_file_without_the_number_is_not_replaced(self) -> None:
        path = Path(self.records)
        path.write_bytes(b'{"to": "447700900001"}\n')
        before = path.stat()
        erase_in_records(self.records, NUMBER, Erased())
        self.assertEqual((path.stat().st_ino, path.stat().st_mtime_ns), (before.st_ino, before.st_mtime_ns))
        self.assertEqual([file.name for file in path.parent.iterdir() if "erasing" in file.name], [])

    def test_what_a_stopped_erasure_left_is_deleted(self) -> None:
        left = Path(self.records).with_name(".records.jsonl.2023-11-13.erasing")
        left.write_bytes(NUMBER.encode())
        erase_in_records(self.records, NUMBER, Erased())
        self.assertFalse(left.exists())

    def test_an_erasure_during_a_change_of_day_erases_both_files_and_loses_no_line(self) -> None:
        self.accept(5)
        self.catch_up()
        line = record_line(self.find()[0])
        path = Path(self.records)
        path.write_bytes(line)
        erased = Erased()
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            erasing = threading.Thread(target=erase_in_records, args=(self.records, NUMBER, erased), daemon=True)
            erasing.start()
            wait_for_openings(path, 2)
            path.rename(self.records + ".2023-11-13")
            path.write_bytes(line + b"{}\n" * 100)
        erasing.join(30)
        self.assertFalse(erasing.is_alive())
        self.assertEqual(erased.lines, 2)
        self.assertEqual(path.read_bytes().count(b"\n"), 101)
        self.assertNotIn(NUMBER.encode(), path.read_bytes())
        self.assertNotIn(NUMBER.encode(), Path(self.records + ".2023-11-13").read_bytes())
