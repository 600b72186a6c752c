"""What the operator sees of a relay in a cluster: health, page, metrics and `relay status`."""

import io
import json

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from relay.cli.command_parser import Paint
from relay.cli.status import report
from relay.cluster.cluster_look import ClusterLook, NodeLook, ShardLook
from relay.cluster.cluster_values import ServerState
from relay.cluster.membership import ClusterState
from relay.config.model import Config
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import AdminRequest, Reply
from relay.operator.health import readiness
from relay.operator.metrics import Metrics
from relay.operator.overview import Observer
from tests.operator.operated import OperatedDaemon

LOOK = ClusterLook(
    "id",
    1,
    4,
    1,
    ServerState("15.18", (), True, (("db2", "streaming", "quorum", 0),)),
    [ShardLook(0, 3, "a", 60.0, 0.5, 5.0)],
    [NodeLook("a", "0.2.0", True, 0.5, 0, 1, False), NodeLook("b", "0.2.0", False, 0.5, 7, 1, False)],
    100,
)
WORKS = ClusterState("a", "a", 3, True, "", 900.0, LOOK, [])
STANDS_BY = ClusterState("b", "a", 0, False, "stands by: a works", 0.0, LOOK, [])


class Member:
    """A place in a cluster that the test chooses."""

    def __init__(self, state: ClusterState) -> None:
        self.present = state

    async def acquire(self) -> None: ...
    def follows(self) -> bool:
        return True

    def finish_writing(self) -> None: ...
    async def release(self) -> None: ...
    def use_file(self, config: Config) -> None: ...
    def start_again(self, reason: str) -> None: ...

    def state(self) -> ClusterState:
        return self.present


class PlaceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = OperatedDaemon()
        for name in self.daemon.config.carriers:
            self.daemon.bind(name)
        self.member = Member(WORKS)
        self.daemon.membership = self.member
        self.observer = Observer(self.daemon, self.daemon.clock)

    def stand_by(self) -> None:
        self.member.present = STANDS_BY
        self.daemon.not_ready = "standing by"


class HealthTests(PlaceTestCase):
    def test_the_relay_that_works_is_ready(self) -> None:
        state = readiness(self.daemon)
        self.assertTrue(state.ready)
        self.assertIn(("cluster", True), [(stage.name, stage.ok) for stage in state.stages])

    def test_a_relay_that_stands_by_is_not_ready_so_that_no_traffic_goes_there(self) -> None:
        self.stand_by()
        self.assertFalse(readiness(self.daemon).ready)

    def test_an_owner_that_can_not_renew_its_lease_is_not_ready(self) -> None:
        self.member.present = msgspec.structs.replace(WORKS, works=False, reason="the database is away: no answer")
        [stage] = [stage for stage in readiness(self.daemon).stages if stage.name == "cluster"]
        self.assertEqual((stage.ok, stage.reason), (False, "the database is away: no answer"))
        self.assertIn("cluster: the database is away: no answer", self.observer.look().troubles)


class PageTests(PlaceTestCase):
    def test_standing_by_is_nothing_wrong(self) -> None:
        self.stand_by()
        self.assertEqual(self.observer.look().troubles, [])

    def test_what_is_wrong_with_the_cluster_is_shown(self) -> None:
        self.member.present = msgspec.structs.replace(WORKS, troubles=["no other node stands by"])
        self.assertIn("no other node stands by", self.observer.look().troubles)

    def test_actions_are_refused_while_another_relay_works(self) -> None:
        self.stand_by()
        pages = AdminPages(self.daemon, None, self.observer, None)  # type: ignore[arg-type]
        reply: list[Reply] = []

        async def ask() -> None:
            reply.append(await pages.act_on_carrier(AdminRequest("POST", ["carriers", "t", "hold"], {}, b"{}", "::1")))

        self.assertRaises(StopIteration, ask().send, None)
        self.assertEqual(reply[0].status, 503)
        self.assertIn("a works", json.loads(reply[0].body)["error"])


class MetricsTests(PlaceTestCase):
    def shown(self) -> list[str]:
        return Metrics(self.daemon, self.daemon.clock.seconds).exposition().decode().splitlines()

    def test_they_say_who_works_and_who_could_take_over(self) -> None:
        for line in (
            "relay_cluster_owner 1.0",
            "relay_cluster_works 1.0",
            "relay_cluster_epoch 3.0",
            "relay_cluster_nodes_standing_by 1.0",
            'relay_cluster_rows_behind{node="b"} 7.0',
            "relay_cluster_synchronous_standbys 1.0",
        ):
            self.assertIn(line, self.shown())

    def test_a_relay_that_is_alone_has_none_of_them(self) -> None:
        self.daemon.membership = None
        self.assertFalse([line for line in self.shown() if "cluster" in line])


class StatusTests(PlaceTestCase):
    def test_the_command_shows_the_nodes(self) -> None:
        shown = report(json.loads(msgspec.json.encode(self.observer.look())), Paint(io.StringIO()))
        self.assertIn("cluster: this is a: works under epoch 3; a has worked for 1 min", shown)
        self.assertIn("b (7 rows behind, seen 0 s ago)", shown)
        self.assertIn("database standbys: db2 (quorum)", shown)

    def test_a_relay_that_stands_by_says_so(self) -> None:
        self.stand_by()
        shown = report(json.loads(msgspec.json.encode(self.observer.look())), Paint(io.StringIO()))
        self.assertIn(", stands by, ", shown)
        self.assertNotIn("NOT READY", shown)
