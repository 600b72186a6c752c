"""Binding to a carrier: what the bind says, the pause before the next one, and what a refusal tells the operator."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.binds import pause_seconds
from relay.smpp.rules import HEADER_OCTETS, header
from relay.values import smpp_constants as c
from tests.carriers.test_link import CarrierLinkTestCase


class PauseTests(SynchronousTestCase):
    def test_it_doubles_from_the_shortest_to_the_longest(self) -> None:
        pauses = [pause_seconds(failures, 1.0, 60.0, fraction=1.0) for failures in range(8)]
        self.assertEqual(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])

    @given(st.integers(0, 10_000), st.floats(0, 1))
    def test_jitter_takes_away_half_at_the_most(self, failures: int, fraction: float) -> None:
        whole = pause_seconds(failures, 1.0, 60.0, 1.0)
        self.assertTrue(whole / 2 <= pause_seconds(failures, 1.0, 60.0, fraction) <= whole)


class BindTests(CarrierLinkTestCase):
    """Links to a carrier that refuses every bind with `status`, and notes the octets of each."""

    status = c.ESME_RINVCMDID

    def bind_to_refusing_carrier(self, **fields: Any) -> tuple[bytes, str, str]:
        """The first bind's octets, the log line and the error in the status."""
        binds: list[bytes] = []
        status = self.status

        class Refusing(Protocol):
            def dataReceived(self, data: bytes) -> None:
                binds.append(data)
                _, command_id, _, number = header.unpack(data[:HEADER_OCTETS])
                assert self.transport is not None
                self.transport.write(header.pack(HEADER_OCTETS, command_id | c.RESPONSE_BIT, status, number))

        self.network.listen("refusing", Factory.forProtocol(Refusing))
        said = self.enterContext(capturedLogs())
        link = self.make_link("refusing", **fields)
        lines = [line for line in said if (line.get("log_format") or "").startswith("carrier_bind_refused")]
        return binds[0], str(formatEvent(lines[0])), link.last_error

    def test_a_refused_bind_transceiver_names_the_other_kind_of_binds(self) -> None:
        for self.status in (c.ESME_RINVCMDID, c.ESME_RINVBNDSTS, c.ESME_RBINDFAIL):
            _, line, error = self.bind_to_refusing_carrier()
            self.assertIn("bind: transmitter+receiver", line)
            self.assertIn("bind: transmitter+receiver", error)

    def test_other_refusals_do_not_name_it(self) -> None:
        for self.status, bind in ((c.ESME_RINVPASWD, "transceiver"), (c.ESME_RINVCMDID, "transmitter+receiver")):
            _, line, error = self.bind_to_refusing_carrier(bind=bind)
            self.assertIn(c.status_name(self.status), line)
            self.assertNotIn("transmitter+receiver", line + error)

    def test_the_bind_says_the_numbers_of_the_settings(self) -> None:
        bind, _, _ = self.bind_to_refusing_carrier(addr_ton=1, addr_npi=2, address_range="^4477", system_type="VMA")
        self.assertTrue(bind.endswith(b"VMA\0\x34\x01\x02^4477\0"), bind)
        bind, _, _ = self.bind_to_refusing_carrier()
        self.assertTrue(bind.endswith(b"\0\x34\0\0\0"), bind)
