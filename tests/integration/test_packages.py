"""The Debian package, built and unpacked: its programs work with nothing but what is in it.

`make walk-deb` installs the package.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from release import build_deb
from tests import HUNG_SECONDS
from tests.documented import ROOT

#: The extras of setup.cfg that only a checkout needs.
FOR_A_CHECKOUT = {"test", "browser", "lint", "news", "release", "site"}
TRACED = """\
data_dir: {directory}
tracing: {{endpoint: "http://127.0.0.1:4318/v1/traces"}}
"""
CLUSTERED = """\
data_dir: {directory}
cluster: {{database: "postgresql://relay@127.0.0.1/relay"}}
"""


class UnpackedDebTests(SynchronousTestCase):
    def setUp(self) -> None:
        if shutil.which("dpkg-deb") is None:
            raise SkipTest("dpkg-deb is not installed")
        directory = tempfile.TemporaryDirectory(prefix="relay-packages-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        checkout = self.directory / "checkout"
        for name in ("relay", "twisted"):
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, checkout)
        self.succeed(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", checkout, checkout)
        (wheel,) = checkout.glob("*.whl")
        self.package = build_deb.build(wheel, self.directory, "1.2.3")
        self.root = self.directory / "root"
        self.succeed("dpkg-deb", "--extract", self.package, self.root)

    def try_run(self, *command: str | Path) -> tuple[int, str]:
        done = subprocess.run(
            command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=HUNG_SECONDS, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def succeed(self, *command: str | Path) -> str:
        status, said = self.try_run(*command)
        self.assertEqual(status, 0, said)
        return said

    def checked(self, text: str) -> tuple[int, str]:
        """What `relay check` of the package says about a configuration."""
        program = self.directory / "relay"
        source = (self.root / "usr/bin/relay").read_text(encoding="utf-8")
        program.write_text(source.replace(build_deb.HOME, f"{self.root}{build_deb.HOME}"), encoding="utf-8")
        file = self.directory / "relay.yaml"
        file.write_text(text.format(directory=self.directory / "data"), encoding="utf-8")
        return self.try_run(sys.executable, "-IS", program, "check", file)

    def test_its_programs_find_all_libraries_also_those_of_traces_and_of_a_cluster(self) -> None:
        self.assertEqual(self.checked("data_dir: {directory}\n")[0], 0)
        status, said = self.checked(TRACED)
        self.assertEqual(status, 0, said)
        status, said = self.checked(CLUSTERED)
        # Everything is in the package but libpq, which is Debian's.
        self.assertTrue(status == 0 or "apt-get install libpq5 (no pq wrapper" in said, said)
        self.assertNotIn("No module named", said)
        self.assertIn("Suggests: libpq5\n", self.succeed("dpkg-deb", "--field", self.package))


class ExtrasTests(SynchronousTestCase):
    def test_the_packages_have_each_extra_that_a_running_relay_can_need(self) -> None:
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        needed = set(setup["options.extras_require"]) - FOR_A_CHECKOUT
        self.assertEqual(set(build_deb.EXTRAS.split(",")), needed)
        containerfile = (ROOT / "release" / "Containerfile").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"'/source\[(.*)\]'", containerfile), [build_deb.EXTRAS])
