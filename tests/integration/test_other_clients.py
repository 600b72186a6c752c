"""SMPP libraries of others as customers and as carriers of a relay: every message arrives, every receipt comes back."""

import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.internet.threads import deferToThread

from relay.values import smpp_constants as c
from tests import HUNG_SECONDS
from tests.certificates import Authority
from tests.fakes import submit_body
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within
from tests.integration.smpplib_customer import submit_and_read
from tests.ports import free_port

CLIENTS = Path(__file__).parent / "clients"
#: Where .ci/make-tools installs node's packages.
NODE = ROOT / ".venv" / "node"
COUNT = 20


def node() -> list[str]:
    """How to start a program on node-smpp."""
    program = shutil.which("node")
    if program is None or not (NODE / "node_modules" / "smpp").is_dir():
        raise SkipTest("node or its package smpp isn't installed: .ci/make-tools")
    return [program]


def perl() -> list[str]:
    """How to start a program on Net::SMPP."""
    program = shutil.which("perl")
    if (
        program is None
        or subprocess.run([program, "-MNet::SMPP", "-e", "1"], capture_output=True, check=False).returncode
    ):
        raise SkipTest("perl or Net::SMPP isn't installed (Debian's libnet-smpp-perl)")
    return [program]


class OtherClientsTestCase(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.environment = {
            "PATH": os.environ["PATH"],
            "NODE_PATH": str(NODE / "node_modules"),
            # What a language says of a library is not about the relay.
            "NODE_NO_WARNINGS": "1",
            "PYTHONWARNINGS": "ignore",
        }

    def tls(self, port: int) -> tuple[Authority, str, list[str]]:
        """A certificate authority, an endpoint that listens with its certificate, and the files of that."""
        authority = Authority(self.directory)
        key, certificate = authority.issue("server", "localhost", "127.0.0.1")
        endpoint = f"ssl:{port}:privateKey={key}:certKey={certificate}:interface=127.0.0.1"
        return authority, endpoint, [str(key), str(certificate)]


class CustomerTests(OtherClientsTestCase):
    async def relay_with_listener(self, *listeners: str) -> Relay:
        carrier = await self.simulator()
        relay = self.prepare_relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["tier1"]}],
        )
        relay.configuration["smpp"]["listen"] += listeners
        return await relay.start()

    async def customer(self, *command: object) -> None:
        """Runs a customer to its end: it has an id for each message, and for each id a receipt."""
        done = await deferToThread(
            subprocess.run,
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS / 2,
            env=self.environment,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        result = json.loads(done.stdout)
        self.assertEqual(len(set(result["ids"])), COUNT)
        self.assertEqual(sorted(result["receipts"]), sorted([id_, "DELIVRD"] for id_ in result["ids"]))

    async def test_node_smpp(self) -> None:
        program = node()
        relay = await self.relay_with_listener()
        url = f"smpp://127.0.0.1:{relay.smpp_port}"
        await self.customer(*program, CLIENTS / "customer.js", url, "acme", "secret08", COUNT)

    async def test_node_smpp_over_tls(self) -> None:
        program = node()
        port = free_port()
        authority, endpoint, _ = self.tls(port)
        await self.relay_with_listener(endpoint)
        url = f"ssmpp://localhost:{port}"
        await self.customer(*program, CLIENTS / "customer.js", url, "acme", "secret08", COUNT, authority.file)

    async def test_net_smpp(self) -> None:
        program = perl()
        relay = await self.relay_with_listener()
        await self.customer(*program, CLIENTS / "customer.pl", relay.smpp_port, "acme", "secret08", COUNT)

    async def test_aiosmpplib(self) -> None:
        if importlib.util.find_spec("aiosmpplib") is None:
            raise SkipTest("aiosmpplib isn't installed: make .venv/.installed-for-tests")
        relay = await self.relay_with_listener()
        script = CLIENTS / "customer_aiosmpplib.py"
        await self.customer(sys.executable, script, relay.smpp_port, "acme", "secret08", COUNT)

    async def test_smpplib_over_tls(self) -> None:
        port = free_port()
        authority, endpoint, _ = self.tls(port)
        await self.relay_with_listener(endpoint)
        context = ssl.create_default_context(cafile=str(authority.file))
        # smpplib can't say which name it wants to reach.
        context.check_hostname = False
        customer = await deferToThread(submit_and_read, port, COUNT, context)
        self.assertEqual(sorted(customer.receipts), sorted((id_, "DELIVRD") for id_ in customer.ids))
        self.assertEqual(len(set(customer.ids)), COUNT)


class CarrierTests(OtherClientsTestCase):
    async def messages_pass(self, port: int, *command: object, **carrier: object) -> None:
        """Starts a carrier; a customer of the relay gets a receipt from there for each message."""
        log = self.directory / "carrier.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"other": smpp_carrier(port, **carrier)},
            routes=[{"carriers": ["other"]}],
        )
        await until(
            "the relay has bound",
            lambda: "carrier_bound: other" in relay.log() or process.poll() is not None,
        )
        self.assertEqual((process.poll(), log.read_text()), (None, ""))
        esme = await self.esme(relay.smpp_port)
        answers = await within(20, esme.submit([submit_body(f"4477009{n:05}") for n in range(COUNT)]))
        self.assertEqual({c.ESME_ROK}, {status for status, _ in answers})
        await until("every receipt is home", lambda: len(esme.receipts) >= COUNT)
        self.assertEqual(len(esme.receipts), COUNT)
        self.assertEqual(log.read_text(), "")

    async def test_node_smpp(self) -> None:
        program = node()
        port = free_port()
        await self.messages_pass(port, *program, CLIENTS / "carrier.js", port)

    async def test_node_smpp_over_tls(self) -> None:
        program = node()
        port = free_port()
        authority, _, files = self.tls(port)
        tls = {"connect": f"tls:localhost:{port}", "tls": {"ca_file": str(authority.file)}}
        await self.messages_pass(port, *program, CLIENTS / "carrier.js", port, *files, **tls)

    async def test_net_smpp(self) -> None:
        program = perl()
        port = free_port()
        await self.messages_pass(port, *program, CLIENTS / "carrier.pl", port)
