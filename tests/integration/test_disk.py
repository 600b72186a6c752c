"""A full, read-only or broken disk: the relay accepts nothing new, goes on with the rest, and recovers by itself."""

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor as installed_reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.trial.unittest import SkipTest
from twisted.web.client import Agent

from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu
from tests import PATIENCE
from tests.fakes import ScriptedCarrier, ScriptedSession, receipt_body, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within
from tests.ports import free_port

reactor: Any = installed_reactor
MESSAGE = {"to": "+447700900001", "from": "447700900000", "text": "hello"}


class DiskTestCase(IntegrationTestCase):
    """A relay whose disk fails; the carrier does what the test says."""

    async def start(self, **configuration: Any) -> None:
        self.carrier = ScriptedCarrier(reactor)
        self.carrier.on_submit = self.take
        port = free_port()
        listening: IListeningPort = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(self.carrier)
        self.addCleanup(listening.stopListening)
        self.disk = self.prepare_relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(port)},
            routes=[{"carriers": ["tier1"]}],
            **configuration,
        )
        self.prepare(self.disk)
        await self.disk.start()
        await until("the relay has bound", lambda: self.carrier.bound)

    def prepare(self, relay: Relay) -> None:
        """What a kind of disk needs before the start."""

    def take(self, session: ScriptedSession, pdu: MessagePdu) -> None:
        session.queue_answer(pdu, b"c%d" % len(self.carrier.submits))
        session.flush()

    async def receipt(self, name: str) -> int:
        """Has the carrier send a receipt, and gives the status of the answer."""
        before = len(self.carrier.answers)
        self.carrier.bound[-1].deliver(receipt_body(name))
        await until("the receipt is answered", lambda: len(self.carrier.answers) > before)
        return self.carrier.answers[-1][1]

    async def ready(self) -> tuple[int, str]:
        client = treq.client.HTTPClient(Agent(reactor, pool=self.pool))
        url = f"http://127.0.0.1:{self.disk.admin_port}/health/ready"
        response = await client.get(url, timeout=10 * PATIENCE, reactor=reactor)
        return response.code, await response.text()

    async def post(self) -> tuple[int, str, Any]:
        """Posts a message: the status, Retry-After and the answer."""
        client = treq.client.HTTPClient(Agent(reactor, pool=self.pool))
        url = f"http://127.0.0.1:{self.disk.http_port}/messages"
        response = await client.post(url, json=MESSAGE, auth=("acme", "key"), timeout=10 * PATIENCE, reactor=reactor)
        again = response.headers.getRawHeaders("Retry-After", [""])[0]
        return response.code, again, await response.json()

    async def accepted(self) -> str:
        status, _, answer = await self.post()
        self.assertEqual(status, 202, answer)
        return str(answer["id"])

    async def course(self, fail: Any, mend: Any, reason: str) -> None:
        """The whole course of a fault: before, while, after, and after a kill."""
        relay = self.disk
        sender = await self.esme(relay.smpp_port, command_id=c.BIND_TRANSMITTER)
        answers = await within(10, sender.submit([submit_body("447700900001") for _ in range(4)]))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        ids = [message_id for _, message_id in answers]
        await until("the carrier has all", lambda: len(self.carrier.submits) == 4)
        # The first two are owed to the customer before the disk fails; the others' receipts come while it does.
        self.assertEqual([await self.receipt("c1"), await self.receipt("c2")], [0, 0])
        self.assertEqual((await self.ready())[0], 200)

        before = await self.fail_until_refused(fail)
        status, again, problem = await self.post()
        self.assertEqual((status, int(again) > 0), (503, True), problem)
        refused = await within(10, sender.submit([submit_body("447700900001")]))
        self.assertEqual(refused[0][0], c.ESME_RSYSERR)
        self.assertEqual(await self.receipt("c3"), c.ESME_RX_T_APPN)
        self.assertEqual(await self.receipt("unknown"), c.ESME_RX_T_APPN)
        status, text = await self.ready()
        self.assertEqual(status, 503)
        self.assertIn(reason, text)
        # What is in memory goes on being delivered.
        receiver = await self.esme(relay.smpp_port, command_id=c.BIND_RECEIVER)
        await until("what was owed came", lambda: len(receiver.receipts) >= 2)
        self.assertEqual({r.message_id for r in receiver.receipts}, set(ids[:2]))

        mend()
        await until("it says that it recovered", lambda: "journal_writable" in relay.log(100_000), 10)
        self.assertEqual((await self.ready())[0], 200)
        later = await self.accepted()
        self.assertEqual([await self.receipt("c3"), await self.receipt("c4")], [0, 0])
        await until("the rest came", lambda: len(receiver.receipts) >= 4)
        await receiver.leave()
        # An answer is durable, and so is everything that came before it: the customer's answers to its receipts, too.
        await self.accepted()

        relay.kill()
        await relay.start()
        again_bound = await self.esme(relay.smpp_port, command_id=c.BIND_RECEIVER)
        for message_id in [*ids, later, *before]:
            self.assertEqual((await self.http("GET", relay, f"/messages/{message_id}"))[0], 200)
        for message_id in ids:
            self.assertEqual((await self.http("GET", relay, f"/messages/{message_id}"))[1]["status"], "DELIVRD")
        # Settled while the disk was broken, or after: none comes once more.
        self.assertEqual(again_bound.receipts, [])

    async def fail_until_refused(self, fail: Any) -> list[str]:
        """Breaks the disk and posts until that is noticed; gives what was accepted until then."""
        fail()
        accepted: list[str] = []
        for _ in range(100):
            status, _, answer = await self.post()
            if status != 202:
                return accepted
            accepted.append(answer["id"])
        raise AssertionError("a broken disk and everything is accepted")


class InjectedFaults(DiskTestCase):
    def prepare(self, relay: Relay) -> None:
        relay.launcher = ["-m", "tests.integration.launch_faulty"]

    async def faults(self, *orders: str) -> None:
        await self.start()
        file = Path(self.disk.configuration["data_dir"] + ".faults")
        number = getattr(errno, orders[0].split()[1])
        await self.course(lambda: file.write_text("\n".join(orders)), file.unlink, os.strerror(number))

    async def test_nothing_is_lost_with_a_full_disk(self) -> None:
        await self.faults("write ENOSPC")

    async def test_nothing_is_lost_with_a_disk_that_fails_to_write(self) -> None:
        await self.faults("write EIO")

    async def test_nothing_is_lost_with_a_disk_that_fails_to_sync(self) -> None:
        await self.faults("sync EIO")

    async def test_nothing_is_lost_with_a_disk_that_has_become_read_only(self) -> None:
        await self.faults("write EROFS", "open EROFS", "sync EROFS", "truncate EROFS")


class MisplacedTests(DiskTestCase):
    """Somebody deletes or moves the journal of a relay that runs."""

    async def is_refused(self, reason: str) -> None:
        """A message gets 503, a receipt "not now", and readiness says the reason."""
        self.assertEqual((await self.post())[0], 503)
        self.assertEqual(await self.receipt("c1"), c.ESME_RX_T_APPN)
        status, text = await self.ready()
        self.assertEqual(status, 503)
        self.assertIn(reason, text)

    async def test_nothing_is_accepted_once_the_data_directory_has_been_deleted(self) -> None:
        await self.start()
        await self.accepted()
        data = Path(self.disk.configuration["data_dir"])
        await self.fail_until_refused(lambda: shutil.rmtree(data))
        await self.is_refused("while the relay was running")
        # An empty one in its place is another directory.
        data.mkdir()

        async def noticed() -> bool:
            return "data was deleted, moved or replaced" in (await self.ready())[1]

        await until("the relay has noticed it", noticed)
        self.assertEqual((await self.post())[0], 503)

    async def test_nothing_is_accepted_once_the_segment_has_been_deleted(self) -> None:
        await self.start()
        await self.accepted()
        [segment] = Path(self.disk.configuration["data_dir"], "journal").glob("*.seg")
        await self.fail_until_refused(segment.unlink)
        await self.is_refused(f"{segment} was deleted")

    async def test_a_data_directory_that_was_moved_and_moved_back_is_gone_on_with(self) -> None:
        data = self.directory / "relay" / "data"
        elsewhere = data.with_name("elsewhere")
        await self.start()
        await self.course(lambda: data.rename(elsewhere), lambda: elsewhere.rename(data), "while the relay was running")


class RealFaults(DiskTestCase):
    """The same on a file system of the kernel's, two megabytes large."""

    def prepare(self, relay: Relay) -> None:
        self.mountpoint = relay.directory / "data"
        self.mountpoint.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(self.mountpoint)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            raise SkipTest("only root may mount a small tmpfs")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(self.mountpoint)])

    def fill(self) -> None:
        with (self.mountpoint / "ballast").open("wb", buffering=0) as ballast:
            for size in (4096, 512, 1):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError as problem:
                    self.assertEqual(problem.errno, errno.ENOSPC)

    async def test_nothing_is_lost_on_a_full_file_system_that_gets_room_again(self) -> None:
        await self.start()
        await self.course(self.fill, (self.mountpoint / "ballast").unlink, os.strerror(errno.ENOSPC))
