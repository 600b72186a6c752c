"""A new configuration under load: nothing is lost, unchanged connections stay up, and a bad file changes nothing."""

import signal
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from relay.values import smpp_constants as c
from tests.fakes import BindFailed, submit_body
from tests.integration.harness import (
    IntegrationTestCase,
    Relay,
    SimulatorPort,
    smpp_account,
    smpp_carrier,
    until,
    within,
)


class ReloadTestCase(IntegrationTestCase):
    def rewrite(self, relay: Relay, **tables: Any) -> None:
        """Changes the file and tells the relay."""
        relay.configuration |= tables
        relay.write_file()
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)

    def count(self, relay: Relay, event: str) -> int:
        return relay.log(10_000_000).count(f" {event}: ")

    async def taken(self, relay: Relay, **tables: Any) -> None:
        before = self.count(relay, "config_reloaded")
        self.rewrite(relay, **tables)
        await until("the file is taken up", lambda: self.count(relay, "config_reloaded") > before)


class ReloadTests(ReloadTestCase):
    async def start(self, **more: Any) -> None:
        self.simulator_port = await self.simulator()
        self.carriers = {"tier1": smpp_carrier(self.simulator_port.port)}
        self.accounts = {"acme": smpp_account()}
        self.started = await self.relay(
            accounts=self.accounts, carriers=self.carriers, routes=[{"carriers": ["tier1"]}], **more
        )
        await self.started.carrier_bound(self.simulator_port)

    async def test_a_route_whose_tag_no_list_gives_is_named_at_the_start_and_after_a_reload(self) -> None:
        numbers = self.directory / "ported.csv"
        numbers.write_text("4477009001,north\n")
        await self.start(lists={"ported": {"file": str(numbers), "tag_column": "2"}})
        self.assertEqual(0, self.count(self.started, "route_tag_unknown"))
        await self.taken(self.started, routes=[{"carriers": ["tier1"]}, {"tag": "nroth", "carriers": ["tier1"]}])
        said = "routes[1].tag: no line of the lists gives the tag 'nroth' now; did you mean 'north'?"
        await until("it is named", lambda: f"route_tag_unknown: {said}" in self.started.log())
        numbers.write_text("4477009001,nroth\n")
        await self.taken(self.started, lists={"ported": {"file": str(numbers), "tag_column": 2}})
        self.assertEqual(1, self.count(self.started, "route_tag_unknown"))
        numbers.write_text("4477009001,south\n")
        await self.started.stop()
        await self.started.start()
        self.assertEqual(2, self.count(self.started, "route_tag_unknown"))

    async def test_a_new_account_may_bind_and_a_removed_one_is_unbound(self) -> None:
        await self.start()
        esme = await self.esme(self.started.smpp_port)
        with self.assertRaises(BindFailed):
            await self.esme(self.started.smpp_port, "other", "secret09")
        await self.taken(self.started, accounts={"other": smpp_account("other", "secret09", api_key="other")})
        await within(10, esme.gone)
        other = await self.esme(self.started.smpp_port, "other", "secret09")
        [(status, _)] = await within(10, other.submit([submit_body("447700900001")]))
        self.assertEqual(c.ESME_ROK, status)
        self.assertIn("config_changed: accounts.other: added", self.started.log())
        self.assertIn("config_changed: accounts.acme: removed", self.started.log())

    async def test_a_changed_password_ends_sessions_and_another_change_does_not(self) -> None:
        await self.start()
        esme = await self.esme(self.started.smpp_port)
        await self.taken(self.started, accounts={"acme": smpp_account(rate=1000.0)})
        self.assertFalse(esme.lost)
        await self.taken(self.started, accounts={"acme": smpp_account(password="fresh001", rate=1000.0)})
        await within(10, esme.gone)
        self.assertNotIn("fresh001", self.started.log(1_000_000))

    async def test_each_login_gets_its_receipts_and_a_removed_one_is_unbound_alone(self) -> None:
        await self.start()
        billing = {"system_id": "billing", "password": "secret09"}
        await self.taken(self.started, accounts={"acme": smpp_account(smpp_logins={"billing": billing})})
        first = await self.esme(self.started.smpp_port)
        second = await self.esme(self.started.smpp_port, "billing", "secret09")
        for esme, count in ((first, 3), (second, 5)):
            answers = await within(10, esme.submit([submit_body(f"44770090000{n}") for n in range(count)]))
            self.assertEqual({c.ESME_ROK}, {status for status, _ in answers})
        await until("all receipts are there", lambda: len(first.receipts) + len(second.receipts) == 8)
        self.assertEqual((len(first.receipts), len(second.receipts)), (3, 5))
        await self.taken(self.started, accounts={"acme": smpp_account()})
        await within(10, second.gone)
        self.assertFalse(first.lost)

    async def test_a_changed_list_of_refused_numbers_counts_and_an_unreadable_one_changes_nothing(self) -> None:
        await self.start()
        esme = await self.esme(self.started.smpp_port)
        numbers = self.started.directory / "blocked.txt"
        numbers.write_text("447700900002\n")
        await self.taken(self.started, lists={"blocked": {"file": str(numbers), "on_match": "refuse"}})
        bodies = [submit_body("447700900001"), submit_body("447700900002")]
        for statuses in ([c.ESME_ROK, c.ESME_RINVDSTADR], [c.ESME_RINVDSTADR, c.ESME_ROK]):
            answers = await within(10, esme.submit(bodies))
            self.assertEqual(statuses, [status for status, _ in answers])
            numbers.write_text("447700900001\n")
            await self.taken(self.started)
        numbers.write_text("nobody\n")
        self.rewrite(self.started)
        await until("it is refused", lambda: "line 1 is no number" in self.started.log())
        answers = await within(10, esme.submit(bodies))
        self.assertEqual([c.ESME_RINVDSTADR, c.ESME_ROK], [status for status, _ in answers])

    async def test_a_bad_file_changes_nothing_and_says_why(self) -> None:
        await self.start()
        esme = await self.esme(self.started.smpp_port)
        good = dict(self.started.configuration)
        self.rewrite(self.started, carriers={"tier1": {"connect": "nonsense:1", "widow": 7}}, accounts={})
        await until("it is refused", lambda: "the file was not applied" in self.started.log())
        self.assertIn("widow", self.started.log())
        self.started.configuration = good
        [(status, _)] = await within(10, esme.submit([submit_body("447700900001")]))
        self.assertEqual(c.ESME_ROK, status)
        self.assertEqual(1, self.simulator_port.carrier.bound_sessions)

    async def test_changes_that_need_a_restart_are_named(self) -> None:
        await self.start()
        await self.taken(self.started, shutdown_seconds=7, data_dir="/nowhere")
        self.assertIn("config_needs_restart: data_dir", self.started.log())
        self.assertIn("config_changed: shutdown_seconds: 5.0 -> 7.0", self.started.log())

    async def test_a_carrier_that_did_not_change_keeps_its_connection(self) -> None:
        await self.start()
        other = await self.simulator()
        await self.taken(self.started, carriers=self.carriers | {"tier2": smpp_carrier(other.port)})
        await until("tier2 is bound", lambda: self.count(self.started, "carrier_bound") == 2)
        await self.taken(self.started, carriers=self.carriers | {"tier2": smpp_carrier(other.port, window=7)})
        await until("tier2 is bound anew", lambda: self.count(self.started, "carrier_bound") == 3)
        await self.taken(self.started, carriers=self.carriers)
        await until("tier2 is unbound", lambda: other.carrier.bound_sessions == 0)
        self.assertEqual(0, self.count(self.started, "carrier_lost: a connection to tier1"))
        self.assertEqual(1, self.started.log().count("carrier_bound: tier1"))

    async def test_a_removed_carrier_sends_what_it_has_queued_first(self) -> None:
        await self.start()
        slow = await self.simulator()
        self.carriers["slow"] = smpp_carrier(slow.port, rate=100)
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["slow"]}])
        await self.started.carrier_bound(slow)
        esme = await self.esme(self.started.smpp_port)
        answers = await within(20, esme.submit([submit_body("447700900001")] * 150))
        self.assertEqual({c.ESME_ROK}, {status for status, _ in answers})
        del self.carriers["slow"]
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["tier1"]}])
        await until("slow is unbound", lambda: slow.carrier.bound_sessions == 0)
        self.assertEqual(150, slow.counters.submits + self.simulator_port.counters.submits)
        self.assertGreater(slow.counters.submits, 100)

    async def test_a_removed_carrier_stays_bound_until_its_receipts_are_home(self) -> None:
        await self.start()
        late = await self.simulator(receipt_delay_seconds=2.0)
        self.carriers["late"] = smpp_carrier(late.port)
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["late"]}])
        await self.started.carrier_bound(late)
        esme = await self.esme(self.started.smpp_port)
        await within(20, esme.submit([submit_body("447700900001")] * 50))
        await until("they are with the carrier", lambda: late.counters.submits == 50)
        del self.carriers["late"]
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["tier1"]}])
        await within(20, esme.submit([submit_body("447700900001")] * 50))
        await until("it drains", lambda: self.count(self.started, "carrier_draining"))
        self.assertEqual(1.0, await self.metric(self.started, "relay_carrier_draining", carrier="late"))
        self.assertEqual(50.0, await self.metric(self.started, "relay_carrier_receipts_out", carrier="late"))
        await until("every receipt is home", lambda: len(esme.receipts) == 100)
        await until("it is unbound", lambda: late.carrier.bound_sessions == 0)
        self.assertEqual({"DELIVRD"}, {receipt.stat for receipt in esme.receipts})
        self.assertEqual((50, 50), (late.counters.submits, self.simulator_port.counters.submits))
        self.assertIn("carrier_removed: late is unbound; outstanding receipts that are lost: 0", self.started.log())

    async def test_a_removed_carrier_that_comes_back_takes_its_receipts(self) -> None:
        await self.start()
        late = await self.simulator(receipt_delay_seconds=3.0)
        with_late = self.carriers | {"late": smpp_carrier(late.port)}
        await self.taken(self.started, carriers=with_late, routes=[{"carriers": ["late"]}])
        await self.started.carrier_bound(late)
        esme = await self.esme(self.started.smpp_port)
        await within(20, esme.submit([submit_body("447700900001")] * 20))
        await until("they are with the carrier", lambda: late.counters.submits == 20)
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["tier1"]}])
        await until("it drains", lambda: self.count(self.started, "carrier_draining"))
        await self.taken(self.started, carriers=with_late, routes=[{"carriers": ["late"]}])
        await until("it is bound anew", lambda: self.started.log().count("carrier_bound: late") == 2)
        await until("every receipt is home", lambda: len(esme.receipts) == 20)
        self.assertEqual(1, late.carrier.bound_sessions)
        self.assertEqual(0, self.count(self.started, "carrier_removed"))

    async def test_a_stop_does_not_wait_for_the_receipts_of_a_carrier_that_drains(self) -> None:
        await self.start()
        late = await self.simulator(receipt_delay_seconds=600.0)
        with_late = self.carriers | {"late": smpp_carrier(late.port)}
        await self.taken(self.started, carriers=with_late, routes=[{"carriers": ["late"]}])
        await self.started.carrier_bound(late)
        esme = await self.esme(self.started.smpp_port)
        await within(20, esme.submit([submit_body("447700900001")] * 20))
        await until("they are with the carrier", lambda: late.counters.submits == 20)
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["tier1"]}])
        await until("it drains", lambda: self.count(self.started, "carrier_draining"))
        await within(10, self.started.stop())
        await until("it is unbound", lambda: late.carrier.bound_sessions == 0)
        self.assertIn("relay_stopped", self.started.log())

    async def test_messages_queued_for_a_removed_carrier_that_is_down_take_the_new_routes(self) -> None:
        await self.start()
        self.carriers["dead"] = smpp_carrier(1)
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["dead"]}])
        esme = await self.esme(self.started.smpp_port)
        await within(20, esme.submit([submit_body("447700900001")] * 20))
        del self.carriers["dead"]
        await self.taken(self.started, carriers=self.carriers, routes=[{"carriers": ["tier1"]}])
        await until("every receipt is home", lambda: len(esme.receipts) == 20)


class ReloadUnderLoadTests(ReloadTestCase):
    async def test_a_hundred_reloads_under_load_lose_no_message(self) -> None:
        simulators = [await self.simulator(receipt_delay_seconds=0.2) for _ in range(3)]
        names = [f"tier{number}" for number in range(3)]
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers=self.variant(simulators, 0)["carriers"],
            routes=[{"carriers": names[:2]}],
        )
        await relay.carrier_bound(simulators[0])
        esme = await self.esme(relay.smpp_port, window=200)
        ids: list[str] = []
        stop = False

        async def load() -> None:
            while not stop:
                answers = await esme.submit([submit_body("447700900001")] * 100)
                ids.extend(message_id for status, message_id in answers if status == c.ESME_ROK)
                assert all(status == c.ESME_ROK for status, _ in answers), answers
                await task.deferLater(reactor, 0.02)

        loading = Deferred.fromCoroutine(load())
        for number in range(1, 101):
            await self.taken(relay, **self.variant(simulators, number))
            # However fast reloads are on this machine: the load keeps up with them.
            await until("messages came in between", lambda number=number: len(ids) > 30 * number)
        stop = True
        await within(30, loading)
        await until("every receipt is home", lambda: len(esme.receipts) >= len(ids), 40)
        self.assertGreater(len(ids), 3000)
        self.assertEqual(set(ids), {receipt.message_id for receipt in esme.receipts})
        self.assertEqual(100, self.count(relay, "config_reloaded"))
        self.assertFalse(esme.lost)
        self.assertEqual(0, self.count(relay, "task_failed"))
        self.assertEqual({"DELIVRD"}, {receipt.stat for receipt in esme.receipts})

    def variant(self, simulators: list[SimulatorPort], number: int) -> dict[str, Any]:
        """The configuration of the n-th reload: windows change, a carrier comes and goes, routes turn round."""
        ports = [simulator.port for simulator in simulators]
        carriers = {
            "tier0": smpp_carrier(ports[0], window=100 + number // 4),
            "tier1": smpp_carrier(ports[1]),
        }
        order = ["tier0", "tier1"]
        if number % 3 == 1:
            carriers["tier2"] = smpp_carrier(ports[2])
            order = ["tier2", *order]
        if number % 2:
            order.reverse()
        return {"carriers": carriers, "routes": [{"carriers": order}]}


class CorrectedDialectTests(ReloadTestCase):
    """Receipts come with their ids in hexadecimal, and the file doesn't say so yet."""

    COUNT = 300

    async def mismatched(self, orphan_seconds: float = 600.0, **account: Any) -> list[str]:
        """Messages all of whose receipts are orphans; gives their ids."""
        self.carrier: SimulatorPort = await self.simulator(receipt_id="hex")
        self.started = await self.relay(
            accounts={"acme": smpp_account(**account)},
            carriers={"tier1": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["tier1"]}],
            limits={"orphan_seconds": orphan_seconds},
        )
        await self.started.carrier_bound(self.carrier)
        self.customer = await self.esme(self.started.smpp_port)
        answers = await within(20, self.customer.submit([submit_body(f"4477{n:08}") for n in range(self.COUNT)]))
        await until("the receipts are acknowledged", lambda: self.carrier.counters.acked == self.COUNT)
        if orphan_seconds >= 600.0:
            self.assertEqual(self.COUNT, await self.metric(self.started, "relay_store_orphans"))
        self.assertEqual([], self.customer.receipts)
        return sorted(message_id for _, message_id in answers)

    def corrected(self) -> dict[str, Any]:
        return {"tier1": smpp_carrier(self.carrier.port, dialect={"receipt_id": {"base": "hex"}})}

    async def all_home(self, expected: list[str], customer: Any) -> None:
        await until("every receipt is home", lambda: len(customer.receipts) >= self.COUNT)
        self.assertEqual(expected, sorted(receipt.message_id for receipt in customer.receipts))
        self.assertEqual({"DELIVRD"}, {receipt.stat for receipt in customer.receipts})
        await until("it is said", lambda: self.count(self.started, "orphans_reread"))
        said = f"orphans_reread: {self.COUNT} of {self.COUNT} kept receipts of tier1 found their messages"
        self.assertIn(said, self.started.log())
        self.assertEqual(0, await self.metric(self.started, "relay_store_orphans"))
        self.assertEqual(self.COUNT, await self.metric(self.started, "relay_receipts_reread_total", carrier="tier1"))
        ended = await self.metric(self.started, "relay_carrier_ended_total", carrier="tier1", status="DELIVRD")
        self.assertEqual(self.COUNT, ended)

    async def test_a_reload_with_the_right_dialect_brings_the_receipts_home(self) -> None:
        webhooks = await self.webhooks()
        ids = await self.mismatched(notification_url=webhooks.url)
        await self.taken(self.started, carriers=self.corrected())
        await self.all_home(ids, self.customer)
        await until("the webhooks have come", lambda: len(webhooks.posts) >= self.COUNT)
        self.assertEqual(ids, sorted(post.json["id"] for post in webhooks.posts))
        # Neither does a start bring any of them a second time.
        await self.started.stop()
        await self.started.start()
        self.assertEqual(0, await self.metric(self.started, "relay_store_orphans"))
        self.assertEqual(0, await self.metric(self.started, "relay_receipts_reread_total", carrier="tier1"))

    async def test_a_restart_with_the_right_dialect_brings_the_receipts_home(self) -> None:
        ids = await self.mismatched()
        self.started.kill()
        self.started.configuration["carriers"] = self.corrected()
        await self.started.start()
        await self.all_home(ids, await self.esme(self.started.smpp_port))

    async def test_receipts_that_waited_in_vain_are_brought_home_by_the_right_dialect_as_well(self) -> None:
        ids = await self.mismatched(orphan_seconds=0.2)

        async def kept() -> float:
            try:
                return await self.metric(self.started, "relay_store_evidence", carrier="tier1")
            except AssertionError:
                return 0

        async def all_kept() -> bool:
            return await kept() == self.COUNT

        for restarts in (False, True):
            if restarts:
                self.started.kill()
                await self.started.start()
            await until("they are kept", all_kept)
            self.assertEqual(0, await self.metric(self.started, "relay_store_orphans"))
        # A change with which none finds its message leaves them.
        wrong = {"tier1": smpp_carrier(self.carrier.port, dialect={"receipt_id": {"strip_suffix": "x"}})}
        await self.taken(self.started, carriers=wrong)
        await until("it is said", lambda: f"0 of {self.COUNT} kept receipts of tier1" in self.started.log())
        self.assertEqual(self.COUNT, await kept())
        self.customer = await self.esme(self.started.smpp_port)
        before = self.count(self.started, "orphans_reread")
        await self.taken(self.started, carriers=self.corrected())
        await until("it is said again", lambda: self.count(self.started, "orphans_reread") > before)
        await self.all_home(ids, self.customer)
        self.assertEqual(0, await kept())

    async def test_a_reload_with_another_wrong_dialect_leaves_them_for_the_right_one(self) -> None:
        ids = await self.mismatched()
        wrong = {"tier1": smpp_carrier(self.carrier.port, dialect={"receipt_id": {"strip_suffix": "x"}})}
        await self.taken(self.started, carriers=wrong)
        await until("it is said", lambda: f"0 of {self.COUNT} kept receipts of tier1" in self.started.log())
        self.assertEqual(self.COUNT, await self.metric(self.started, "relay_store_orphans"))
        before = self.count(self.started, "orphans_reread")
        await self.taken(self.started, carriers=self.corrected())
        await until("it is said again", lambda: self.count(self.started, "orphans_reread") > before)
        await self.all_home(ids, self.customer)
