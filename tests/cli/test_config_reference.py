"""docs/configuration.md and etc/relay.yaml say what the configuration's types say."""

import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import yaml
from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import load
from relay.cli.config_reference import REFERENCE_FILE, SAMPLE_FILE, reference, sample
from relay.config.schema import keys

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {"ACME_API_KEY": "k", "ACME_SMPP_PASSWORD": "p", "ACME_BILLING_PASSWORD": "b", "OTHER_RELAY_API_KEY": "k"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"


def paths(node: yaml.Node, path: tuple[str, ...] = ()) -> set[str]:
    """Every key of a YAML tree, dotted."""
    found = set()
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found |= {".".join((*path, key.value))} | paths(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found |= paths(item, (*path, "[]"))
    return found


class SampleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = (ROOT / SAMPLE_FILE).read_text(encoding="utf-8")

    def test_the_sample_is_up_to_date(self) -> None:
        self.assertEqual(self.text, sample(), "run `make docs`")

    def test_the_sample_is_a_configuration(self) -> None:
        config = load(self.text, name=SAMPLE_FILE, environ=ENVIRON, read_file=lambda path: SECRET)
        self.assertGreater(len(config.carriers), 3)

    def test_every_key_appears(self) -> None:
        node = yaml.compose(self.text, Loader=yaml.SafeLoader)
        assert node is not None
        written = paths(node)
        for key in keys():
            pattern = ".".join("*" if step == "NAME" else "[[]]" if step == "[]" else step for step in key.path)
            self.assertTrue(fnmatch.filter(written, pattern), f"{key.dotted} is not in {SAMPLE_FILE}")

    def test_every_key_is_explained(self) -> None:
        lines = self.text.splitlines()
        explained = {line.strip().partition(":")[0] for above, line in pairwise(lines) if "#" in above} | {
            line.strip(" #").partition(":")[0].rpartition(".")[2] for line in lines if line.strip().startswith("#")
        }
        for key in keys():
            self.assertIn(key.path[-1], explained, f"{key.dotted} has no comment in {SAMPLE_FILE}")


class RecipeTests(SynchronousTestCase):
    """The short examples at the end of the sample."""

    #: What they may name, as lines under these keys.
    BASE: ClassVar[dict[str, str]] = {
        "accounts": "  acme: {api_key: key}\n",
        "carriers": "".join(f"  {name}: {{kind: simulator}}\n" for name in ("tier1", "tier2", "other-relay")),
        "routes": "  - {carriers: [tier1]}\n",
    }
    #: A word of each point that has an example.
    WORDS = (
        "spill_over_seconds", "failover", "senders", "decisions", "inbound_url", "kind: api", "notify: progress",
        "prepaid", "quality",
    )  # fmt: skip

    def recipes(self) -> dict[str, list[str]]:
        """The lines of each example without their comment signs, by its title."""
        _, _, text = (
            (ROOT / SAMPLE_FILE).read_text(encoding="utf-8").partition("\n# What routes, accounts and carriers")
        )
        found: dict[str, list[str]] = {}
        for block in text.split("\n## ")[1:]:
            title, *lines = block.splitlines()
            found[title] = [line.removeprefix("# ") for line in lines if line.strip("#")]
        return found

    def test_each_is_a_configuration_as_it_stands(self) -> None:
        environ = ENVIRON | {"TWILIO_TOKEN": "t"}
        for title, lines in self.recipes().items():
            with self.subTest(title):
                text = "\n".join(lines) + "\n"
                keys_there = [line.partition(":")[0] for line in lines if line[0].isalpha()]
                if "carriers" in keys_there:
                    # The example's carriers end it, and those that routes name follow them.
                    self.assertEqual("carriers", keys_there[-1])
                    text += self.BASE["carriers"]
                text += "".join(f"{key}:\n{below}" for key, below in self.BASE.items() if key not in keys_there)
                config = load(text, name=title, environ=environ, read_file=lambda path: SECRET)
                self.assertTrue(config.routes)

    def test_there_is_one_of_at_most_three_lines_for_each_point(self) -> None:
        recipes = list(self.recipes().values())
        self.assertEqual(len(self.WORDS), len(recipes))
        for word, lines in zip(self.WORDS, recipes, strict=True):
            self.assertIn(word, "\n".join(lines))
            self.assertLessEqual(len(lines), 3)


class ReferenceTests(SynchronousTestCase):
    def test_the_reference_is_up_to_date(self) -> None:
        written = (ROOT / REFERENCE_FILE).read_text(encoding="utf-8")
        self.assertEqual(written, reference(), "run `make docs`")

    def test_every_key_has_a_meaning(self) -> None:
        for key in keys():
            self.assertTrue(key.description, f"{key.dotted} has no description in relay/config/*_config.py")
            self.assertTrue(key.expected)
