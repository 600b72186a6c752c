"""docs/carriers.md agrees with what the relay does."""

import io
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.cli.dialect_finder import main, preset_table
from relay.config.carrier_config import Dialect, IdForm
from relay.receipts.dialects import STATE_NAMES

PAGE = (Path(__file__).parent.parent / "docs" / "carriers.md").read_text()


class Page(SynchronousTestCase):
    def test_it_ends_with_the_table_of_presets(self) -> None:
        self.assertTrue(PAGE.endswith(preset_table()), "put the output of `python -m relay dialect --presets` there")

    def test_the_command_prints_that_table(self) -> None:
        output = io.StringIO()
        self.assertEqual(main(["--presets"], io.StringIO(), output), 0)
        self.assertEqual(output.getvalue(), preset_table())

    def test_its_example_answers_as_it_says(self) -> None:
        found = re.search(r"printf '(.*)' \| python -m relay dialect\n((?: {8}.*\n)+)", PAGE)
        assert found is not None
        output = io.StringIO()
        main([], io.StringIO(found[1].replace("\\t", "\t").replace("\\n", "\n")), output)
        self.assertEqual(output.getvalue(), re.sub(r"^ {8}", "", found[2], flags=re.M))

    def test_it_names_every_setting_and_every_state(self) -> None:
        # `preset` and the three places of ids among them.
        for name in (*Dialect.__struct_fields__, *IdForm.__struct_fields__):
            self.assertIn(name, PAGE)
        for state in STATE_NAMES:
            self.assertIn(state, PAGE)
