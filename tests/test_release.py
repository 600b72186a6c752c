"""The Debian package and the container, as far as they can be checked without building them.

`make walk-deb` builds, installs, upgrades and removes the package on an empty machine.
"""

import json
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from relay.cli.check import checked
from release import audit, build_deb, build_release
from tests import HUNG_SECONDS
from tests.documented import ROOT

CONTAINERFILE = (ROOT / "release" / "Containerfile").read_text(encoding="utf-8")


class DebTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-deb-test-")
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name) / "root"
        build_deb.write_programs(self.root)
        build_deb.write_files(self.root)
        build_deb.write_control(self.root, "1.2.3", "amd64")

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8")

    def test_dpkg_builds_it_and_finds_name_version_and_python(self) -> None:
        if shutil.which("dpkg-deb") is None:
            raise SkipTest("dpkg-deb is not installed")
        package = self.root.parent / "x.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", self.root, package], check=True, stdout=subprocess.DEVNULL
        )
        fields = subprocess.check_output(["dpkg-deb", "--field", package], text=True)
        major, minor = sys.version_info[:2]
        self.assertIn("Package: sms-receipt-relay\nVersion: 1.2.3\nArchitecture: amd64\n", fields)
        self.assertIn(f"Depends: python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1}~)", fields)

    def test_the_unit_starts_the_programs_of_the_package(self) -> None:
        unit = self.text("/usr/lib/systemd/system/relay.service")
        self.assertNotIn("/opt/", unit)
        for line in re.findall(r"^Exec\w+=(/usr/(?:bin/relay|lib)\S*)", unit, re.M):
            self.assertIn(line, build_deb.PROGRAMS)
        self.assertEqual(unit.count("/usr/lib/sms-receipt-relay/twistd"), 1)

    def test_programs_import_only_python_s_own_library_and_the_package(self) -> None:
        program = (self.root / "usr/bin/relay").read_text(encoding="utf-8")
        self.assertTrue(program.startswith("#!/usr/bin/python3 -IS\n"))
        self.assertTrue((self.root / "usr/bin/relay").stat().st_mode & stat.S_IXUSR)
        found = subprocess.check_output(
            [sys.executable, "-IS", "-c", "import sys; print([p for p in sys.path if 'packages' in p])"], text=True
        )
        self.assertEqual(found.strip(), "[]")

    def test_the_configuration_is_kept_at_upgrades_and_passes_the_check(self) -> None:
        self.assertEqual(self.text("/DEBIAN/conffiles"), "/etc/relay/relay.yaml\n")
        self.assertEqual(checked(self.text("/etc/relay/relay.yaml"), "relay.yaml").problems, [])
        # What is commented out is right, too: an operator removes the marks.
        whole = re.sub(r"^# (accounts|carriers|routes| )", r"\1", self.text("/etc/relay/relay.yaml"), flags=re.M)
        self.assertEqual(set(yaml.safe_load(whole)), {"data_dir", "accounts", "carriers", "routes"})

    def test_scripts_are_shell_and_none_of_them_deletes_the_journal(self) -> None:
        for name in ("postinst", "prerm", "postrm"):
            script = self.root / "DEBIAN" / name
            subprocess.run(["sh", "-n", script], check=True)
            self.assertEqual(script.stat().st_mode & 0o777, 0o755)
            self.assertNotRegex(script.read_text(), r"(?m)^\s*rm ")


class PublishTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-release-test-")
        self.addCleanup(directory.cleanup)
        self.built, self.output = Path(directory.name) / "built", Path(directory.name) / "dist"
        self.built.mkdir()
        (self.built / "sms_receipt_relay-2.0-py3-none-any.whl").write_text("new")

    def test_files_of_an_earlier_release_are_replaced_and_all_others_stay(self) -> None:
        (self.output / "site").mkdir(parents=True)
        for name in ("sms_receipt_relay-1.0-py3-none-any.whl", "sms-receipt-relay_1.0_amd64.deb", "SHA256SUMS", "mine"):
            (self.output / name).write_text("old")
        build_release.publish(self.built, self.output)
        self.assertEqual(
            {path.name for path in self.output.iterdir()},
            {"sms_receipt_relay-2.0-py3-none-any.whl", "SHA256SUMS", "site", "mine"},
        )

    def test_sha256sum_finds_all_files_as_they_are_listed(self) -> None:
        files = build_release.publish(self.built, self.output)
        self.assertEqual([file.name for file in files], ["sms_receipt_relay-2.0-py3-none-any.whl", "SHA256SUMS"])
        subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
            cwd=self.output,
            check=True,
            timeout=HUNG_SECONDS,
        )


class ContainerTests(SynchronousTestCase):
    def test_everything_that_is_copied_is_in_the_checkout_and_not_ignored(self) -> None:
        kept = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.M):
            *sources, _ = line.split()
            for source in sources:
                self.assertTrue((ROOT / source).exists(), source)
                self.assertIn(f"!{source}", kept)

    def test_it_runs_as_a_user_and_writes_only_to_the_volume(self) -> None:
        last = CONTAINERFILE.split("\nFROM ")[-1]
        self.assertRegex(last, r"(?m)^USER 10001:10001$")
        self.assertRegex(last, r"(?m)^VOLUME /var/lib/relay$")
        self.assertIn("/health/live", last)
        entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", last, re.M)[0])
        unit = (ROOT / "etc" / "relay.service").read_text(encoding="utf-8")
        self.assertIn(f"ExecStart={' '.join(entry)}\n", unit)

    def test_its_configuration_passes_the_check_and_hides_the_admin_listener(self) -> None:
        text = (ROOT / "release" / "container.yaml").read_text(encoding="utf-8")
        self.assertEqual(checked(text, "relay.yaml").problems, [])
        self.assertEqual(yaml.safe_load(text)["admin"], {"listen": ["tcp:9090:interface=127.0.0.1"]})
        self.assertEqual(yaml.safe_load(text)["data_dir"], "/var/lib/relay")

    def test_it_builds_where_podman_and_its_base_image_are_there(self) -> None:
        if shutil.which("podman") is None:
            raise SkipTest("podman is not installed")
        (base,) = set(re.findall(r"^FROM (\S+)", CONTAINERFILE, re.M))
        if subprocess.run(["podman", "image", "exists", base], check=False).returncode:
            raise SkipTest(f"the image {base} is not here: podman pull {base}")
        subprocess.run(
            ["podman", "build", "--file", "release/Containerfile", "--tag", "sms-receipt-relay:test", "."],
            cwd=ROOT, check=True, timeout=10 * HUNG_SECONDS,
        )  # fmt: skip


class AuditTests(SynchronousTestCase):
    def test_each_fault_is_a_line_and_what_was_not_found_is_counted(self) -> None:
        found = {
            "dependencies": [
                {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}]},
                {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
                {"name": "c", "version": "3", "vulns": []},
                {"name": "d", "skip_reason": "not found"},
            ]
        }
        lines = ["a 1: PYSEC-1, fixed in 1.1, 2.0", "b 2: PYSEC-2, fixed in no version yet"]
        self.assertEqual(audit.summary(found), (lines, 3, 1))
