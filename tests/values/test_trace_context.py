"""The headers traceparent and tracestate: what is read, what is ignored, and what is written."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.trace_context import (
    LONGEST_STATE,
    MOST_ITEM_TRACES,
    TraceContext,
    item_traces,
    read_item_traces,
    read_trace_context,
    traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01".encode()

ids = st.binary(min_size=16, max_size=16).filter(any)
spans = st.binary(min_size=8, max_size=8).filter(any)


class ReadingTests(SynchronousTestCase):
    def test_the_example_of_the_specification_is_read(self) -> None:
        context = read_trace_context([WHOLE], [b"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"])
        expected = TraceContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN), 1, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
        self.assertEqual(context, expected)

    @given(ids, spans, st.integers(0, 3))
    def test_what_is_written_is_read(self, trace_id: bytes, span_id: bytes, flags: int) -> None:
        written = traceparent(trace_id, span_id, flags)
        self.assertEqual(read_trace_context([written], []), TraceContext(trace_id, span_id, flags))

    @given(st.lists(st.binary(max_size=80), max_size=3), st.lists(st.binary(max_size=40), max_size=3))
    def test_no_octets_of_a_stranger_do_harm(self, parents: list[bytes], states: list[bytes]) -> None:
        read_trace_context(parents, states)
        read_item_traces(parents)

    def test_a_wrong_header_is_as_none(self) -> None:
        wrong = [
            b"",
            WHOLE.upper(),
            WHOLE[:-1],
            WHOLE + b"-x",
            b"ff" + WHOLE[2:],
            WHOLE.replace(TRACE.encode(), b"0" * 32),
            WHOLE.replace(SPAN.encode(), b"0" * 16),
            WHOLE.replace(b"-", b"_"),
        ]
        for value in wrong:
            self.assertIsNone(read_trace_context([value], []), value)
        self.assertIsNone(read_trace_context([WHOLE, WHOLE], []))
        self.assertIsNone(read_trace_context([], [b"congo=1"]))

    def test_a_later_version_may_say_more(self) -> None:
        self.assertIsNotNone(read_trace_context([b"01" + WHOLE[2:] + b"-more"], []))
        self.assertIsNone(read_trace_context([b"01" + WHOLE[2:] + b"more"], []))

    def test_states_are_joined_and_one_that_is_too_long_or_has_other_characters_is_left_out(self) -> None:
        for states, expected in (
            ([b"a=1", b" b=2 "], "a=1,b=2"),
            ([b"a=" + b"x" * LONGEST_STATE], ""),
            ([b"a=\xff"], ""),
            ([b"a=1\r\nX: y"], ""),
        ):
            context = read_trace_context([WHOLE], states)
            assert context is not None
            self.assertEqual(context.state, expected)


class ItemTests(SynchronousTestCase):
    @given(st.dictionaries(st.integers(0, 999), st.tuples(ids, spans), max_size=5))
    def test_what_is_written_for_items_is_read(self, of_items: dict[int, tuple[bytes, bytes]]) -> None:
        value = item_traces((index, traceparent(*both, 1)) for index, both in of_items.items())
        read = {index: (context.trace_id, context.parent_id) for index, context in read_item_traces([value]).items()}
        self.assertEqual(read, of_items)

    def test_items_that_can_t_be_read_are_left_out_and_there_is_a_bound(self) -> None:
        self.assertEqual(list(read_item_traces([b"0=nonsense, 1=" + WHOLE + b",x=" + WHOLE + b",,-2=" + WHOLE])), [1])
        value = item_traces((index, WHOLE) for index in range(1000))
        self.assertEqual(len(read_item_traces([value])), MOST_ITEM_TRACES)
        self.assertLess(len(value), 8_000)
