"""Removed carriers: they stay bound until their receipts have come, and no longer than `drain_hours`."""

from typing import Any

from twisted.internet.defer import Deferred, succeed

from relay.carriers.draining import SENDING_SECONDS, DrainingCarriers
from relay.carriers.link import CarrierLink
from relay.routing.routes import Routes
from tests.carriers.test_link import CarrierLinkTestCase, LinkStore


class CountingStore(LinkStore):
    """Knows how many receipts are out; those that come are taken off."""

    def receipts_out(self, carrier: str) -> Deferred[int]:
        mine = {s.carrier_message_id for s in self.taken if s.carrier == carrier}
        return succeed(len(mine - {key for receipt in self.received for key in receipt.keys}))

    def look_up(self, message_id: bytes) -> Deferred[Any]:
        for message in self.accepted:
            if message.id == message_id:
                return succeed(View(message.addresses))
        return succeed(None)


class View:
    """As much of a message's view as sending it anew takes."""

    final = False
    tags = ()
    tried = ()
    ending = False

    def __init__(self, addresses: bytes) -> None:
        self.addresses = addresses


class DrainTests(CarrierLinkTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hours = 72.0
        self.gone: list[str] = []
        self.drains = DrainingCarriers(
            self.flow,
            self.clock,
            limit_seconds=lambda: self.hours * 3600.0,
            shutdown_seconds=lambda: 5.0,
            gone=self.note_gone,
        )

    def make_store(self) -> Any:
        return CountingStore()

    async def note_gone(self, name: str) -> None:
        self.gone.append(name)

    def remove(self, name: str = "sim") -> CarrierLink:
        """What a reload does with a carrier that isn't in the file any more."""
        link = self.links.pop(name)
        self.flow.reroute(Routes([]), self.links, 3600.0)
        self.drains.begin(name, link)
        self.turn()
        return link

    def wait(self, seconds: float) -> None:
        for _ in range(20):
            self.turn(seconds / 20, steps=10)

    def test_it_stays_bound_until_its_last_receipt_is_home(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 600.0})
        self.submit(3)
        link = self.remove()
        self.wait(590.0)
        self.assertEqual((link.bound_count, self.drains.all["sim"].receipts_out, self.gone), (1, 3, []))
        self.wait(30.0)
        self.assertEqual(len(self.store.received), 3)
        self.assertEqual(self.carriers["sim"].counters.acked, 3)
        self.assertEqual((link.bound_count, dict(self.drains.all), self.gone), (0, {}, ["sim"]))

    def test_nothing_new_is_sent_to_it_once_its_queue_is_empty(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 600.0})
        self.submit(1)
        link = self.remove()
        self.wait(1.0)
        self.assertFalse(link.up)
        self.assertEqual(self.carriers["sim"].counters.submits, 1)

    def test_after_its_hours_it_is_unbound_with_receipts_still_out(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 1e9})
        self.submit(1)
        link = self.remove()
        self.wait(71 * 3600.0)
        self.assertEqual(link.bound_count, 1)
        self.wait(2 * 3600.0)
        self.assertEqual((link.bound_count, self.gone), (0, ["sim"]))

    def test_fewer_hours_hold_for_what_drains_already(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 1e9})
        self.submit(1)
        link = self.remove()
        self.wait(3600.0)
        self.hours = 0.5
        self.drains.look()
        self.wait(10.0)
        self.assertEqual(link.bound_count, 0)

    def test_with_no_hours_it_is_unbound_once_its_queue_is_sent(self) -> None:
        self.hours = 0.0
        self.link(simulator={"receipt_delay_seconds": 1e9}, rate=1.0)
        self.submit(5)
        link = self.remove()
        self.assertEqual(link.bound_count, 1)
        self.wait(10.0)
        self.assertEqual((link.bound_count, self.carriers["sim"].counters.submits), (0, 5))

    def test_an_operator_may_cut_it_short(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 1e9})
        self.submit(1)
        link = self.remove()
        self.wait(10.0)
        self.drains.cut_short("sim")
        self.wait(10.0)
        self.assertEqual(link.bound_count, 0)
        self.drains.cut_short("sim")

    def test_a_connection_that_ends_is_made_anew_for_the_receipts(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 600.0})
        self.submit(3)
        link = self.remove()
        self.wait(10.0)
        self.network.cut("sim")
        self.turn()
        self.assertEqual(link.bound_count, 0)
        self.wait(10.0)
        self.assertEqual(link.bound_count, 1)
        self.assertEqual(self.gone, [])

    def test_messages_that_it_can_not_send_go_to_another_carrier_and_its_receipts_are_awaited(self) -> None:
        link = self.link(simulator={"receipt_delay_seconds": 1e9}, rate=0.01)
        self.link("other")
        self.submit(10)
        self.links.pop("sim")
        self.flow.reroute(Routes(self.routes("other")), self.links, 3600.0)
        self.drains.begin("sim", link)
        self.wait(SENDING_SECONDS + 10.0)
        sent = self.carriers["sim"].counters.submits
        self.assertLess(sent, 10)
        self.assertEqual(self.carriers["other"].counters.submits, 10 - sent)
        self.assertEqual((link.bound_count, self.drains.all["sim"].receipts_out), (1, sent))

    def test_a_carrier_that_takes_over_gets_the_link_and_the_drain_ends(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 1e9})
        self.submit(1)
        link = self.remove()
        self.wait(10.0)
        self.assertIs(self.drains.take_over("sim"), link)
        self.assertIsNone(self.drains.take_over("sim"))
        self.wait(100 * 3600.0)
        self.assertEqual((link.bound_count, self.gone), (1, []))

    def test_a_stop_unbinds_at_once(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 1e9})
        self.submit(1)
        link = self.remove()
        self.wait(10.0)
        stopped = Deferred.fromCoroutine(self.drains.stop())
        self.turn()
        self.successResultOf(stopped)
        self.assertEqual((link.bound_count, self.gone), (0, []))

    def test_a_stop_leaves_what_is_queued_to_the_journal(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 1e9}, rate=0.01)
        self.link("other")
        self.submit(10)
        self.remove()
        stopped = Deferred.fromCoroutine(self.drains.stop())
        self.wait(10.0)
        self.successResultOf(stopped)
        self.assertEqual(self.carriers["other"].counters.submits, 0)
