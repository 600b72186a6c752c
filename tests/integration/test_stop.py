"""Stopping under load, two relays on one directory, and a journal of another version: nothing is left in doubt."""

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.threads import deferToThread

from relay.store.journal.journal_format import FORMAT_VERSION, dump, encode_frame, encode_header, segment_name
from relay.store.table.records import Setting
from tests import HUNG_SECONDS
from tests.integration.crash_load import Customers
from tests.integration.harness import Relay, smpp_account, smpp_carrier, until
from tests.integration.test_crash import ENDED, RESENT, PeersTestCase

reactor: Any = installed_reactor


class StopTests(PeersTestCase):
    async def test_a_stop_under_load_ends_with_status_0_and_leaves_nothing_in_doubt(self) -> None:
        again, once = await self.peer("carrier", "again"), await self.peer("carrier", "once")
        relay = await self.loaded_relay(again, once, shutdown_seconds=HUNG_SECONDS)
        customers = Customers([relay.smpp_port], [relay.http_port], random.Random(1), [RESENT, ENDED])
        for _ in range(3):
            goal = len(customers.smpp_accepted) + 400
            await until("the load is there again", lambda goal=goal: len(customers.smpp_accepted) >= goal)
            self.assertEqual(await relay.stop(), 0)
            self.assertNotIn("Traceback", relay.log())
            seen = {to for _, to in again.notes() + once.notes()}
            self.assertEqual(unsubmitted(relay) & seen, set())
            await relay.start()
        await customers.stop()
        if customers.esmes[-1].lost:
            await customers.bound()
        accepted = set(customers.smpp_accepted.values())
        self.assertGreater(len(accepted), 1000)
        await until("every receipt came", lambda: set(customers.receipts) >= accepted, 30)
        await customers.leave()
        self.assertNotIn("messages_in_doubt", relay.log(10**7))
        twice = [to for to, count in Counter(to for _, to in again.notes() + once.notes()).items() if count > 1]
        self.assertEqual(twice, [])

    async def test_a_stop_waits_for_a_carrier_that_takes_its_time(self) -> None:
        # Its responses come a second after its receipts, and well after the stop has begun.
        carrier = await self.simulator(receipt_first=True, receipt_delay_seconds=1.0)
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"sim": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["sim"]}],
            shutdown_seconds=HUNG_SECONDS,
        )
        await relay.carrier_bound(carrier)
        batch = [{"to": f"+4477009000{n:02}", "from": "A", "text": "x"} for n in range(20)]
        status, _ = await self.http("POST", relay, "/messages", batch)
        self.assertEqual(status, 202)
        await until("the carrier has got them", lambda: carrier.counters.submits == 20)
        self.assertEqual(await relay.stop(), 0)
        self.assertEqual(unsubmitted(relay), set())

    async def test_a_stop_waits_no_longer_than_shutdown_seconds_for_a_carrier_that_does_not_answer(self) -> None:
        # Frozen, the carrier keeps its connection and answers nothing: what was written to it stays in doubt.
        again, once = await self.peer("carrier", "again"), await self.peer("carrier", "once")
        relay = await self.loaded_relay(again, once, shutdown_seconds=1)
        await until("bound", lambda: relay.log().count("carrier_bound") == 2)
        once.process.send_signal(signal.SIGSTOP)
        status, answer = await self.http(
            "POST", relay, "/messages", {"to": f"+{ENDED}00000001", "from": "A", "text": "x"}
        )
        self.assertEqual(status, 202)
        # In doubt is what has been written; a store that answers late keeps the link from writing for a while.
        await until("it is written", lambda: self.metric(relay, "relay_carrier_in_flight", carrier="once"))
        self.assertEqual(await relay.stop(), 0)
        once.process.send_signal(signal.SIGCONT)
        await relay.start()
        await until("the carrier has read it", once.notes)
        _, view = await self.http("GET", relay, f"/messages/{answer['id']}")
        self.assertEqual((view["status"], len(once.notes())), ("UNKNOWN", 1))

    async def test_a_stop_at_the_very_moment_when_it_is_ready_is_a_stop_like_any_other(self) -> None:
        # With nothing to open or read first, its start takes the least time, and is over the soonest.
        relay = self.prepare_relay(http={"listen": []}, smpp={"listen": []}, admin={"listen": []})
        for _ in range(8):
            relay.launch(subprocess.PIPE)
            process = relay.process
            assert process is not None
            said = await deferToThread(stopped_when_it_says, process, b"relay_ready")
            relay.process = None
            self.assertIn(b"relay_stopped", said)
            self.assertEqual(process.returncode, -signal.SIGTERM, said)
            self.assertNotIn(b"Traceback", said)

    async def test_a_reload_that_is_asked_for_while_it_starts_ends_nothing(self) -> None:
        relay = self.prepare_relay(accounts={"acme": smpp_account()})
        relay.launcher = ["-m", "tests.integration.launch_hung_up"]
        await relay.start()
        self.assertEqual((await self.http("GET", relay, "/account"))[0], 200)
        assert relay.process is not None
        # From now on it is served.
        relay.process.send_signal(signal.SIGHUP)
        await until("it has reloaded", lambda: "config_" in relay.log())
        self.assertEqual(await relay.stop(), 0)

    async def test_a_stop_while_the_journal_is_read_breaks_that_off_and_changes_nothing(self) -> None:
        relay = self.prepare_relay(accounts={"acme": smpp_account()})
        data = Path(relay.configuration["data_dir"])
        (data / "journal").mkdir(parents=True)
        frame = encode_frame([Setting("acme", "notify", "all")] * 1000)
        segment = data / "journal" / segment_name(1)
        segment.write_bytes(encode_header(1, time.time()) + frame * 1500)
        before = segment.read_bytes()
        relay.launch(subprocess.PIPE)
        process = relay.process
        assert process is not None
        await until("it reads", lambda: (data / "lock").exists() and (data / "lock").read_bytes())
        process.send_signal(signal.SIGTERM)
        said, _ = await deferToThread(process.communicate)
        relay.process = None
        self.assertEqual(process.returncode, -signal.SIGTERM, said)
        self.assertIn(b"relay_stopped", said)
        for word in (b"relay_ready", b"refused", b"Traceback"):
            self.assertNotIn(word, said)
        self.assertEqual(segment.read_bytes(), before)

    async def test_a_second_relay_on_a_directory_is_refused_and_the_first_goes_on(self) -> None:
        relay = await self.relay()
        second = self.prepare_relay("second", data_dir=relay.configuration["data_dir"])
        status, said = await self.ends(second)
        self.assertEqual(status, 1, said)
        assert relay.process is not None
        self.assertIn(f"is in use by the relay with process id {relay.process.pid}", said)
        self.assertNotIn("Traceback", said)
        # It says why it doesn't start, and not that it has stopped with everything in the journal.
        self.assertIn("relay_start_refused", said)
        self.assertNotIn("relay_stop", said)
        self.assertIsNone(relay.process.poll())

    async def test_a_second_relay_is_refused_although_the_lock_file_has_been_deleted(self) -> None:
        relay = await self.relay()
        Path(relay.configuration["data_dir"], "lock").unlink()
        second = self.prepare_relay("second", data_dir=relay.configuration["data_dir"])
        status, said = await self.ends(second)
        self.assertEqual(status, 1, said)
        self.assertIn("is in use by the relay with process id", said)
        assert relay.process is not None
        self.assertIsNone(relay.process.poll())

    async def test_a_journal_of_a_newer_format_is_refused_by_name_and_left_as_it_is(self) -> None:
        relay = await self.relay(accounts={"acme": smpp_account()})
        # Anything that is journalled: a directory without a segment has no version yet.
        status, _ = await self.http("PUT", relay, "/account/notification-url", {"url": "http://127.0.0.1:1/here"})
        self.assertEqual(status, 200)
        self.assertEqual(await relay.stop(), 0)
        [segment] = Path(relay.configuration["data_dir"], "journal").glob("*.seg")
        octets = bytearray(segment.read_bytes())
        octets[8:10] = (FORMAT_VERSION + 1).to_bytes(2, "big")
        segment.write_bytes(octets)
        status, said = await self.ends(relay)
        self.assertEqual(status, 1, said)
        self.assertIn(f"{segment}: journal format {FORMAT_VERSION + 1}", said)
        self.assertIn("Run the relay version that wrote it", said)
        self.assertNotIn("Traceback", said)
        self.assertEqual(segment.read_bytes(), octets)

    async def ends(self, relay: Relay) -> tuple[int, str]:
        """Starts a relay that can't run: its exit status, and what it said."""
        log_before = relay.log_file.stat().st_size if relay.log_file.exists() else 0
        relay.launch()
        process = relay.process
        assert process is not None
        await until("it ends", lambda: process.poll() is not None)
        relay.process = None
        return process.returncode, relay.log_file.read_bytes()[log_before:].decode()


def stopped_when_it_says(process: "subprocess.Popen[bytes]", event: bytes) -> bytes:
    """Sends SIGTERM the instant that a line with these octets is read; gives all that was printed, when it has ended.
    Blocks, so for a thread."""
    assert process.stdout is not None
    said = b""
    with process.stdout as output:
        for line in iter(output.readline, b""):
            if event in line and event not in said:
                process.send_signal(signal.SIGTERM)
            said += line
    process.wait()
    return said


def unsubmitted(relay: Relay) -> set[str]:
    """The numbers of the messages that no carrier has taken, as the journal says."""
    numbers: dict[str, str] = {}
    for record in dump(relay.configuration["data_dir"], texts=True):
        if record["record"] == "Message":
            numbers[record["id"]] = record["to"]
        elif record["record"] in ("Submitted", "Learnt"):
            numbers.pop(record["id"], None)
    return set(numbers.values())
