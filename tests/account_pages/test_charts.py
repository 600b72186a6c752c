"""Charts: their SVG is well-formed, in scale and within its frame."""

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.account_pages.charts import axis_top, bars, short_number

_bars = st.lists(st.lists(st.integers(0, 10**7), min_size=2, max_size=2), max_size=40)


def drawn(counts: list[list[int]], width: int = 640, text: str = "x") -> ET.Element:
    """A chart of two classes, parsed."""
    words = [text] * len(counts)
    svg = bars(counts, classes=("a", "b"), names=("A", "B"), labels=words, titles=words, summary=text, width=width)
    return ET.fromstring(svg)


class AxisTests(SynchronousTestCase):
    @given(st.integers(0, 10**12))
    def test_the_top_of_an_axis_is_a_multiple_of_four_and_not_far_above_the_largest_value(self, largest: int) -> None:
        top = axis_top(largest)
        self.assertTrue(largest <= top <= max(4, 2.1 * largest), (largest, top))
        self.assertEqual(top % 4, 0)

    def test_large_numbers_are_shortened(self) -> None:
        said = [short_number(number) for number in (0, 950, 1000, 1500, 12_000, 1_500_000)]
        self.assertEqual(said, ["0", "950", "1k", "1.5k", "12k", "1.5M"])


class BarsTests(SynchronousTestCase):
    @given(_bars, st.sampled_from((300, 660)))
    def test_every_count_above_zero_is_one_shape_within_the_frame(self, counts: list[list[int]], width: int) -> None:
        shapes = list(drawn(counts, width).iter("rect"))
        self.assertEqual(len(shapes), sum(count > 0 for bar in counts for count in bar))
        for shape in shapes:
            x, y, w, h = (float(shape.attrib[name]) for name in ("x", "y", "width", "height"))
            self.assertTrue(x >= 0 and x + w <= width and y >= 0 and h > 0, shape.attrib)

    def test_heights_are_in_proportion(self) -> None:
        heights = [float(shape.attrib["height"]) for shape in drawn([[100, 50]]).iter("rect")]
        self.assertAlmostEqual(heights[0], 2 * heights[1], delta=0.2)

    @given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")))
    def test_no_text_breaks_the_markup(self, text: str) -> None:
        svg = drawn([[1, 2]], text=text)
        self.assertEqual(svg.attrib["aria-label"], text)
        self.assertIn(f"{text} – 1 A, 2 B", [title.text for title in svg.iter("title")])

    def test_each_count_leads_to_its_own_page_and_each_bar_says_when_it_begins(self) -> None:
        svg = bars([[1, 2], [0, 3]], classes=("a", "b"), names=("A", "B"), labels="xy", titles="xy", summary="s",
                   width=660, instants=("2026-01-01T00:00Z", "2026-01-02T00:00Z"),
                   links=[["/?a=1&b=2", "/2"], ["/3", "/4"]])  # fmt: skip
        drawing = ET.fromstring(svg)
        self.assertEqual([link.attrib["href"] for link in drawing.iter("a")], ["/?a=1&b=2", "/2", "/4"])
        begins = [title.attrib["data-at"] for title in drawing.iter("title")]
        self.assertEqual(begins, ["2026-01-01T00:00Z", "2026-01-02T00:00Z"])

    def test_the_newest_bar_has_its_label(self) -> None:
        svg = bars([[1]] * 60, classes=("a",), names=("A",), labels=[str(n) for n in range(60)],
                   titles=["t"] * 60, summary="s", width=660)  # fmt: skip
        labels = [text.text for text in ET.fromstring(svg).iter("text") if text.attrib["text-anchor"] == "middle"]
        self.assertEqual(labels[-1], "59")
        self.assertLessEqual(len(labels), 8)
