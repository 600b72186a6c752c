"""The simulated carrier on a transport: its sessions, its receipts, its timing."""

import random

from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Simulator
from relay.simulator.simulated_carrier import RETRY_SECONDS, SimulatedCarrier
from relay.values import smpp_constants as c
from tests.fakes import FastEsme, submit_body


class Carrier(SynchronousTestCase):
    """A simulated carrier and connections to it, with all time in the test's hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pumps: list[IOPump] = []

    def carrier(self, **settings: object) -> SimulatedCarrier:
        self.simulated = SimulatedCarrier(Simulator(**settings), self.clock, random.Random(1))  # type: ignore[arg-type]
        return self.simulated

    def esme(self, system_id: str = "a", command_id: int = c.BIND_TRANSCEIVER, window: int = 500) -> FastEsme:
        server = self.simulated.factory.buildProtocol(None)
        esme = FastEsme(self.clock, window)
        pump = connect(server, FakeTransport(server, True), esme, FakeTransport(esme, False))
        self.pumps.append(pump)
        esme.pump = pump  # type: ignore[attr-defined]
        bound = esme.bind(system_id, "any", command_id)
        self.flush()
        self.assertEqual(self.successResultOf(bound).system_id, "simulator")
        return esme

    def flush(self, seconds: float = 0.0) -> None:
        """Lets time pass and everything arrive."""
        self.clock.advance(seconds)
        for _ in range(3):
            for pump in self.pumps:
                pump.flush()

    def submit(self, esme: FastEsme, count: int) -> list[str]:
        """Submits messages that are all taken, and gives their ids."""
        done = esme.submit(submit_body(f"44770090{n:04}") for n in range(count))
        self.flush()
        answers = self.successResultOf(done)
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        return [message_id for _, message_id in answers]

    def ids(self, esme: FastEsme) -> list[str]:
        return [receipt.message_id for receipt in esme.receipts]


class Receipts(Carrier):
    def test_every_message_gets_its_receipt_after_the_delay(self) -> None:
        self.carrier(receipt_delay_seconds=2.0)
        esme = self.esme()
        ids = self.submit(esme, 50)
        self.flush(1.9)
        self.assertEqual(esme.receipts, [])
        self.flush(0.1)
        self.assertEqual(self.ids(esme), ids)
        self.assertEqual({receipt.stat for receipt in esme.receipts}, {"DELIVRD"})
        counters = self.simulated.counters
        self.assertEqual((counters.submits, counters.receipts_owed, counters.acked, counters.nacked), (50, 50, 50, 0))

    def test_a_receipt_without_delay_follows_its_response(self) -> None:
        self.carrier(receipt_delay_seconds=0.0)
        esme = self.esme()
        order: list[str] = []
        esme.answer = lambda pdu: order.append("receipt") or c.ESME_ROK  # type: ignore[func-returns-value]
        done = esme.submit([submit_body("447700900001")])
        done.addCallback(lambda answers: order.append("response"))
        self.flush()
        self.assertEqual(sorted(order), ["receipt", "response"])
        self.assertEqual(len(esme.receipts), 1)

    def test_receipts_first_come_before_their_responses(self) -> None:
        self.carrier(receipt_delay_seconds=1.0, receipt_first=True)
        esme = self.esme()
        done = esme.submit([submit_body("447700900001")])
        self.flush()
        self.assertEqual(len(esme.receipts), 1)
        self.assertNoResult(done)
        self.flush(1.0)
        self.assertEqual(self.successResultOf(done), [(c.ESME_ROK, esme.receipts[0].message_id)])

    def test_end_all_sends_every_receipt_early_and_only_once(self) -> None:
        self.carrier(receipt_delay_seconds=3600.0)
        esme = self.esme()
        ids = self.submit(esme, 50)
        self.simulated.end_all()
        self.flush()
        self.assertEqual(self.ids(esme), ids)
        self.flush(3600.0)
        self.assertEqual((len(esme.receipts), self.simulated.counters.acked), (50, 50))

    def test_receipts_go_to_receivers_and_not_to_transmitters(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        transmitter = self.esme(command_id=c.BIND_TRANSMITTER)
        receiver = self.esme(command_id=c.BIND_RECEIVER)
        ids = self.submit(transmitter, 10)
        self.flush(0.2)
        self.assertEqual(self.ids(receiver), ids)
        self.assertEqual(transmitter.all_read, 0)

    def test_receipts_are_dealt_out_to_all_binds_of_one_login_and_to_no_other(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        first, second, stranger = self.esme(), self.esme(), self.esme("b")
        ids = self.submit(first, 10)
        self.flush(0.2)
        self.assertEqual((len(first.receipts), len(second.receipts)), (5, 5))
        self.assertEqual(sorted(self.ids(first) + self.ids(second)), sorted(ids))
        self.assertEqual(stranger.all_read, 0)

    def test_receipts_wait_for_a_bind(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        transmitter = self.esme(command_id=c.BIND_TRANSMITTER)
        ids = self.submit(transmitter, 10)
        self.flush(5)
        self.assertEqual(self.simulated.counters.receipts_sent, 0)
        self.assertEqual(self.ids(self.esme(command_id=c.BIND_RECEIVER)), ids)

    def test_messages_may_get_two_receipts_no_receipt_or_an_intermediate_one(self) -> None:
        self.carrier(receipt_delay_seconds=0.1, duplicate_share=1.0, intermediate=True)
        esme = self.esme()
        [message_id] = self.submit(esme, 1)
        self.flush(0.2)
        self.assertEqual([receipt.stat for receipt in esme.receipts], ["ENROUTE", "DELIVRD", "DELIVRD"])
        self.assertEqual(set(self.ids(esme)), {message_id})
        self.assertEqual(esme.receipts[0].pdu.esm_class, c.ESM_CLASS_INTERMEDIATE)
        self.carrier(receipt_delay_seconds=0.1, silent_share=1.0)
        silent = self.esme()
        self.submit(silent, 5)
        self.flush(5)
        self.assertEqual(silent.all_read, 0)

    def test_no_more_receipts_are_unanswered_than_the_window_holds(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        esme = self.esme(window=2000)
        esme.answer = lambda pdu: None
        self.submit(esme, 1200)
        self.flush(0.2)
        self.assertEqual(esme.all_read, 500)


class Repeats(Carrier):
    def test_a_receipt_refused_for_now_is_sent_again(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        esme = self.esme()
        esme.answer = lambda pdu: c.ESME_RX_T_APPN
        [message_id] = self.submit(esme, 1)
        self.flush(0.1)
        self.assertEqual((esme.all_read, esme.receipts), (1, []))
        esme.answer = lambda pdu: c.ESME_ROK
        self.flush(RETRY_SECONDS)
        self.assertEqual(self.ids(esme), [message_id])
        self.assertEqual((self.simulated.counters.nacked, self.simulated.counters.acked), (1, 1))

    def test_a_receipt_refused_for_good_is_not_sent_again(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        esme = self.esme()
        esme.answer = lambda pdu: c.ESME_RX_P_APPN
        self.submit(esme, 1)
        self.flush(0.1)
        self.flush(60)
        self.assertEqual(esme.all_read, 1)

    def test_receipts_that_a_lost_session_did_not_acknowledge_go_to_another_in_the_same_order(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        esme = self.esme()
        esme.answer = lambda pdu: None
        ids = self.submit(esme, 10)
        self.flush(0.1)
        self.assertEqual(esme.all_read, 10)
        esme.abort()
        self.flush()
        self.assertEqual(self.ids(self.esme()), ids)

    def test_a_new_retry_does_not_delay_what_is_due_before_it(self) -> None:
        self.carrier(receipt_delay_seconds=0.1)
        esme = self.esme()
        esme.answer = lambda pdu: c.ESME_RX_T_APPN
        self.submit(esme, 1)
        self.flush(0.1)
        esme.answer = lambda pdu: c.ESME_ROK
        [second] = self.submit(esme, 1)
        self.flush(0.1)
        self.assertEqual(self.ids(esme), [second])


class Refusals(Carrier):
    def test_throttled_and_rejected_messages_are_answered_so_and_never_receipted(self) -> None:
        for settings, status in [
            ({"throttle_share": 1.0}, c.ESME_RTHROTTLED),
            ({"reject_share": 1.0}, c.ESME_RINVDSTADR),
        ]:
            self.carrier(receipt_delay_seconds=0.1, **settings)
            esme = self.esme()
            done = esme.submit([submit_body("447700900001")] * 3)
            self.flush()
            self.assertEqual(self.successResultOf(done), [(status, "")] * 3)
            self.flush(1)
            self.assertEqual(esme.all_read, 0)

    def test_a_dropped_connection_answers_nothing(self) -> None:
        self.carrier(drop_share=1.0)
        esme = self.esme()
        done = esme.submit([submit_body("447700900001")] * 3)
        self.flush()
        self.assertEqual(self.successResultOf(done), [(-1, "")] * 3)
        self.assertTrue(esme.lost)
        self.assertEqual(self.simulated.counters.dropped, 1)

    def test_stopping_drops_every_connection_and_leaves_no_timer(self) -> None:
        self.carrier(receipt_delay_seconds=1.0)
        first, second = self.esme(), self.esme("b")
        self.submit(first, 1)
        self.simulated.stop()
        self.simulated.stop()
        self.flush()
        self.assertTrue(first.lost and second.lost)
        self.assertEqual(self.simulated.sessions, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Questions(Carrier):
    def ask(self, esme: FastEsme, command_id: int, message_id: str) -> tuple[int, bytes]:
        tail = b"\0\0\0" if command_id == c.QUERY_SM else b"\0\0\0\0\0\0"
        head = b"" if command_id == c.QUERY_SM else b"\0"
        done = esme.ask(command_id, head + message_id.encode() + b"\0" + tail)
        self.flush()
        answer = self.successResultOf(done)
        return answer.command_status, answer.body

    def test_query_sm_tells_the_state(self) -> None:
        self.carrier(receipt_delay_seconds=1.0)
        esme = self.esme()
        [message_id] = self.submit(esme, 1)
        self.assertEqual(self.ask(esme, c.QUERY_SM, message_id), (c.ESME_ROK, message_id.encode() + b"\0\0\x01\0"))
        self.flush(1.0)
        status, body = self.ask(esme, c.QUERY_SM, message_id)
        self.assertEqual((status, body[-2:]), (c.ESME_ROK, b"\x02\0"))
        self.assertEqual(self.ask(esme, c.QUERY_SM, "1"), (c.ESME_RQUERYFAIL, b""))

    def test_cancel_sm_ends_a_message_as_deleted_unless_it_has_ended(self) -> None:
        self.carrier(receipt_delay_seconds=1.0)
        esme = self.esme()
        [message_id] = self.submit(esme, 1)
        self.assertEqual(self.ask(esme, c.CANCEL_SM, message_id)[0], c.ESME_ROK)
        self.flush(1.0)
        self.assertEqual([receipt.stat for receipt in esme.receipts], ["DELETED"])
        self.assertEqual(self.ask(esme, c.CANCEL_SM, message_id)[0], c.ESME_RCANCELFAIL)
