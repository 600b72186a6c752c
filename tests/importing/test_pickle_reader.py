"""Pickles are read as plain data, whatever is in them."""

import contextlib
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.importing.pickle_reader import Stored, UnreadablePickle, read_pickle

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner)
    ),
    max_leaves=12,
)


class Hostile:
    """A pickle of it calls a function when Python reads it."""

    def __init__(self, called: Callable[..., object], *arguments: object) -> None:
        self._call = called, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


class Thing:
    """An object with attributes."""

    def __init__(self) -> None:
        self.name, self.filters = "x", [re.compile("^44")]


class PickleReaderTests(SynchronousTestCase):
    @given(PLAIN, st.integers(2, pickle.HIGHEST_PROTOCOL))
    def test_plain_values_come_back_as_they_were(self, value: Any, protocol: int) -> None:
        self.assertEqual(read_pickle(pickle.dumps(value, protocol)), value)

    def test_an_object_becomes_its_name_and_its_attributes(self) -> None:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            thing = read_pickle(pickle.dumps(Thing(), protocol))
            self.assertEqual(
                (thing.name.rpartition(".")[2], thing.get("name"), thing.get("none", 1)), ("Thing", "x", 1)
            )
            (pattern,) = thing.get("filters")
            self.assertEqual((pattern.name, pattern.arguments[0]), ("_compile", "^44"))

    def test_a_call_in_a_pickle_is_not_made(self) -> None:
        made = self.mktemp()
        for called, arguments in ((os.mkdir, (made,)), (exec, (f"import os; os.mkdir({made!r})",))):
            found = read_pickle(pickle.dumps(Hostile(called, *arguments)))
            self.assertIsInstance(found, Stored)
            self.assertEqual(found.arguments, arguments)
        self.assertFalse(os.path.exists(made))

    @given(st.binary(max_size=200))
    def test_any_octets_are_read_or_refused(self, octets: bytes) -> None:
        with contextlib.suppress(UnreadablePickle):
            read_pickle(octets)

    @given(st.data())
    def test_a_damaged_pickle_is_read_or_refused(self, data: st.DataObject) -> None:
        whole = pickle.dumps([{"a": Thing(), "b": [1, "x", b"y", None]}], data.draw(st.integers(0, 5)))
        at = data.draw(st.integers(0, len(whole) - 1))
        with contextlib.suppress(UnreadablePickle):
            read_pickle(whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :])
