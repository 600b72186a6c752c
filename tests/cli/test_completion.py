"""The completion of commands and options in shells."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.cli.completion import candidates
from relay.cli.main import COMMANDS, command_of, main
from tests import HUNG_SECONDS

ROOT = Path(__file__).resolve().parents[2]


class CandidateTests(SynchronousTestCase):
    def test_the_first_word_is_a_command(self) -> None:
        self.assertEqual(list(COMMANDS), candidates([""]))
        self.assertEqual(["replay", "reload"], sorted(candidates(["rel"]) + candidates(["rep"]), reverse=True))

    def test_after_a_command_come_its_options_that_were_not_given_yet(self) -> None:
        self.assertIn("--wait", candidates(["drain", "tier1", "--"]))
        self.assertEqual([], candidates(["drain", "--wait", "5", "--wai"]))

    def test_an_option_with_a_list_of_values_is_followed_by_them_and_another_one_by_nothing(self) -> None:
        self.assertEqual(["table", "csv", "jsonl"], candidates(["find", "--format", ""]))
        self.assertEqual([], candidates(["find", "--admin", ""]))

    def test_a_word_of_a_short_list_is_offered_until_it_stands_there(self) -> None:
        self.assertIn("erase", candidates(["history", ""]))
        self.assertNotIn("erase", candidates(["history", "erase", ""]))

    def test_an_unknown_command_has_nothing_to_offer(self) -> None:
        self.assertEqual([], candidates(["nothing", "--"]))

    def test_every_command_shows_its_options(self) -> None:
        for name in COMMANDS:
            self.assertIn("--help", candidates([name, "--h"]), name)
            command_of(name).make_parser()


class ShellTests(SynchronousTestCase):
    """Runs the scripts in the shells themselves, with a `relay` in the PATH."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir()
        command = self.directory / "relay"
        command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m relay "$@"\n', encoding="utf-8")
        command.chmod(0o755)

    def shell(self, name: str, script: str) -> list[str]:
        if shutil.which(name) is None:
            self.skipTest(f"{name} is not installed")
        done = subprocess.run(
            [name, "-c", script],
            env=os.environ | {"PATH": f"{self.directory}{os.pathsep}{os.environ['PATH']}", "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
        self.assertEqual("", done.stderr)
        return done.stdout.split()

    def test_bash_completes_commands_and_options(self) -> None:
        asks = 'eval "$(relay completion bash)"; COMP_WORDS=({}); COMP_CWORD={}; _relay; echo "${{COMPREPLY[@]}}"'
        self.assertEqual(["drain"], self.shell("bash", asks.format("relay dr", 1)))
        self.assertEqual(["--wait"], self.shell("bash", asks.format("relay drain tier1 --w", 3)))

    def test_zsh_completes_commands_and_options(self) -> None:
        asks = (
            "compdef() {{ :; }}; compadd() {{ shift; print -l -- $@; }}; _files() {{ print a-file; }}; "
            'eval "$(relay completion zsh)"; words=({}); CURRENT={}; _relay'
        )
        self.assertEqual(["drain"], self.shell("zsh", asks.format("relay dr", 2)))
        self.assertEqual(["--wait"], self.shell("zsh", asks.format("relay drain tier1 --w", 4)))
        self.assertEqual(["a-file"], self.shell("zsh", asks.format("relay check ''", 3).replace("check ''", "check x")))

    def test_fish_completes_commands_and_options(self) -> None:
        asks = 'relay completion fish | source; complete --do-complete "{}"'
        self.assertEqual(["drain"], self.shell("fish", asks.format("relay dr")))
        self.assertEqual(["--wait"], self.shell("fish", asks.format("relay drain tier1 --w")))

    def test_another_shell_is_wrong_use(self) -> None:
        self.assertRaises(SystemExit, main, ["completion", "tcsh"])
