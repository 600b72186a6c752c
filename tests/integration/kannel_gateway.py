"""Kannel (Debian's package `kannel`) as processes: a gateway that was not written with this relay in mind."""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from unittest import SkipTest
from urllib.parse import parse_qs, urlencode, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.http import Request

from tests import PATIENCE
from tests.integration.harness import IntegrationTestCase, WebhookReceiver, until
from tests.ports import free_port

_PATH = f"{os.environ['PATH']}:/usr/sbin"
#: Kannel tries a message again that was refused for now when this time is over; a minute, if nobody says otherwise.
_RESEND_SECONDS = 1

#: A whole kannel.conf. Its places: admin, boxes, http (ports), resend, directory, carrier (the lines of group smsc).
CONFIGURATION = """group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = secret
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
dlr-storage = internal
sms-resend-freq = {resend}
log-file = "{directory}/bearerbox.txt"

group = smsc
smsc-id = relay
{carrier}

group = smsbox
smsbox-id = box
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {http}
sendsms-interface = 127.0.0.1
log-file = "{directory}/smsbox.txt"

group = sendsms-user
username = kannel
password = kannel
max-messages = 10
concatenation = true

group = sms-service
keyword = default
max-messages = 0
text = none
"""


class Reports(WebhookReceiver):
    """What `dlr-url` is called with: the number of the message, and Kannel's `%d`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    def render(self, request: Request) -> bytes:
        query = parse_qs(urlsplit(request.uri).query.decode())
        self.calls.append((query["n"][0], query["d"][0]))
        return b""

    def url_of(self, number: object) -> str:
        """The `dlr-url` of a message."""
        return f"http://127.0.0.1:{self.port}/dlr?n={number}&d=%d"


async def reports_of(test: IntegrationTestCase) -> Reports:
    """A receiver of reports that listens until the test ends."""
    reports = Reports()
    test.addCleanup(lambda: Deferred.fromCoroutine(reports.close()))
    await reports.listen()
    return reports


async def sendsms(port: int, fields: Mapping[str, object]) -> tuple[int, str]:
    """Asks for a message over Kannel's interface, and gives the status and the words of the answer."""
    url = f"http://127.0.0.1:{port}/cgi-bin/sendsms?{urlencode(fields)}"

    def ask() -> tuple[int, str]:
        with urllib.request.urlopen(url, timeout=10 * PATIENCE) as answer:
            return answer.status, answer.read().decode()

    result: tuple[int, str] = await deferToThread(ask)
    return result


class Kannel:
    """bearerbox and smsbox on loopback, connected to one carrier.

    :param carrier: the lines of Kannel's `group = smsc` that say where it is.
    """

    def __init__(self, test: IntegrationTestCase, carrier: str) -> None:
        programs = [shutil.which(name, path=_PATH) for name in ("bearerbox", "smsbox")]
        if None in programs:
            raise SkipTest("Kannel isn't installed (Debian's package kannel)")
        self._bearerbox, self._smsbox = map(str, programs)
        self._test = test
        self._directory = Path(test.directory, "kannel")
        self._directory.mkdir()
        self._admin_port, boxes_port, self._http_port = free_port(), free_port(), free_port()
        self._file = self._directory / "kannel.conf"
        self._file.write_text(
            CONFIGURATION.format(
                admin=self._admin_port,
                boxes=boxes_port,
                http=self._http_port,
                directory=self._directory,
                resend=_RESEND_SECONDS,
                carrier=carrier,
            )
        )

    async def start(self) -> "Kannel":
        """Starts both boxes; returns when Kannel's own status page says that all connections stand."""
        self._launch(self._bearerbox)
        await self._status("carrier", "(online")
        self._launch(self._smsbox)
        await self._status("smsbox", "smsbox:box, IP 127.0.0.1")
        await until("smsbox listens", lambda: self._answers(self._http_port))
        return self

    def _launch(self, program: str) -> None:
        with (self._directory / "output").open("ab") as output:
            process = subprocess.Popen(
                [program, "-v", "4", str(self._file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._directory,
            )
        self._test.addCleanup(process.wait)
        self._test.addCleanup(process.kill)

    async def _status(self, what: str, words: str) -> None:
        url = f"http://127.0.0.1:{self._admin_port}/status.txt?password=secret"

        def says() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=10 * PATIENCE) as answer:
                    return words in answer.read().decode()
            except OSError:
                return False

        await until(f"Kannel's {what} is connected", says)

    def _answers(self, port: int) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10 * PATIENCE).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    async def send(self, **fields: object) -> tuple[int, str]:
        """`sendsms` of smsbox: the status and the words of its answer."""
        login: dict[str, object] = {"username": "kannel", "password": "kannel"}
        return await sendsms(self._http_port, login | fields)

    def log(self) -> str:
        """The end of what bearerbox logged."""
        return (self._directory / "bearerbox.txt").read_text(errors="replace")[-4000:]
