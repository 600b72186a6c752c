"""A customer on aiosmpplib: submits messages, waits for their receipts, prints both as JSON.

Usage: python customer_aiosmpplib.py PORT SYSTEM_ID PASSWORD COUNT
"""

import asyncio
import json
import sys

from aiosmpplib import ESME, DeliverSm, PhoneNumber, SubmitSm, SubmitSmResp
from aiosmpplib.hook import AbstractHook
from aiosmpplib.protocol import SmppMessage


class Recorder(AbstractHook):  # type: ignore[misc]
    """Keeps what comes in, and says when all is there."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.ids: list[str] = []
        self.receipts: list[tuple[str, str]] = []
        self.done = asyncio.Event()

    async def sending(self, smpp_message: SmppMessage, pdu: bytes, client_id: str) -> None:
        """Nothing is kept of what goes out."""

    async def received(self, smpp_message: SmppMessage | None, pdu: bytes, client_id: str) -> None:
        if isinstance(smpp_message, SubmitSmResp):
            self.ids.append(smpp_message.message_id)
        elif isinstance(smpp_message, DeliverSm):
            receipt = smpp_message.parse_receipt()
            self.receipts.append((str(receipt["id"]), str(receipt["stat"])))
        if min(len(self.ids), len(self.receipts)) >= self.count:
            self.done.set()

    async def send_error(self, smpp_message: SmppMessage, error: Exception, client_id: str) -> None:
        raise SystemExit(f"a message could not be sent: {error!r}")


async def main(port: int, system_id: str, password: str, count: int) -> None:
    """Runs until all receipts are there."""
    recorder = Recorder(count)
    esme = ESME("127.0.0.1", port, system_id, password, hook=recorder, log_level="ERROR", default_encoding="gsm0338")
    for n in range(count):
        message = SubmitSm(
            short_message=f"number {n}",
            source=PhoneNumber("447700900000"),
            destination=PhoneNumber(f"4477009{n:05}"),
            log_id=str(n),
            registered_delivery=1,
        )
        await esme.broker.enqueue(message)
    running = asyncio.create_task(esme.start())
    await recorder.done.wait()
    await esme.stop()
    await running
    print(json.dumps({"ids": recorder.ids, "receipts": recorder.receipts}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
