"""Lists of numbers: what is on them, their tags, and how much memory they take."""

from array import array
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.route_config import Route
from relay.routing.number_lists import NamedList, NumberList, NumberLists
from relay.routing.routes import Routes

entries = st.lists(st.text("0123456789", min_size=1, max_size=6), max_size=30)


class NumberListTests(SynchronousTestCase):
    """One file."""

    @given(entries, st.text("0123456789", min_size=1, max_size=8))
    def test_a_number_is_on_the_list_if_it_begins_with_an_entry(self, lines: list[str], number: str) -> None:
        found = NumberList(lines).find(number)
        self.assertEqual(found is not None, any(number.startswith(line) for line in lines))

    @given(entries, st.text("0123456789", min_size=1, max_size=8))
    def test_the_longest_entry_gives_the_tag_and_of_two_equal_ones_the_first(
        self, lines: list[str], number: str
    ) -> None:
        numbered = [f"{line},tag{n}" for n, line in enumerate(lines)]
        matching = [(-len(line), n) for n, line in enumerate(lines) if number.startswith(line)]
        expected = f"tag{min(matching)[1]}" if matching else None
        self.assertEqual(NumberList(numbered, "2").find(number), expected)

    def test_comments_empty_lines_pluses_and_line_ends_are_skipped(self) -> None:
        numbers = NumberList(["\ufeff# opt-outs\r\n", "\r\n", " +447700900123 \r\n", "4477009002\n"])
        self.assertEqual(len(numbers), 2)
        self.assertEqual(numbers.find("447700900123"), "")
        self.assertIsNone(numbers.find("447700900124"))

    def test_the_tag_column_is_named_by_the_first_line_or_counted(self) -> None:
        for separator in ",;\t":
            head, line = f"number{separator}country{separator}network", f'"447"{separator}UK{separator}"north"'
            self.assertEqual(NumberList([head, line], "network").find("4477"), "north")
            self.assertEqual(NumberList([line], "3").find("4477"), "north")

    def test_a_line_that_cannot_be_read_is_named(self) -> None:
        for lines, column, words in (
            (["447", "nobody"], "", "line 2 is no number"),
            (["4" * 20], "", "line 1 is no number of up to 19 digits"),
            (["447", "448,x"], "", "line 2 is no number"),
            (["number,net", "447,x"], "network", "line 1 names the columns, and none of them is 'network'"),
            (["447,a", "448"], "2", "line 2 has no column 2"),
        ):
            self.assertIn(words, str(self.assertRaises(ValueError, NumberList, lines, column)))

    def test_a_number_takes_eight_octets_and_its_tag_two(self) -> None:
        def lines(tag: str) -> Iterator[str]:
            return (f"{447700900000 + n * 7919 % 20_011}{tag}" for n in range(20_000))

        for numbers, expected in ((NumberList(lines("")), 8), (NumberList(lines(",north"), "2"), 10)):
            arrays = [*numbers._numbers.values(), *numbers._tag_of.values()]
            self.assertTrue(all(isinstance(each, array) for each in arrays))
            self.assertEqual(sum(each.itemsize * len(each) for each in arrays), expected * 20_000)


class RoutingTests(SynchronousTestCase):
    """What lists do to messages."""

    def setUp(self) -> None:
        self.lists = NumberLists(
            [
                NamedList("blocked", NumberList(["447700900999", "99"]), True),
                NamedList("vip", NumberList(["4477009001"]), False),
                NamedList("ported", NumberList(["4477009001,north", "4477009002,south"], "2"), False),
            ]
        )

    def test_a_refusing_list_names_itself_for_its_numbers_only(self) -> None:
        for number, name in ((b"447700900999", "blocked"), (b"+9912", "blocked"), (b"447700900123", ""), (b"abc", "")):
            self.assertEqual(self.lists.refuses(number), name)

    def test_tags_are_the_names_of_lists_or_what_the_column_says(self) -> None:
        self.assertEqual(self.lists.tags_of(b"+447700900123"), ["vip", "north"])
        self.assertEqual(self.lists.tags_of(b"447700900234"), ["south"])
        self.assertEqual(self.lists.tags_of(b"49151"), [])

    def test_a_tag_decides_after_the_sender_and_before_hours_and_prefix(self) -> None:
        routes = Routes(
            [
                Route(prefix="447700900", carriers=["prefix"]),
                Route(tag="north", carriers=["north"]),
                Route(hours="00:00-24:00 UTC", carriers=["hours"]),
                Route(sender="ACME", carriers=["sender"]),
            ],
            self.lists,
        )
        for sender, number, expected in (
            (b"", b"447700900123", "north"),
            (b"", b"447700900234", "hours"),
            (b"ACME", b"447700900123", "sender"),
        ):
            self.assertEqual(routes.carriers_of(b"\0\0%b\0\1\1%b\0" % (sender, number)), (expected,))

    def test_routes_without_a_refusing_list_have_nothing_to_ask(self) -> None:
        self.assertIsNone(Routes([]).refuses)
        self.assertIsNone(Routes([], NumberLists([])).refuses)
