"""Kannel as a customer of the relay: over SMPP, and over the relay's own Kannel interface."""

from relay.smpp.message_codec import decode_message
from relay.text import gsm0338
from relay.values import smpp_constants as c
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until
from tests.integration.kannel_gateway import Kannel, reports_of
from tests.ports import free_port

#: Three parts.
LONG = "Grüße, " * 60
MESSAGES = 25
RATE = 5


class KannelCustomerTests(IntegrationTestCase):
    async def test_over_smpp_at_a_rate_all_messages_arrive_and_all_receipts_come_back(self) -> None:
        """Each message is judged alone, so that of a burst the rate's share is taken and only the rest comes again."""
        carrier = await self.simulator()
        relay = await self.relay(
            accounts={"acme": smpp_account(rate=RATE)},
            carriers={"tier1": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["tier1"]}],
        )
        login = f"host = 127.0.0.1\nport = {relay.smpp_port}\nsmsc-username = acme\nsmsc-password = secret08"
        kannel = await Kannel(self, f'smsc = smpp\ntransceiver-mode = true\nsystem-type = ""\n{login}').start()
        reports = await reports_of(self)
        for n in range(MESSAGES):
            fields = {"from": "447700900000", "to": f"4477009{n:05}", "text": f"number {n}"}
            answer = await kannel.send(**fields, **{"dlr-mask": 3, "dlr-url": reports.url_of(n)})
            self.assertEqual(answer, (202, "0: Accepted for delivery"))
        await until("every receipt is home", lambda: len(reports.calls) >= MESSAGES, 60)

        self.assertEqual(sorted(reports.calls), sorted((str(n), "1") for n in range(MESSAGES)))
        self.assertEqual(carrier.counters.taken, MESSAGES)
        throttled = await self.metric(relay, "relay_messages_refused_total", status="ESME_RTHROTTLED")
        # Kannel has ten unanswered at the most and pauses for a second after one that was throttled. Meanwhile there is
        # room again for the rate's five: at least four of each ten are taken, and seven rounds will do.
        self.assertLess(throttled, 3 * MESSAGES)

    async def test_over_http_long_messages_classes_and_reports_pass(self) -> None:
        carrier = await self.simulator()
        relay = self.prepare_relay(
            accounts={"acme": smpp_account()},
            carriers={"tier1": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["tier1"]}],
        )
        relay.configuration["http"]["kannel"] = True
        await relay.start()
        port = free_port()
        kannel = await Kannel(
            self,
            f"""smsc = http
system-type = kannel
send-url = "http://127.0.0.1:{relay.http_port}/cgi-bin/sendsms"
smsc-username = acme
smsc-password = key
port = {port}
connect-allow-ip = 127.0.0.1
dlr-url = "http://127.0.0.1:{port}/?username=acme&password=key"
""",
        ).start()
        reports = await reports_of(self)
        fields = {"from": "447700900000", "to": "447700900123"}
        await kannel.send(**fields, text=LONG)
        await kannel.send(**fields, text="flash", mclass=0, **{"dlr-mask": 3, "dlr-url": reports.url_of("flash")})
        await kannel.send(**fields, text="Привет", coding=2, charset="UTF-8")
        await until("the carrier has them all", lambda: carrier.counters.taken == 5)

        records = relay.journal("Message")
        pdus = [decode_message(c.SUBMIT_SM, 0, bytes.fromhex(record["parts"][0])) for record in records]
        written = sorted((pdu.esm_class, pdu.data_coding, pdu.short_message) for pdu in pdus)
        words, flash, *parts = written
        self.assertEqual(words, (0, 0x08, "Привет".encode("utf-16-be")))
        self.assertEqual(flash, (0, 0xF0, b"flash"))
        self.assertEqual([part[:2] for part in parts], [(c.ESM_CLASS_UDHI, 0)] * 3)
        self.assertEqual([part[2][:3] + part[2][4:6] for part in parts], [b"\x05\0\x03\x03%c" % n for n in (1, 2, 3)])
        self.assertEqual(gsm0338.decode(b"".join(part[2][6:] for part in parts)), LONG)
        await until("the report is home", lambda: reports.calls)
        self.assertEqual(reports.calls, [("flash", "1")])
