"""docs/tutorial.md is followed as it stands, in three terminals and an empty home; only the ports are other ones."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from tests import HUNG_SECONDS
from tests.documented import ROOT
from tests.ports import free_port
from tests.test_documented_commands import DocumentedCommandsTestCase

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
TERMINALS: Final = ("first", "second", "third")
#: The end of the blocks that go on until somebody stops them, and what they print when they are ready.
LASTING: Final = {"python receiver.py": "", "twistd -n relay --config relay.yaml": "relay_ready"}


class Terminal:
    """A shell, and the file with all that it printed."""

    def __init__(self, output: Path, environment: dict[str, str], directory: Path) -> None:
        self.output = output
        with output.open("wb") as out:
            self.shell = subprocess.Popen(
                ["bash"], cwd=directory, env=environment, text=True, bufsize=1, start_new_session=True,
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def type(self, text: str) -> None:
        assert self.shell.stdin is not None
        self.shell.stdin.write(text + "\n")
        self.shell.stdin.flush()

    def printed(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def program(self) -> int:
        """The id of the process that the shell waits for."""
        (child,) = Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children").read_text().split()
        return int(child)

    def close(self) -> None:
        """Ends the shell and what runs in it."""
        os.killpg(self.shell.pid, signal.SIGTERM)
        try:
            self.shell.wait(HUNG_SECONDS)
        finally:
            assert self.shell.stdin is not None
            self.shell.stdin.close()


class TutorialTests(DocumentedCommandsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.home = self.root / "home"
        self.home.mkdir()
        self.work = self.home / "relay-tutorial"
        self.environment["HOME"] = str(self.home)
        self.environment["PYTHONUNBUFFERED"] = "1"
        self.ports = {port: str(free_port()) for port in ("8080", "2775", "9090", "8099")}
        checkout = self.copy_checkout()
        self.terminals = {}
        for name in TERMINALS:
            directory = checkout if name == "first" else self.home
            self.terminals[name] = Terminal(self.root / name, self.environment, directory)
            self.addCleanup(self.terminals[name].close)

    def placed(self, text: str) -> str:
        """The text, with the ports of this run."""
        for port, own in self.ports.items():
            text = re.sub(rf"\b{port}\b", own, text)
        return text

    def until(self, name: str, pattern: str, begin: int = 0) -> "re.Match[str]":
        """Waits until a terminal has printed something."""
        terminal = self.terminals[name]
        deadline = time.monotonic() + HUNG_SECONDS
        while True:
            printed = terminal.printed()
            if found := re.compile(pattern).search(printed, begin):
                return found
            if terminal.shell.poll() is not None or time.monotonic() > deadline:
                self.fail(f"the {name} terminal did not print {pattern!r}:\n{printed}")
            time.sleep(0.05)

    def run_block(self, name: str, text: str) -> str:
        """Types a block into a terminal; gives what it printed."""
        terminal = self.terminals[name]
        begin = len(terminal.printed())
        last = text.splitlines()[-1]
        if last in LASTING:
            terminal.type(self.placed(text))
            self.until(name, LASTING[last], begin)
            return ""
        terminal.type(f"set -e\n{self.placed(text)}\nset +e\necho; echo it-is-done")
        end = self.until(name, "\nit-is-done\n", begin).start()
        return terminal.printed()[begin:end]

    def save(self, language: str, text: str) -> None:
        """Saves a block as the file that the sentence before it names."""
        name = {"python": "receiver.py", "yaml": "relay.yaml"}[language]
        self.assertIn(f"`{name}`", PAGE[: PAGE.index(text)].rpartition("\n\n")[0].rpartition("\n\n")[2])
        more = "".join(
            f'{key}: {{listen: ["tcp:{self.ports[port]}:interface=127.0.0.1"]}}\n'
            for key, port in (("http", "8080"), ("smpp", "2775"), ("admin", "9090"))
        )
        (self.work / name).write_text(self.placed(text) + (more if language == "yaml" else ""))

    def follow(self) -> list[str]:
        """Does all that the page says, in its order; gives what each block of commands printed."""
        printed: list[str] = []
        terminal = TERMINALS[0]
        position = 0
        for block in re.finditer(r"^```(\w+)\n(.*?)\n```$", PAGE, re.M | re.S):
            said = re.findall(r"In a (\w+) terminal", PAGE[position : block.start()])
            terminal = said[-1] if said else terminal
            position = block.end()
            language, text = block[1], block[2]
            if language in ("python", "yaml"):
                self.save(language, text + "\n")
            elif language == "sh":
                printed.append(self.run_block(terminal, text))
                if " -m venv " in text:
                    self.lend_dependencies(self.work / "env")
        return printed

    def test_a_stranger_gets_from_nothing_to_a_verified_webhook(self) -> None:
        *_, sent, forged = self.follow()
        message = re.search(r'"id": ?"([0-9a-f-]{36})"', sent)
        assert message is not None, sent
        self.until("first", f"verified: {message[1]} DELIVRD")
        self.assertEqual(forged.strip(), "401")
        self.until("first", "not verified: Missing required headers")
        self.assertEqual((self.work / "secret").stat().st_mode & 0o777, 0o600)

        # Step 7: the receiver is stopped, a message is sent, and the receiver is started again.
        os.kill(self.terminals["first"].program(), signal.SIGINT)
        curl = next(block for block in re.findall(r"^```sh\n(.*?)\n```$", PAGE, re.M | re.S) if "/messages" in block)
        again = re.search(r'"id": ?"([0-9a-f-]{36})"', self.run_block("third", curl))
        assert again is not None
        self.terminals["first"].type("python receiver.py")
        self.until("first", f"verified: {again[1]} DELIVRD")
