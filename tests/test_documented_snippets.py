"""Every block of code in the documentation is run by a test: configurations are loaded here, the others stand in a
table with the test that runs them. tests/test_documented_commands.py does the same for commands."""

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator

import yaml
from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import ConfigError, load
from relay.history.history_schema import SCHEMA_VERSION as HISTORY_FORMAT
from relay.store.journal.journal_format import FORMAT_VERSION as JOURNAL_FORMAT
from relay.store.postgresql.log_schema import SCHEMA_VERSION as CLUSTER_FORMAT
from tests.documented import PAGES, ROOT

#: Page, language: the test that runs all such blocks of the page, or the reason why none does.
RUN_BY = {
    ("README.md", "mermaid"): "is a picture",
    ("README.md", "python"): "tests.test_readme",
    ("docs/cluster.md", "sql"): "needs a database that is the operator's own",
    ("docs/decision-service.md", "json"): "tests.decisions.test_decision_format",
    ("docs/decision-service.md", "python"): "tests.integration.test_decisions",
    ("docs/http-api.md", "json"): "tests.test_http_api_docs",
    ("docs/http-api.md", "python"): "tests.webhooks.test_webhook_parts verifies in the same way",
    ("docs/http-api.md", "text"): "tests.test_http_api_docs",
    ("docs/operations.md", "caddy"): "tests.integration.test_proxies",
    ("docs/operations.md", "haproxy"): "tests.integration.test_proxies",
    ("docs/operations.md", "nginx"): "tests.integration.test_proxies",
    ("docs/traffic.md", "text"): "tests.integration.test_story",
    ("docs/tutorial.md", "python"): "tests.test_tutorial",
    ("docs/tutorial.md", "text"): "tests.test_tutorial waits for these lines",
}
#: What a fragment lacks of a whole file, and the forms of secrets, which stand in files of their own.
NOT_ON_THE_PAGE = re.compile(r"there is no carrier|this is not base64|expected a hash")


def blocks() -> Iterator[tuple[str, str, str]]:
    """Every fenced block: its page, language and text."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for match in re.finditer(r"^ *```(\w+)\n(.*?)^ *```$", text, re.M | re.S):
            yield page, match[1], textwrap.dedent(match[2])


class SnippetTests(SynchronousTestCase):
    def test_every_block_is_run_by_a_test_or_has_a_reason(self) -> None:
        there = {(page, language) for page, language, _ in blocks() if language not in ("sh", "yaml")}
        self.assertEqual(there, set(RUN_BY))

    def test_every_configuration_of_the_pages_can_be_loaded(self) -> None:
        loaded = 0
        for page, language, text in blocks():
            if language != "yaml" or "scrape_configs" in yaml.safe_load(text):
                continue
            loaded += 1
            try:
                load(text, name=page, environ=defaultdict(lambda: "x"), read_file=lambda path: "x")
            except ConfigError as error:
                problems = [problem for problem in error.problems if not NOT_ON_THE_PAGE.search(problem)]
                self.assertEqual(problems, [])
        self.assertGreater(loaded, 7)


class FormatsTests(SynchronousTestCase):
    def test_the_table_of_formats_has_today_s_numbers(self) -> None:
        page = (ROOT / "docs" / "deprecation.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| the \[?(journal|history|tables)\b.*?\| (\d+), ", page, re.M)
        self.assertEqual(
            dict(rows),
            {"journal": str(JOURNAL_FORMAT), "history": str(HISTORY_FORMAT), "tables": str(CLUSTER_FORMAT)},
        )
