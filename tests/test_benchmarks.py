"""The benchmarks measure what they claim: their parts agree, and they notice each fault in the chain."""

import http.client
import shutil
import tempfile
from array import array
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from smpp.pdu.operations import DeliverSM, SubmitSM
from smpp.pdu.pdu_encoding import PDUEncoder
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import chain, gateways, overload, rows, wire
from benchmarks.bench import Bench
from benchmarks.fast_path import FastPath
from benchmarks.figures import joined_durations, milliseconds, percentile
from benchmarks.flame import flame_graph
from benchmarks.guard import Verdict, judge
from benchmarks.http_load import cut_answer
from benchmarks.processes import MeasurementFailed, free_ports, start_module, stopping, wait_until
from benchmarks.table import table
from tests import HUNG_SECONDS


def submit_response(sequence: int, message_id: bytes) -> bytes:
    return wire.HEADER.pack(17 + len(message_id), wire.SUBMIT_SM_RESP, 0, sequence) + message_id + b"\0"


def receipts(numbers: range) -> list[bytes]:
    encode = wire.Receipts().encode
    return [encode([n.to_bytes(4, "big")], [("", n, b"111", b"44770000%04d" % n)]) for n in numbers]


class Encoding(SynchronousTestCase):
    """The bytes with holes are SMPP."""

    def test_submissions_are_what_another_codec_reads_as_submit_sm(self) -> None:
        submissions = wire.Submissions(b"4401")
        data = submissions.encode(255, 2)
        pdu = PDUEncoder().decode(BytesIO(data[: submissions.pdu_bytes]))
        self.assertIsInstance(pdu, SubmitSM)
        self.assertEqual(pdu.seqNum, 256)
        self.assertEqual(pdu.params["destination_addr"], b"440100000255")
        self.assertEqual(pdu.params["short_message"], wire.TEXT)
        self.assertEqual(len(data), 2 * submissions.pdu_bytes)

    def test_receipts_are_what_another_codec_reads_as_deliver_sm(self) -> None:
        (data,) = receipts(range(37, 38))
        pdu = PDUEncoder().decode(BytesIO(data))
        self.assertIsInstance(pdu, DeliverSM)
        self.assertEqual(pdu.seqNum, 37)
        self.assertEqual(pdu.params["source_addr"], b"447700000037")
        self.assertEqual(pdu.params["destination_addr"], b"111")
        self.assertTrue(pdu.params["short_message"].startswith(b"id:0000000037 sub:001 dlvrd:001 "))
        self.assertIn(b" stat:DELIVRD err:000 ", pdu.params["short_message"])

    def test_receipts_of_different_lengths_can_share_a_batch(self) -> None:
        batch = [("", 1, b"1", b"4412345678"), ("", 2, b"22", b"44123456789")]
        sequences = [b"\0\0\0\1", b"\0\0\0\2"]
        encode = wire.Receipts().encode
        one_by_one = b"".join(encode([s], [r]) for s, r in zip(sequences, batch, strict=True))
        self.assertEqual(encode(sequences, batch), one_by_one)


class WholeReads(SynchronousTestCase):
    """The fast path finds what the plain way finds, or leaves the read to it."""

    def setUp(self) -> None:
        self.path = FastPath()
        self.path.learn_response(submit_response(1, b"0123456789"), [(16, 26)])
        (receipt,) = receipts(range(1, 2))
        at = receipt.index(b"id:") + 3
        self.path.learn_request(receipt, [(at, at + 10)], [(receipt.index(b"DELIVRD"), receipt.index(b"DELIVRD") + 7)])

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 9999)), max_size=30), st.integers(0, 400))
    def test_the_fast_path_finds_every_pdu_of_a_read_however_it_is_cut(
        self, kinds: list[tuple[bool, int]], cut: int
    ) -> None:
        pdus = [submit_response(n, b"%010d" % n) if answer else receipts(range(n, n + 1))[0] for answer, n in kinds]
        stream = b"".join(pdus)
        data = stream[: max(0, len(stream) - cut)]
        whole, length = [], 0
        for kind, pdu in zip(kinds, pdus, strict=True):
            if length + len(pdu) > len(data):
                break
            whole.append(kind)
            length += len(pdu)
        found = self.path.find(data)
        assert found is not None
        responses, requests, consumed = found
        self.assertEqual(consumed, length)
        self.assertEqual(
            [(f[0], f[1]) for f in responses], [(n.to_bytes(4, "big"), b"%010d" % n) for a, n in whole if a]
        )
        self.assertEqual([f[3] for f in requests], [b"%010d" % n for a, n in whole if not a])

    @given(st.integers(0, 5), st.sampled_from(["enquire_link", "refusal", "other state", "junk"]))
    def test_the_fast_path_leaves_a_read_with_anything_else_in_it_to_the_plain_one(self, place: int, kind: str) -> None:
        pdus = [submit_response(n, b"%010d" % n) for n in range(5)]
        odd = {
            "enquire_link": wire.header_pdu(wire.ENQUIRE_LINK, 7),
            "refusal": wire.header_pdu(wire.SUBMIT_SM_RESP, 7, 0x58),
            "other state": receipts(range(7, 8))[0].replace(b"DELIVRD", b"UNDELIV"),
            "junk": b"\0\0\0\x11" + bytes(13),
        }
        pdus.insert(place, odd[kind])
        self.assertIsNone(self.path.find(b"".join(pdus)))

    def test_the_fast_path_reads_nothing_until_it_has_seen_both_shapes(self) -> None:
        self.assertIsNone(FastPath().find(submit_response(1, b"0123456789")))


class Figures(SynchronousTestCase):
    """Numbers that are printed."""

    @given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
    def test_a_percentile_is_one_of_the_values(self, values: list[float], share: float) -> None:
        ordered = sorted(values)
        found = percentile(ordered, share)
        self.assertIn(found, ordered)
        self.assertGreaterEqual(sum(value <= found for value in ordered) + 1e-9, share * len(ordered) - 1)

    def test_milliseconds_of_nothing_are_zero(self) -> None:
        self.assertEqual(milliseconds([]), {"p50": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0})

    def test_only_messages_with_both_instants_have_a_duration(self) -> None:
        self.assertEqual(joined_durations(array("d", [1.0, 2.0, 0.0]), array("d", [1.5, 0.0, 9.0, 9.0])), [0.5])

    def row(self, name: str, cpu_us: float) -> chain.Row:
        return chain.Row(name, 1000, cpu_us, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1)

    def test_every_row_is_compared_with_the_floor_if_it_was_measured(self) -> None:
        self.assertIn("| 35.0       | 3.5     |", table([self.row("floor: SMPP", 10.0), self.row("a row", 35.0)]))

    def test_a_row_is_compared_with_the_floor_at_its_own_rate(self) -> None:
        floors = [self.row("floor: SMPP", 10.0), self.row("floor at 400/s", 100.0)]
        lines = table([*floors, self.row("SMPP at 400/s", 250.0), self.row("SMPP at 9/s", 35.0)]).splitlines()
        self.assertIn("| 2.5     |", lines[-2])
        self.assertIn("| 3.5     |", lines[-1])

    def test_the_table_has_a_line_for_each_row(self) -> None:
        row = chain.Row("a row", 1000, 12.34, 5678.9, 1, 2, 3, 4, 50, 6, 7, 1.5, 2.5)
        lines = table([row, row]).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("| a row | 1,000    | 12.3       | -       |", lines[2])
        self.assertIn("| 6/7 ", lines[2])


class FlameGraph(SynchronousTestCase):
    """Stacks become boxes whose widths are their shares."""

    def test_boxes_are_as_wide_as_their_share_and_begin_above_the_reactor(self) -> None:
        stacks = Counter({"main (a.py:1);ReactorBase.mainLoop (b.py:2);read (/x/relay/core/c.py:3)": 3, "other": 1})
        svg = flame_graph(stacks, "a title")
        self.assertIn("read (relay/core/c.py): 75.0 %", svg)
        self.assertIn('width="899.5"', svg)
        self.assertNotIn("mainLoop", svg)
        self.assertIn("other: 25.0 %", svg)


class HttpAnswers(SynchronousTestCase):
    """Answers are cut from the stream."""

    def test_an_answer_with_a_length_ends_there(self) -> None:
        data = b"HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\n\r\nbodyHTTP/1.1 "
        self.assertEqual(cut_answer(data), (202, b"body", len(data) - 9))

    def test_an_answer_that_is_not_whole_is_none(self) -> None:
        data = b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nbody"
        for end in range(len(data)):
            self.assertIsNone(cut_answer(data[:end]))

    def test_a_chunked_answer_ends_with_its_last_chunk(self) -> None:
        data = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        self.assertEqual(cut_answer(data), (202, b"4\r\nbody\r\n0\r\n\r\n", len(data)))
        self.assertIsNone(cut_answer(data[:-1]))


class Guard(SynchronousTestCase):
    """The regression guard fails past twice the recorded ratio, and not before."""

    def test_a_ratio_up_to_twice_the_recorded_one_passes(self) -> None:
        self.assertEqual(judge(6.0, recorded_ratio=3.0), Verdict(6.0, 3.0, True))

    def test_a_ratio_past_twice_the_recorded_one_fails(self) -> None:
        self.assertFalse(judge(6.1, recorded_ratio=3.0).passed)


class Chain(SynchronousTestCase):
    """Load, gateway and carrier as processes, with and without faults."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bench-test-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def direct(self, total: int = 600, flags: tuple[str, ...] = (), **carrier_options: object) -> dict[str, object]:
        """The load straight to the carrier; gives what the load said."""
        options: dict[str, Any] = {"instants": total, "max_seconds": HUNG_SECONDS, **carrier_options}
        with chain.carrier(self.directory, **options) as upstream:
            gateway = gateways.Gateway("carrier itself", upstream.child, upstream.port, 0, 0)
            said = chain.run_esme(
                self.directory, gateway, *flags, total=total, idle_seconds=5, max_seconds=HUNG_SECONDS
            )
            self.carrier_said = upstream.result()
        return said

    def test_without_faults_every_message_is_accepted_and_receipted_once(self) -> None:
        said = self.direct()
        self.assertEqual((said["accepted"], said["receipts"]), (600, 600))
        self.assertEqual((said["lost"], said["duplicates"], said["unmatched"], said["other_states"]), (0, 0, 0, {}))
        self.assertEqual(self.carrier_said["receipts_acknowledged"], 600)

    def test_receipts_that_never_come_are_reported_as_lost(self) -> None:
        said = self.direct(drop_every=6)
        self.assertEqual((said["receipts"], said["lost"]), (500, 100))

    def test_receipts_that_come_twice_are_reported_as_duplicates(self) -> None:
        self.assertEqual(self.direct(duplicate_every=6)["duplicates"], 100)

    def test_receipts_for_other_ids_are_reported_as_unmatched_and_lost(self) -> None:
        said = self.direct(wrong_id_every=6)
        self.assertEqual((said["unmatched"], said["lost"]), (100, 100))

    def test_receipts_in_another_state_are_counted_by_state(self) -> None:
        self.assertEqual(self.direct(state="UNDELIV")["other_states"], {"UNDELIV": 600})

    def test_a_rate_is_kept(self) -> None:
        with chain.carrier(self.directory, instants=300) as upstream:
            gateway = gateways.Gateway("carrier itself", upstream.child, upstream.port, 0, 0)
            said = chain.run_esme(self.directory, gateway, total=300, rate=600)
        self.assertEqual(said["accepted"], 300)
        # The last one is due after half a second. A busy machine may make it later, but never earlier.
        self.assertGreaterEqual(said["ended_at"] - said["begun_at"], 300 / 600)

    def test_withheld_receipts_wait_until_they_are_released_and_none_is_missing_then(self) -> None:
        ids = self.directory / "ids"
        with chain.carrier(self.directory, withhold_prefix="4499") as upstream:
            gateway = gateways.Gateway("carrier itself", upstream.child, upstream.port, 0, 2)
            first = chain.run_esme(
                self.directory, gateway, "--no-receipts", total=300, prefixes="4499", save_ids=ids, idle_seconds=5
            )
            arguments = {"port": upstream.port, "total": 0, "load_ids": ids, "idle_seconds": 10}
            load = start_module("esme", self.directory, arguments)
            with stopping(load):
                upstream.wait_for_binds(gateway)
                upstream.release()
                second = load.result(HUNG_SECONDS)
        self.assertEqual((first["accepted"], first["receipts"]), (300, 0))
        self.assertEqual((second["receipts"], second["lost"], second["unmatched"]), (300, 0, 0))

    def test_through_the_floor_nothing_is_lost_and_its_cost_is_measured(self) -> None:
        said: list[str] = []
        (row,) = rows.floor(Bench(self.directory, scale=0.1, say=said.append))
        self.assertEqual((row.messages, row.lost, row.duplicates), (20_000, 0, 0))
        self.assertGreater(row.cpu_us, 0.5)
        self.assertGreater(row.receipt_p50_ms, 0)
        self.assertEqual(list(self.directory.iterdir()), [], "the row cleans up behind itself")

    def test_a_process_that_dies_is_named_with_its_last_words(self) -> None:
        (port,) = free_ports(1)
        load = start_module("esme", self.directory, {"port": port})
        with stopping(load):
            failure = self.assertRaises(MeasurementFailed, load.result, HUNG_SECONDS)
        self.assertIn("esme ended with status 1", str(failure))
        self.assertIn("ConnectionRefusedError", str(failure))

    def test_webhooks_are_counted_by_id_whether_single_arrays_or_forms(self) -> None:
        (port,) = free_ports(1)
        sink = start_module("sink", self.directory, {"port": port, "ids_file": self.directory / "ids"})
        with stopping(sink):
            wait_until(lambda: chain._sink_count(port) == 0, "sink", sink, HUNG_SECONDS)
            connection = http.client.HTTPConnection("127.0.0.1", port)
            bodies = [
                '{"id": "a-1", "send_status": "delivered"}',
                '[{"id":"a-2","send_status":"failed"},{"id":"a-1","send_status":"delivered"}]',
                "id=a-3&send_status=delivered",
            ]
            for body in bodies:
                connection.request("POST", "/notifications", body)
                answer = connection.getresponse()
                answer.read()
                self.assertEqual(answer.status, 204)
            connection.close()
            sink.signal(15)
            said = sink.result(HUNG_SECONDS)
        self.assertEqual((said["requests"], said["distinct"], said["duplicates"]), (3, 3, 1))
        self.assertEqual(said["send_statuses"], {"delivered": 3, "failed": 1})
        self.assertEqual(
            [line.split()[0] for line in (self.directory / "ids").read_text().splitlines()], ["a-1", "a-2", "a-3"]
        )


class Overload(SynchronousTestCase):
    """A bystander beside somebody who overdoes it."""

    def test_a_case_is_measured_before_and_meanwhile_and_says_what_the_load_was(self) -> None:
        with tempfile.TemporaryDirectory(prefix="relay-test-") as directory:
            measured = overload.measure("limited", Path(directory), rounds=5)
        self.assertGreater(min(measured.receipts), 0.0)
        self.assertGreater(measured.times, 0.0)
        self.assertIn("accepted a second", measured.remark)
        self.assertEqual(overload.line(measured).count("|"), len(overload.TITLES) + 1)
