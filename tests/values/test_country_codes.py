"""Country codes of numbers."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.country_codes import COUNTRY_CODES, codes_of_prefix, country_code


class CountryCodeTests(SynchronousTestCase):
    """A number's first digits say its country code."""

    def test_codes_have_one_two_or_three_digits(self) -> None:
        numbers = (b"12025550100", b"+447700900001", b"4915112345678", b"3906698", b"35312345", b"9989012", b"79161")
        self.assertEqual([country_code(n) for n in numbers], ["1", "44", "49", "39", "353", "998", "7"])

    def test_a_number_without_an_assigned_code_has_none(self) -> None:
        for number in (b"", b"+", b"0044", b"2101234", b"12", b"99900"):
            with self.subTest(number):
                self.assertEqual(country_code(number), "")

    def test_no_code_is_the_beginning_of_another(self) -> None:
        for code in COUNTRY_CODES:
            self.assertEqual([other for other in COUNTRY_CODES if other.startswith(code)], [code])

    def test_a_prefix_stands_for_all_countries_whose_numbers_begin_so(self) -> None:
        self.assertEqual(codes_of_prefix("4477"), {"44"})
        self.assertEqual(codes_of_prefix("99"), {"992", "993", "994", "995", "996", "998"})
        self.assertEqual(codes_of_prefix("3"), {c for c in COUNTRY_CODES if c.startswith("3")})
        self.assertEqual(codes_of_prefix(""), COUNTRY_CODES | {""})

    @given(st.sampled_from(sorted(COUNTRY_CODES)), st.integers(0, 10**9))
    def test_a_number_is_found_under_each_of_its_prefixes(self, code: str, rest: int) -> None:
        number = f"{code}{rest:09}"
        self.assertEqual(country_code(number.encode()), code)
        for length in range(len(number)):
            self.assertIn(code, codes_of_prefix(number[:length]))
