"""systemd accepts etc/relay.service, and the unit restricts the relay as it should."""

import subprocess
import sys
import tempfile
from configparser import RawConfigParser
from pathlib import Path
from shutil import which

from twisted.trial.unittest import SkipTest, SynchronousTestCase

UNIT = Path(__file__).resolve().parents[1] / "etc" / "relay.service"


class SystemdUnitTests(SynchronousTestCase):
    def test_systemd_accepts_the_unit(self) -> None:
        if which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not installed (Debian's package systemd)")
        with tempfile.TemporaryDirectory() as directory:
            # The programs of an installation, which this machine doesn't have where the unit expects them.
            unit = Path(directory) / "relay.service"
            unit.write_text(
                UNIT.read_text()
                .replace("/opt/relay/bin/twistd", sys.executable)
                .replace("/opt/relay/bin/python", sys.executable)
            )
            done = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
            )
        about_ours = [line for line in done.stderr.splitlines() if "relay.service" in line]
        self.assertEqual((0, []), (done.returncode, about_ours))

    def test_the_unit_is_hardened(self) -> None:
        parser = RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(UNIT)
        service = dict(parser["Service"])
        wanted = {
            "Type": "notify",
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "ProtectHome": "yes",
            "PrivateTmp": "yes",
            "User": "relay",
        }
        self.assertEqual(wanted, {name: service.get(name) for name in wanted})
        self.assertGreaterEqual(int(service["LimitNOFILE"]), 65_536)
        self.assertIn("WatchdogSec", service)
