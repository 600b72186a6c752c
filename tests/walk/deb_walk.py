"""Installs, upgrades and removes the Debian package on an empty machine: `make walk-deb`, as root, some three minutes.

WALK_BASE names a root directory of debootstrap to copy, instead of a new one.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.walk.machine import Failed, Machine, missing

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = "1.0.0", "1.0.1"
#: The least number of messages that must be accepted before the upgrade, and after it.
FEW = 50

_CONFIGURATION = """data_dir: /var/lib/relay
accounts:
  acme: {api_key: acme-key}
carriers:
  tier1: {connect: "tcp:127.0.0.1:2776"}
routes:
  - {carriers: [tier1]}
"""

#: Submits one message after the other until /root/stop is there, and notes the id of each that was accepted.
_LOAD = """\
import json, pathlib, time, urllib.request
request = dict(method="POST", headers={"Authorization": "Bearer acme-key", "Content-Type": "application/json"})
body = json.dumps({"to": "447700900123", "from": "LOAD", "text": "Hello"}).encode()
with open("/root/ids", "w", buffering=1) as ids:
    while not pathlib.Path("/root/stop").exists():
        try:
            asked = urllib.request.Request("http://127.0.0.1:8080/messages", data=body, **request)
            with urllib.request.urlopen(asked, timeout=10) as answer:
                ids.write(json.load(answer)["id"] + "\\n")
            time.sleep(0.02)
        except OSError:
            time.sleep(0.05)
"""

#: Waits until each accepted message has ended, and prints how many ended in which way.
_COUNT = """\
import collections, json, time, urllib.request
counted, left = collections.Counter(), open("/root/ids").read().split()
while left:
    again = []
    for message in left:
        asked = urllib.request.Request(
            f"http://127.0.0.1:8080/messages/{message}", headers={"Authorization": "Bearer acme-key"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            told = json.load(answer)
        if told["done_at"]:
            counted[told["status"]] += 1
        else:
            again.append(message)
    left = again
    time.sleep(0.2)
print(json.dumps(counted))
"""


class DebWalk:
    """The machine, and its packages."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def step(self, what: str) -> None:
        """Says what comes now."""
        print(f"--- {what}", flush=True)

    def expect(self, holds: object, what: str) -> None:
        """:raises Failed: it doesn't hold."""
        if not holds:
            raise Failed(what)

    def accepted(self) -> int:
        """How many messages of the load were accepted so far."""
        ids = self.machine.root / "root/ids"
        return len(ids.read_text().split()) if ids.exists() else 0

    def install(self, version: str) -> None:
        """Installs this version of the package with dpkg, as apt does once it has fetched a package."""
        print(self.machine.run(f"dpkg --install /root/sms-receipt-relay_{version}_*.deb"), end="")

    def installs(self) -> None:
        self.step("install: the service runs at once, as its own user, with an empty configuration")
        self.install(OLD)
        self.expect("relay " in self.machine.run("relay --version"), "the command doesn't work")
        self.machine.until("it is ready", lambda: self.machine.try_run("relay status")[0] == 0)
        pid = self.machine.run("systemctl show -p MainPID --value relay").strip()
        self.expect(self.machine.run(f"stat -c %U /proc/{pid}").strip() == "relay", "the relay has another user")
        self.expect(self.machine.run("systemctl is-enabled relay").strip() == "enabled", "it doesn't start at a boot")
        modes = self.machine.run("stat -c '%a %U %G' /etc/relay /etc/relay/relay.yaml").splitlines()
        self.expect(modes == ["750 root relay", "640 root relay"], f"the configuration's modes: {modes}")
        said = self.machine.run("dpkg --verify sms-receipt-relay; dpkg -V sms-receipt-relay")
        self.expect(not said.strip(), f"dpkg finds other files than it installed: {said}")

    def is_configured(self) -> None:
        self.step("configure and reload; a message from end to end")
        # A carrier outside of the relay: one inside would forget its receipts at a restart.
        self.machine.run("systemd-run --quiet --unit=carrier relay simulate --listen tcp:2776:interface=127.0.0.1")
        self.machine.write("/etc/relay/relay.yaml", _CONFIGURATION)
        self.machine.run("relay check /etc/relay/relay.yaml && systemctl reload relay")
        self.machine.write("/root/key", "acme-key\n")
        self.machine.until("the account is there", lambda: "acme" in self.machine.run("relay status"))
        said = self.machine.run("relay send --account acme --key-file /root/key --to 447700900123 --from X --text Hi")
        self.expect("DELIVRD" in said, said)

    def is_upgraded_under_load(self) -> None:
        self.step("upgrade while messages come: nothing that was accepted is lost, and the configuration stays")
        self.machine.write("/root/load.py", _LOAD)
        self.machine.run("systemd-run --quiet --unit=load python3 /root/load.py")
        self.machine.until("the load is on", lambda: self.accepted() >= FEW)
        self.install(NEW)
        before = self.accepted()
        self.machine.until("the load goes on", lambda: self.accepted() >= before + FEW)
        self.machine.write("/root/stop", "")
        self.machine.write("/root/count.py", _COUNT)
        self.machine.until("the load ends", lambda: self.machine.try_run("systemctl is-active load")[0] != 0)
        counted = json.loads(self.machine.run("python3 /root/count.py"))
        self.expect(counted == {"DELIVRD": self.accepted()}, f"of {self.accepted()} accepted messages ended: {counted}")
        print(f"    {self.accepted()} accepted, {before} of them before the end of the upgrade: all delivered")
        self.expect(self.machine.run("cat /etc/relay/relay.yaml") == _CONFIGURATION, "the configuration was changed")
        said = self.machine.run("dpkg-query --show --showformat '${Version}' sms-receipt-relay")
        self.expect(said == NEW, f"the version is {said}")

    def is_removed(self) -> None:
        self.step("remove: the service stops, configuration and journal stay; purge: the journal stays")
        self.machine.run("dpkg --remove sms-receipt-relay")
        self.expect(self.machine.try_run("relay --version")[0] != 0, "the command is still there")
        self.expect(self.machine.try_run("systemctl is-active relay")[1].strip() != "active", "it still runs")
        self.expect((self.machine.root / "etc/relay/relay.yaml").exists(), "the configuration is gone")
        self.expect(not (self.machine.root / "usr/lib/sms-receipt-relay").exists(), "files are left behind")
        said = self.machine.run("dpkg --purge sms-receipt-relay")
        print(f"    {said.strip().splitlines()[-1]}")
        self.expect(not (self.machine.root / "etc/relay/relay.yaml").exists(), "the configuration is still there")
        self.expect(list((self.machine.root / "var/lib/relay").iterdir()), "the journal is gone")
        self.step("install again: the old journal is read")
        self.install(NEW)
        self.machine.write("/etc/relay/relay.yaml", _CONFIGURATION)
        self.machine.run("systemctl restart relay")
        counted = json.loads(self.machine.run("python3 /root/count.py"))
        self.expect(counted == {"DELIVRD": self.accepted()}, f"messages of before: {counted}")

    def whole(self) -> None:
        """All steps."""
        self.installs()
        self.is_configured()
        self.is_upgraded_under_load()
        self.is_removed()


def build(directory: Path) -> None:
    """Two versions of the package: the same files."""
    subprocess.run(["make", "--no-print-directory", "wheel"], cwd=ROOT, check=True)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    for version in (OLD, NEW):
        subprocess.run(
            [sys.executable, "-m", "release.build_deb", wheel, "--output", directory, "--version", version],
            cwd=ROOT, check=True,
        )  # fmt: skip


def main() -> int:
    """0 when the walk came to its end, or can't be made here, which is said; 1 where a step failed."""
    why_not = missing()
    if sys.version_info[:2] != (3, 11):
        why_not = why_not or "a package for Debian 12 is built with Python 3.11"
    if why_not:
        print(f"walk-deb: skipped: {why_not}")
        return 0
    base = os.environ.get("WALK_BASE")
    with tempfile.TemporaryDirectory(prefix="relay-walk-") as name:
        directory = Path(name)
        machine = Machine(directory, directory)
        walk = DebWalk(machine)
        try:
            walk.step("an empty machine, and the packages")
            machine.make(Path(base) if base else None)
            build(machine.root / "root")
            machine.install("apt-get update --quiet=2 && apt-get install --yes --quiet=2 python3 adduser >/dev/null")
            machine.boot()
            walk.whole()
        except Failed as problem:
            print(f"walk-deb: FAILED: {problem}")
            if machine.booted:
                print(machine.try_run("journalctl -u relay -n 30 --no-pager")[1])
            return 1
        finally:
            machine.stop()
    print("walk-deb: came to its end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
