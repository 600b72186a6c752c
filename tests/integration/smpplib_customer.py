"""A customer on smpplib: a client that was not written with this relay in mind. Blocking; for a thread."""

import logging
import re
import ssl
import time

from smpplib import consts
from smpplib.client import Client

from tests import PATIENCE

logging.getLogger("smpp").addHandler(logging.NullHandler())
logging.getLogger("smpp").propagate = False


class SmpplibCustomer:
    """Binds, submits and reads, one call after the other.

    :param ssl_context: for a connection over TLS.
    :ivar ids: the ids of the responses, in order.
    :ivar receipts: (id, stat) of the receipts, in order.
    """

    def __init__(
        self,
        port: int,
        system_id: str = "acme",
        password: str = "secret08",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.ids: list[str] = []
        self.receipts: list[tuple[str, str]] = []
        self.client = Client(
            "127.0.0.1",
            port,
            timeout=10 * PATIENCE,
            allow_unknown_opt_params=True,
            logger_name="smpp",
            ssl_context=ssl_context,
        )
        self.client.set_message_sent_handler(self._sent)
        self.client.set_message_received_handler(self._received)
        self.client.connect()
        self.client.bind_transceiver(system_id=system_id, password=password)

    def submit(self, count: int, window: int = 100) -> None:
        """Submits messages with registered_delivery 1 and reads until all are answered."""
        before = len(self.ids)
        for n in range(count):
            self.client.send_message(
                source_addr_ton=consts.SMPP_TON_INTL,
                source_addr_npi=consts.SMPP_NPI_ISDN,
                source_addr="447700900000",
                dest_addr_ton=consts.SMPP_TON_INTL,
                dest_addr_npi=consts.SMPP_NPI_ISDN,
                destination_addr=f"4477010{n:05}",
                short_message=b"hello",
                registered_delivery=True,
            )
            while n + 1 - (len(self.ids) - before) >= window:
                self.client.read_once(auto_send_enquire_link=False)
        while len(self.ids) - before < count:
            self.client.read_once(auto_send_enquire_link=False)

    def read_receipts(self, count: int, seconds: float = 30.0) -> None:
        """Reads until there are `count` receipts; returns with fewer after PATIENCE times `seconds`."""
        deadline = time.monotonic() + PATIENCE * seconds
        while len(self.receipts) < count and time.monotonic() < deadline:
            try:
                self.client.read_once(auto_send_enquire_link=False)
            except TimeoutError:
                return

    def close(self) -> None:
        """Unbinds and closes."""
        self.client.__exit__(None, None, None)

    def _sent(self, pdu: object) -> None:
        self.ids.append(pdu.message_id.decode())  # type: ignore[attr-defined]

    def _received(self, pdu: object) -> int:
        found = re.match(rb"id:(\S+) .* stat:(\w+) ", pdu.short_message)  # type: ignore[attr-defined]
        assert found is not None
        self.receipts.append((found[1].decode(), found[2].decode()))
        return int(consts.SMPP_ESME_ROK)


def submit_and_read(port: int, count: int, ssl_context: ssl.SSLContext | None = None) -> SmpplibCustomer:
    """A customer's whole visit: submits `count` messages and waits for as many receipts."""
    customer = SmpplibCustomer(port, ssl_context=ssl_context)
    try:
        customer.submit(count)
        customer.read_receipts(count)
    finally:
        customer.close()
    return customer
