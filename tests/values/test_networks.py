"""All addresses of one customer count as one."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.networks import network_of


class NetworkOfTests(SynchronousTestCase):
    @given(st.ip_addresses(v=6), st.ip_addresses(v=6))
    def test_ipv6_addresses_count_together_by_their_first_half(self, one: object, two: object) -> None:
        if getattr(one, "ipv4_mapped", None) or getattr(two, "ipv4_mapped", None):
            return
        same = int(one) >> 64 == int(two) >> 64  # type: ignore[call-overload]
        self.assertEqual(network_of(str(one)) == network_of(str(two)), same)

    @given(st.ip_addresses(v=4))
    def test_an_ipv4_address_counts_alone_also_in_ipv6_form(self, address: object) -> None:
        self.assertEqual(network_of(str(address)), str(address))
        self.assertEqual(network_of(f"::ffff:{address}"), str(address))

    def test_a_zone_is_no_part_of_the_network_and_what_is_no_address_counts_as_itself(self) -> None:
        self.assertEqual(network_of("fe80::1%eth0"), network_of("fe80::2"))
        for text in ("", "/run/relay.sock", "a:b"):
            self.assertEqual(network_of(text), text)
