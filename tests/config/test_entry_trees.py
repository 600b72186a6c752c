"""Entries as JSON: secrets are never shown, and can be kept."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.account_config import Account, AccountSmpp
from relay.config.api_config import Api
from relay.config.carrier_config import Carrier
from relay.config.entry_trees import IS_SET, TreeProblem, merge_patch, tree_of, with_secrets
from relay.config.route_config import Route
from relay.config.yaml_writer import yaml_of
from relay.values.secret import Secret

TEXTS = st.text().filter(lambda text: "${" not in text)
HERE = ("accounts", "acme")
ACCOUNT = Account(
    api_key=Secret("hidden-1"),
    smpp=AccountSmpp(system_id="acme", password=Secret("hidden-2"), allow_from=["192.0.2.0/24"]),
    notification_url="https://user:hidden-3@example.com/",
    notification_headers={"X-Key": Secret("hidden-4")},
    rate=5.0,
)


class TreeTests(SynchronousTestCase):
    def test_it_has_the_keys_that_differ_from_their_default(self) -> None:
        self.assertEqual({}, tree_of(Account(), HERE))
        self.assertEqual({"carriers": [{"a": 70, "b": 30}, "c"], "prefix": "44"},
                         tree_of(Route(carriers=[{"a": 70, "b": 30}, "c"], prefix="44"), ("routes", 0)))  # fmt: skip

    def test_or_those_that_the_file_has(self) -> None:
        given = {(*HERE, "rate"), (*HERE, "burst")}
        self.assertEqual({"rate": 5.0, "burst": 0}, tree_of(ACCOUNT, HERE, given=given))

    def test_no_secret_is_shown(self) -> None:
        tree = tree_of(ACCOUNT, HERE)
        self.assertNotIn("hidden", str(tree))
        self.assertEqual(IS_SET, tree["api_key"])
        self.assertEqual({"system_id": "acme", "password": IS_SET, "allow_from": ["192.0.2.0/24"]}, tree["smpp"])
        self.assertEqual({"X-Key": IS_SET}, tree["notification_headers"])
        carrier = Carrier(api=Api(headers={"Authorization": "App hidden"}, path="/sms"))
        shown = tree_of(carrier, ("carriers", "tier1"))
        self.assertEqual({"headers": {"Authorization": IS_SET}, "path": "/sms"}, shown["api"])

    def test_values_from_elsewhere_are_not_shown(self) -> None:
        tree = tree_of(ACCOUNT, HERE, outside={(*HERE, "rate"), (*HERE, "smpp", "allow_from", 0)})
        self.assertEqual((IS_SET, [IS_SET]), (tree["rate"], tree["smpp"]["allow_from"]))

    def test_what_is_sent_back_unchanged_is_the_same_entry(self) -> None:
        whole = tree_of(ACCOUNT, HERE, reveal=True)
        self.assertIn("hidden-4", str(whole))
        self.assertEqual(whole, with_secrets(tree_of(ACCOUNT, HERE), whole))


class KeptTests(SynchronousTestCase):
    def test_a_secret_that_is_not_there_can_not_be_kept(self) -> None:
        for tree, current, key in (
            ({"api_key": IS_SET}, None, "api_key"),
            ({"smpp": {"password": IS_SET}}, {"smpp": {"system_id": "a"}}, "smpp.password"),
            ({"smpp": IS_SET}, {"smpp": {"system_id": "a"}}, "smpp"),
            ({"senders": {"allow": ["A", IS_SET]}}, {"senders": {"allow": ["A"]}}, "senders.allow[1]"),
        ):
            with self.assertRaises(TreeProblem) as caught:
                with_secrets(tree, current)
            self.assertEqual(key, caught.exception.key)

    def test_a_tree_from_outside_is_not_endlessly_deep(self) -> None:
        tree: Any = "x"
        for _ in range(900):
            tree = {"a": tree}
        self.assertRaises(TreeProblem, with_secrets, tree, None)


class PatchTests(SynchronousTestCase):
    def test_the_examples_of_rfc_7396(self) -> None:
        examples: list[tuple[Any, Any, Any]] = [
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            (["a", "b"], ["c", "d"], ["c", "d"]),
            ({"a": "b"}, ["c"], ["c"]),
            ({"a": "foo"}, None, None),
            ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ]
        for target, patch, expected in examples:
            self.assertEqual(expected, merge_patch(target, patch))


class WriterTests(SynchronousTestCase):
    @given(st.dictionaries(st.text(max_size=8), TEXTS | st.integers() | st.booleans() | st.lists(TEXTS)))
    def test_every_text_is_read_as_it_was(self, tree: dict[str, Any]) -> None:
        text = yaml_of(tree)
        for loader in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            self.assertEqual(tree, yaml.load(text, loader))

    def test_a_dollar_and_a_brace_are_no_variable(self) -> None:
        written = yaml_of({"a": "${KEY} $${KEY}", "b": ["x${"]})
        self.assertEqual("a: $${KEY} $$${KEY}\nb:\n- x$${\n", written)
