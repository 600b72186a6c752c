"""A link sends nothing while another relay of the cluster could have its parts."""

from tests.carriers.test_link import CarrierLinkTestCase


class HandGate:
    """A gate that the test opens and shuts."""

    def __init__(self) -> None:
        self.open = True


class WorkGateTests(CarrierLinkTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.gate = self.flow.gate = HandGate()

    def test_nothing_is_sent_while_it_is_shut_and_everything_when_it_opens(self) -> None:
        for in_doubt in ("resend", "end"):
            name = f"sim-{in_doubt}"
            link = self.link(name, in_doubt=in_doubt)
            self.flow.routes = type(self.flow.routes)(self.routes(name))
            self.gate.open = False
            before = len(self.store.taken)
            self.submit(3)
            self.turn(30.0)
            self.assertEqual((len(self.store.taken) - before, link.queued), (0, 3))
            self.gate.open = True
            self.turn(1.0)
            self.assertEqual((len(self.store.taken) - before, link.queued), (3, 0))

    def test_parts_that_were_marked_are_not_written_if_it_shuts_meanwhile(self) -> None:
        link = self.link(in_doubt="end")
        mark = self.store.sending

        def shut_and_mark(parts: list[tuple[bytes, int]], carrier: str) -> object:
            if carrier:
                self.gate.open = False
            return mark(parts, carrier)

        self.store.sending = shut_and_mark
        self.submit(2)
        self.turn(1.0)
        self.assertEqual((len(self.store.taken), link.queued), (0, 2))
