"""The commands of docs/http-api.md do what the page says, on the demonstration's own configuration."""

import json
import re
import subprocess
from typing import Any

from tests import HUNG_SECONDS, test_readme

BLOCK = re.compile(r"```(sh|json|text)\n(.*?)```", re.DOTALL)


class HttpApiDocsTests(test_readme.ReadmeTests):
    """Stands on the README's way of starting the demonstration."""

    def on_other_ports(self, text: str) -> str:
        # The interfaces of other gateways are off in the demonstration.
        return super().on_other_ports(text).replace("http: {listen:", "http: {kannel: true, jasmin: true, listen:")

    def test_the_examples_send_messages_whose_notifications_come_home(self) -> None:
        """Each command succeeds; where an answer stands under it, the last one has that answer's shape."""
        blocks = BLOCK.findall((test_readme.ROOT / "docs" / "http-api.md").read_text(encoding="utf-8"))
        self.assertGreater(sum(kind == "sh" for kind, _ in blocks), 15)
        # One shell runs them all, so that a variable set by one is there for the next.
        script = ["set -e"]
        script += [f"{self.on_other_ports(text)}\nprintf '\\n--8<--\\n'" for kind, text in blocks if kind == "sh"]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        outputs = iter(done.stdout.split("\n--8<--\n"))
        output = ""
        for kind, text in blocks:
            if kind == "sh":
                output = next(outputs)
                self.assertNotIn('"status":5', output)
            elif kind == "json":
                self.assertEqual(shape(json.loads(text)), shape(last_json(output)), f"{text}\n{output}")
            else:
                self.assertEqual(re.sub(r'".*"', '""', text.strip()), re.sub(r'".*"', '""', output.strip()))


def last_json(text: str) -> Any:
    """The last of the JSON values that follow each other in a text."""
    decoder, value, text = json.JSONDecoder(), None, text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        text = text[end:].strip()
    return value


def shape(value: Any) -> Any:
    """What a value consists of: names and types, but not what differs from run to run."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
