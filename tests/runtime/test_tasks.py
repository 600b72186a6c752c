"""Background tasks: failures are logged, and a stop can wait for them."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.tasks import Tasks


class TasksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tasks = Tasks(Logger())

    def test_a_failure_is_logged_and_nothing_else_stops(self) -> None:
        async def fail() -> None:
            raise RuntimeError("as planned")

        self.tasks.start(fail())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_failure_that_comes_later_is_logged_as_well(self) -> None:
        gate: Deferred[None] = Deferred()

        async def fail() -> None:
            await gate
            raise RuntimeError("as planned")

        self.tasks.start(fail())
        self.assertEqual(self.flushLoggedErrors(RuntimeError), [])
        gate.callback(None)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_wait_returns_when_the_last_one_has_ended(self) -> None:
        gates: list[Deferred[None]] = [Deferred(), Deferred()]

        async def run(gate: Deferred[None]) -> None:
            await gate

        for gate in gates:
            self.tasks.start(run(gate))
        waiting = Deferred.fromCoroutine(self.tasks.wait())
        gates[0].callback(None)
        self.assertNoResult(waiting)
        gates[1].callback(None)
        self.successResultOf(waiting)

    def test_wait_with_nothing_under_way_returns_at_once(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.tasks.wait()))

    def test_cancel_ends_what_is_under_way_without_an_error(self) -> None:
        gate: Deferred[None] = Deferred()
        ended = []

        async def run() -> None:
            try:
                await gate
            finally:
                ended.append(True)

        self.tasks.start(run())
        self.successResultOf(Deferred.fromCoroutine(self.tasks.cancel()))
        self.assertEqual(ended, [True])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_a_coroutine_waits_for_is_its_result_or_its_exception(self) -> None:
        gates: list[Deferred[str]] = [Deferred(), Deferred(), Deferred()]
        got: list[object] = []

        async def run() -> None:
            got.append(await gates[0])
            try:
                await gates[1]
            except OSError as problem:
                got.append(problem.errno)
            got.append(await gates[2])

        self.tasks.start(run())
        gates[0].callback("first")
        gates[1].errback(OSError(28, "full"))
        self.assertEqual(got, ["first", 28])
        gates[2].callback("last")
        self.assertEqual(got, ["first", 28, "last"])
        self.successResultOf(Deferred.fromCoroutine(self.tasks.wait()))

    def test_a_coroutine_may_go_on_after_it_was_cancelled(self) -> None:
        gates: list[Deferred[None]] = [Deferred(), Deferred()]

        async def run() -> None:
            try:
                await gates[0]
            except CancelledError:
                await gates[1]

        self.tasks.start(run())
        cancelling = Deferred.fromCoroutine(self.tasks.cancel())
        self.assertNoResult(cancelling)
        gates[1].callback(None)
        self.successResultOf(cancelling)

    def test_a_service_may_report_failures_itself(self) -> None:
        failures: list[str] = []
        tasks = Tasks(Logger(), lambda failure: failures.append(failure.getErrorMessage()))
        gate: Deferred[None] = Deferred()

        async def fail(*gates: Deferred[None]) -> None:
            for gate in gates:
                await gate
            raise RuntimeError(f"after {len(gates)}")

        tasks.start(fail())
        tasks.start(fail(gate))
        gate.callback(None)
        self.assertEqual(failures, ["after 0", "after 1"])
