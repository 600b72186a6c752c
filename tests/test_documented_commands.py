"""Every command of the pages at the top of the checkout and of docs/ is run by a test, or stands here with the reason
why it isn't.

docs/operations.md is run from its first command to its last, in a directory that stands for the machine: /opt, /etc,
and /var are below it, and the ports are other ones. `apt-get` and `adduser` only note that they were called, `install`
doesn't change owners, `journalctl` prints the log, and `systemctl` is a small one (tests/small_systemctl.py). All of
them are the real ones in `make walk`, which needs root and takes minutes. A make target is run where it is quick, and
otherwise asked what it would do (`make --dry-run`), with what runs it named.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests import HUNG_SECONDS
from tests.documented import ROOT, commands, commands_of
from tests.ports import free_port

#: Commands that other tests run, with the test or the reason; `*` stands for what may follow.
RUN_ELSEWHERE = {
    "docs/tracing.md": {
        "/opt/relay/bin/pip install 'sms-receipt-relay[opentelemetry]'": "would install the relay from PyPI",
        "curl -s -u demo:demo-key *": "tests.integration.test_tracing sends such a request",
    },
    "docs/admin-api.md": {
        "curl -u orders *": "tests.integration.test_admin_api sends such a request",
        "curl -sS --fail-with-body *": "needs a file; tests.integration.test_admin_api sends such requests",
        "jq -n *": "belongs to the curl above",
        "relay check": "is the name of a command",
        "relay route": "is the name of a command",
    },
    "README.md": {
        "curl -sS -u demo:demo-key *": "tests.test_readme",
        ".venv/bin/pip install smpplib": "tests.test_readme runs the example with what the suite has",
        "pip install .": "operations.md's installation, and .ci/wheel_check.py",
        "twistd relay": "is the name of a command: `twistd -n relay --config` is run",
    },
    "CONTRIBUTING.md": {
        ".venv/bin/pip install pre-commit": "needs a package index",
        ".venv/bin/pre-commit install": "writes into the checkout's .git",
        "python -m benchmarks.instructions": "needs valgrind or perf counters, and minutes",
    },
    "RELEASING.md": {
        ".ci/run": "is what runs this",
        ".venv/bin/pip install -c constraints.txt *": "needs a package index",
        ".venv/bin/towncrier build *": "writes NEWS.md and deletes the fragments",
        "git tag -a vX.Y.Z": "is for a release",
        "git push origin main vX.Y.Z": "is for a release",
    },
    "SECURITY.md": {"python -m relay --version": "tests.cli.test_cli"},
    "docs/deprecation.md": {
        "python -m relay check": "named in a sentence; run with a file at the installation",
        "python -m relay --help": "run below",
    },
    "docs/http-api.md": {
        "curl *": "tests.test_http_api_docs",
        "ID=$(curl *": "tests.test_http_api_docs",
        "python -m relay listen --account demo": "tests.integration.test_operator_commands, on other ports",
        "pip install standardwebhooks": "tests.webhooks.test_webhook_parts verifies with what the suite has",
    },
    "docs/charging.md": {
        "relay balance": "named in a table; tests.integration.test_charging runs it",
        "relay balance acme": "tests.integration.test_charging",
        "relay balance acme *": "tests.integration.test_charging",
        "relay status": "named in a table; tests.integration.test_operator_commands runs it",
        "curl *": "tests.integration.test_charging: relay balance posts the same",
        "relay journal --repair": "named in a sentence; journal.md has it whole",
    },
    "docs/decision-service.md": {"python -m relay route --tag gold": "tests.routing.test_explanation"},
    "docs/http-carriers.md": {
        "relay simulate --api": "named in a sentence; tests.integration.test_http_carriers runs it",
        "python -m relay simulate --api *": "tests.integration.test_http_carriers",
    },
    "docs/history.md": {
        "python -m relay find": "named in a sentence; tests.integration.test_history runs it",
        "python -m relay find *": "tests.integration.test_history",
        "python -m relay history erase *": "tests.history.test_erasure",
    },
    "docs/carriers.md": {
        "python -m relay status": "named in a sentence; tests.integration.test_operator_commands runs it",
        "python -m relay route": "named in a sentence; tests.cli.test_cli runs it",
        "python -m relay route --config *": "tests.cli.test_cli",
        "python -m relay route --account *": "tests.integration.test_operator_commands",
        "relay simulate --api twilio": "named in a sentence; tests.integration.test_http_carriers runs it",
        "python -m relay dialect --orphans": "tests.integration.test_operator_commands",
        "python -m relay dialect --dismiss CARRIER": "tests.integration.test_operator_commands",
        "printf *": "tests.test_carriers_page",
    },
    "docs/faults.md": {
        "python -m relay cluster accept-file": "named in a sentence; tests.integration.test_cluster_tables runs it",
        "python -m relay replay": "named in a sentence; operations.md has it whole",
        "python -m relay journal --repair DIR": "tests.cli.test_progress, tests.store.test_journal_store_faults",
    },
    "docs/configuration.md": {
        "python -m relay password": "tests.cli.test_cli",
        "relay balance": "named in a sentence; tests.integration.test_charging runs it",
    },
    "docs/logging.md": {"twistd --logfile FILE": "an option of twistd's, named in a sentence"},
    "docs/journal.md": {"python -m relay journal --repair DIR": "tests.cli.test_progress"},
    "docs/operations.md": {
        "python -m relay": "a part of commands that are run",
        "/opt/relay/bin/python -m relay": "a part of commands that are run",
        "python -m relay send": "run with its arguments at the installation",
        "relay status": "run as /opt/relay/bin/python -m relay status",
        "relay *": "tests.integration.test_operator_commands, tests.cli.test_completion",
        "python -m relay status": "run as /opt/relay/bin/python -m relay status",
        "python -m relay dialect": "tests.test_carriers_page",
        "kill -9": "named in a sentence; tests.integration.test_crash does it",
    },
    "docs/packages.md": {
        "/opt/relay/bin/python -m relay": "a part of commands that are run",
        "rm -r /var/lib/relay": "deletes the journal",
        "apt-get install ./sms-receipt-relay_*.deb": "make walk-deb installs it with dpkg",
        "apt-get install libpq5": "tests.integration.test_packages says what happens without it",
        "apt-get remove sms-receipt-relay": "make walk-deb removes it with dpkg",
        "apt-get purge": "make walk-deb purges it with dpkg",
        "relay check *": "make walk-deb",
        "relay status": "make walk-deb",
        "relay --help": "operations.md's commands are run with the program of that name",
        "systemctl status relay": "is systemd's",
        "journalctl -u relay": "operations.md has it",
        "podman *": "needs podman; tests.test_release checks the Containerfile as far as it can without",
    },
    "docs/performance.md": {
        "python -m benchmarks.instructions": "needs valgrind or perf counters, and minutes",
        "python -m benchmarks.memory *": "a minute of a quiet machine",
        "python -m benchmarks.opcodes": "minutes of a quiet machine",
        "python -m benchmarks cluster-log": "two database servers, and minutes of a quiet machine",
        "python -m benchmarks take-over": "minutes, and a database; tests.integration.test_cluster takes over",
        "python -m benchmarks.reactors": "minutes of a quiet machine",
        "kill -9": "named in a sentence; tests.integration.test_crash does it",
    },
    "docs/traffic.md": {
        "twistd -n relay --config story.yaml": "tests.integration.test_story, on other ports",
        "curl -u shop:shop-key *": "tests.integration.test_story",
        "python -m relay route": "named in a sentence; tests.integration.test_story has what it says",
        "python -m relay route --config *": "tests.integration.test_story has what it says",
        "systemctl reload relay": "tests.integration.test_story sends the signal",
    },
    "docs/migration.md": {
        "python -m relay import /etc/kannel/kannel.conf >relay.yaml": "tests.integration.test_import",
        "python -m relay import /etc/jasmin >relay.yaml": "tests.importing.test_jasmin_import, with its own directory",
        "python -m relay check relay.yaml": "tests.integration.test_import",
        "twistd -n relay --config relay.yaml": "tests.integration.test_import",
    },
    "docs/troubleshooting.md": {
        "journalctl -u relay -n 50": "operations.md has it",
        "python -m relay check FILE": "named in a sentence; run with a file at the installation",
        "python -m relay dialect": "tests.test_carriers_page",
        "python -m relay route --config *": "tests.cli.test_cli",
        "python -m relay status": "operations.md has it",
        "relay resume NAME": "operations.md has it",
        "ss -ltnp": "is Debian's",
    },
    "docs/faq.md": {
        "systemctl reload relay": "operations.md has it",
    },
    "docs/cluster.md": {
        "python -m relay cluster *": "tests.integration.test_cluster_tables",
        "python -m relay cluster status": "named in a sentence; tests.integration.test_cluster_tables runs it",
        "python -m relay status": "named in a sentence; tests.integration.test_operator_commands runs it",
        "python -m relay check FILE": "named in a sentence; tests.cli.test_cli runs it",
    },
    "docs/simulator.md": {
        "python -m relay simulate --silent-share *": "tests.integration.test_questions",
    },
}

#: What runs single tests; these are looked for, and not run once more.
_TRIAL = ".venv/bin/python -m twisted.trial"

#: What runs the work of a make target, on whatever page it stands and with whatever variables.
MAKE_TARGETS = {
    "audit": "asks an index of known faults; .ci/run",
    "bench": "minutes of a quiet machine",
    "bench-guard": ".ci/run",
    "bench-history": "ten minutes of a quiet machine",
    "bench-peers": "needs Kannel and Jasmin",
    "browser": ".ci/run",
    "cluster": "tests.integration.test_cluster_demo",
    "cluster-crash": "tests.integration.test_cluster_crash",
    "constraints": "needs a package index; RELEASING.md says when it is run",
    "coverage": ".ci/run",
    "crash": "tests.integration.test_crash",
    "deb": "walk-deb installs what it builds",
    "docs": "tests.cli.test_config_reference holds what it writes to be current",
    "environment": "makes the environment in which this runs",
    "format": "writes into the checkout; `make lint` checks the same, in .ci/run",
    "fuzz": "tests.fuzz",
    "help": "run here",
    "lint": ".ci/run",
    "overload": "minutes of a quiet machine; tests.integration.test_overload has the bounds",
    "profile": "minutes of a quiet machine",
    "release": "needs a package index, and minutes; RELEASING.md says when it is run",
    "run": "tests.test_readme starts what it starts, on other ports",
    "screenshots": "tests.browser drives the same pages; it writes into docs/images",
    "simulate": "tests.simulation plays its worlds",
    "site": "tests.test_site builds the same",
    "soak": "tests.integration.test_soak",
    "test": "is what runs this",
    "test-late": ".ci/run",
    "test-pythons": "the suite once more a Python; RELEASING.md says when it is run",
    "test-slow": ".ci/run",
    "types": ".ci/run",
    "walk": "needs root and minutes; RELEASING.md says when it is run",
    "walk-deb": "needs root and minutes; RELEASING.md says when it is run",
    "wheel": "run here, in a copy of the checkout",
    "wheel-check": ".ci/run",
}

_WRAPPERS = {
    "python": 'exec "{python}" "$@"',
    "twistd": 'exec "{python}" -c "from twisted.scripts.twistd import run; run()" "$@"',
    "apt-get": 'echo "apt-get $*" >>{root}/called',
    "adduser": 'echo "adduser $*" >>{root}/called',
    "journalctl": "cat {root}/journal.log",
    "systemctl": 'exec "{python}" -P {tests}/small_systemctl.py {root} "$@"',
    "install": """
        for word; do shift
          if [ "$skip" ]; then skip=; elif [ "$word" = -o ] || [ "$word" = -g ]; then skip=1
          else set -- "$@" "$word"; fi
        done
        exec /usr/bin/install "$@" """,
}


def is_known(known: str, text: str) -> bool:
    """Whether an entry of the table is this command's."""
    return text == known or (known.endswith(" *") and text.startswith(known[:-1]))


def runs_elsewhere(page: str, text: str) -> bool:
    """Whether a table has this command."""
    if text.startswith("make "):
        return text.split()[1] in MAKE_TARGETS
    return any(is_known(known, text) for known in RUN_ELSEWHERE.get(page, {}))


class DocumentedCommandsTestCase(SynchronousTestCase):
    """A directory that stands for a machine."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-docs-", ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        bin_directory = self.root / "bin"
        bin_directory.mkdir()
        for name, script in _WRAPPERS.items():
            file = bin_directory / name
            words = {"python": sys.executable, "root": str(self.root), "tests": str(ROOT / "tests")}
            for word, value in words.items():
                script = script.replace(f"{{{word}}}", value)
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{bin_directory}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            # The dependencies are those of this environment.
            "PIP_NO_DEPS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run_there(
        self, text: str, directory: Path, seconds: float = HUNG_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command as it would be typed, with what it prints on both outputs."""
        return subprocess.run(
            ["bash", "-c", text], cwd=directory, env=self.environment, timeout=seconds, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def succeed(self, text: str, directory: Path) -> str:
        """What a command prints that must succeed."""
        done = self.run_there(text, directory)
        self.assertEqual(0, done.returncode, f"{text}\n{done.stdout}")
        return done.stdout

    def copy_checkout(self) -> Path:
        """A copy of what an installation needs, because it writes into the checkout."""
        checkout = self.root / "checkout"
        for name in ("relay", "twisted"):
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        for name in ("Makefile", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, checkout)
        return checkout

    def lend_dependencies(self, environment: Path) -> None:
        """Has a new environment find what this one has installed, but for the relay itself."""
        (packages,) = (environment / "lib").glob("python*/site-packages")
        lent = [path for path in sys.path if path.endswith("site-packages")]
        program = f"import sys; sys.path.extend({lent!r})"
        (packages / "lent.pth").write_text(program + "\n")
        # Twisted's own installation would have made it.
        twistd = environment / "bin/twistd"
        shutil.copy(self.root / "bin/twistd", twistd)
        twistd.write_text(twistd.read_text().replace(sys.executable, f"{environment}/bin/python"))


class TableTests(SynchronousTestCase):
    def test_every_command_is_run_here_or_has_a_reason(self) -> None:
        run_here = {
            ("README.md", "python -m relay check my.yaml"),
            ("README.md", "twistd -n relay --config my.yaml"),
            ("README.md", "python -m relay --help"),
            ("docs/carriers.md", "python -m relay dialect --presets"),
            ("docs/configuration.md", "twistd -n relay --config etc/relay.yaml"),
            ("docs/configuration.md", "python -m relay check FILE"),
            ("docs/journal.md", "python -m relay journal DIR"),
        }
        unknown = [
            command
            for command in commands()
            if command not in run_here
            and not runs_elsewhere(command.page, command.text)
            and command.page not in ("docs/operations.md", "docs/tutorial.md")
            and not command.text.startswith(_TRIAL)
            and not command.text.startswith("python -m relay simulate --listen")
        ]
        self.assertEqual([], unknown, "run these in a test, or say in RUN_ELSEWHERE why not")

    def test_every_reason_is_for_a_command_that_is_there(self) -> None:
        there = commands()
        for page, reasons in RUN_ELSEWHERE.items():
            for known in reasons:
                self.assertTrue(
                    any(page == c.page and is_known(known, c.text) for c in there),
                    f"{page}: {known}",
                )

    def test_commands_are_found_wherever_they_stand(self) -> None:
        page = "Say `make test` or\n\n    $ python -m relay check X   # look\n    key: value\n\n```sh\nls\n```\n"
        self.assertEqual(["ls", "python -m relay check X", "make test"], commands_of(page))

    def test_every_make_target_of_the_documentation_can_be_made(self) -> None:
        for command in commands():
            if command.text.startswith("make "):
                done = subprocess.run(
                    ["bash", "-c", command.text.replace("make ", "make --dry-run ", 1)],
                    cwd=ROOT, capture_output=True, text=True, check=False,
                )  # fmt: skip
                self.assertEqual(0, done.returncode, f"{command}\n{done.stderr}")


class OperationsTests(DocumentedCommandsTestCase):
    def test_operations_is_run_from_top_to_bottom_with_stand_ins_for_what_needs_root(self) -> None:
        text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        here = self.root / "here"
        here.mkdir()
        for name in ("etc/systemd/system", "var/lib/relay", "opt"):
            (self.root / name).mkdir(parents=True)
        self.ports = {port: str(free_port()) for port in ("8080", "2775", "9090")}
        (example,) = re.findall(r"```yaml\n(data_dir.*?)```", text, re.S)
        listeners = {
            key: {"listen": [f"tcp:{self.ports[port]}:interface=127.0.0.1"]}
            for key, port in (("http", "8080"), ("smpp", "2775"), ("admin", "9090"))
        }
        configuration = self.placed(example) + yaml.safe_dump(listeners)
        (here / "relay.yaml").write_text(configuration)
        shutil.copy(ROOT / "etc" / "relay.service", here)
        self.addCleanup(self.run_there, "systemctl stop relay", here)
        printed: dict[str, str] = {}
        for command in commands_of(text):
            if command == "make wheel":
                self.make_wheel(here)
                continue
            if runs_elsewhere("docs/operations.md", command):
                continue
            printed[command] = self.succeed(self.placed(command), here)
            if " -m venv " in command:
                self.lend_dependencies(self.root / "opt/relay")
        self.assertEqual(
            ["apt-get update", "apt-get install --yes python3-venv",
             f"adduser --system --group --no-create-home --home {self.root}/var/lib/relay relay"],
            (self.root / "called").read_text().splitlines(),
        )  # fmt: skip
        said = {re.sub(r"^/opt/relay/bin/python -m relay (\w+).*", r"\1", key): value for key, value in printed.items()}
        self.assertIn("DELIVRD, error 000", said["send"])
        self.assertIn("nothing is wrong", said["status"])
        self.assertIn('"record":"Message"', said["journal"])
        self.assertIn("0 notifications of acme will be sent again", said["replay"])
        self.assertIn("config_reloaded", said["journalctl -u relay -n 50"])
        self.assertIn("relay_stopped", (self.root / "journal.log").read_text())

    def placed(self, text: str) -> str:
        """The text, with the places and ports of this run."""
        text = re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{self.root}/\1/", text)
        admin, http = (f"http://127.0.0.1:{self.ports[port]}" for port in ("9090", "8080"))
        text = re.sub(r"\brelay (status|replay|hold|resume) ?", rf"relay \1 --admin {admin} ", text)
        return text.replace("-m relay send", f"-m relay send --http {http}")

    def make_wheel(self, here: Path) -> None:
        """`make wheel` in a copy."""
        checkout = self.copy_checkout()
        self.succeed(f"make wheel VENV={sys.prefix}", checkout)
        (wheel,) = (checkout / "dist").glob("*.whl")
        shutil.copy(wheel, here)


class RelayCommandsTests(DocumentedCommandsTestCase):
    """The other pages' commands that need no machine of their own."""

    def minimal(self) -> dict[str, object]:
        listen = {key: {"listen": ["tcp:0:interface=127.0.0.1"]} for key in ("http", "smpp", "admin")}
        return {"data_dir": str(self.root / "data"), **listen}

    def test_check_and_start_of_the_readme_work_on_a_file_of_one_s_own(self) -> None:
        (self.root / "my.yaml").write_text(json.dumps(self.minimal()))
        self.assertIn("fine", self.succeed("python -m relay check my.yaml", self.root))
        self.start("twistd -n relay --config my.yaml")

    def test_check_and_start_of_the_sample_work_with_places_accounts_and_carriers_of_one_s_own(self) -> None:
        (self.root / "etc").mkdir()
        sample = yaml.safe_load((ROOT / "etc" / "relay.yaml").read_text())
        own = {"accounts": {}, "carriers": {}, "lists": {}, "routes": [], **self.minimal()}
        (self.root / "etc" / "relay.yaml").write_text(json.dumps({**sample, **own}))
        self.succeed("python -m relay check etc/relay.yaml", self.root)
        self.start("twistd -n relay --config etc/relay.yaml")
        self.succeed(f"python -m relay journal {self.root / 'data'}", self.root)

    def start(self, command: str, ready: str = "relay_ready", end: signal.Signals = signal.SIGTERM) -> str:
        """Starts what goes on until it is stopped, and stops it once it says that it is ready; gives all it printed."""
        seen = ""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.root, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as relay:  # fmt: skip
            assert relay.stdout is not None
            for line in relay.stdout:
                seen += line
                if ready in line:
                    relay.send_signal(end)
        self.assertIn(ready, seen)
        return seen

    def test_the_commands_for_single_tests_find_these_tests(self) -> None:
        texts = [c.text for c in commands() if c.text.startswith(_TRIAL)]
        self.assertNotEqual([], texts)
        for text in texts:
            names = text.removeprefix(_TRIAL).replace(" -j2", "")
            options = f"--dry-run --temp-directory={self.root}/trial"
            printed = self.succeed(f"python -m twisted.trial {options} {names}", ROOT)
            self.assertNotIn("ModuleNotFound", printed)

    def test_commands_print_what_their_pages_say(self) -> None:
        self.assertIn("journal", self.succeed("python -m relay --help", ROOT))
        self.assertIn("vonage", self.succeed("python -m relay dialect --presets", ROOT))
        self.assertIn("walk", self.succeed("make help", ROOT))

    def test_the_simulator_listens_as_its_page_says(self) -> None:
        (command,) = [c.text for c in commands() if c.page == "docs/simulator.md" and "--listen" in c.text]
        seen = self.start(command.replace("2776", "0"), "listening on 127.0.0.1:", signal.SIGINT)
        self.assertIn("submits=0 ", seen)
