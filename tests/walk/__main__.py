"""Follows docs/operations.md on an empty machine: `python -m tests.walk`, as root, some three minutes.

It takes the commands of "Install" from the page, and runs them unchanged, in their order. After that it makes the
changes to a running relay that the page describes. WALK_BASE names a root directory of debootstrap to copy, instead of
a new one.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.walk.machine import Failed, Machine, missing

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RELAY = "/opt/relay/bin/python -m relay"
SEND = f"{RELAY} send --account acme --key-file /etc/relay/acme.key --to 447700900123 --from RELAY --text Hello"
RELOAD = f"{RELAY} check /etc/relay/relay.yaml && systemctl reload relay"

#: A customer's web server: answers with what stands in /root/answer, and notes what it gets in /root/posts.
_CUSTOMER = """\
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = int(pathlib.Path("/root/answer").read_text())
        if code < 300:
            with open("/root/posts", "ab") as posts:
                posts.write(body + b"\\n")
        self.send_response(code)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 9999), Handler).serve_forever()
"""


def section(title: str) -> str:
    """A section of the page, by its heading."""
    return re.split(r"^## ", PAGE.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.M)[0]


def commands(text: str) -> list[str]:
    """The indented lines of a piece of Markdown, outside its fenced blocks."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.findall(r"^    (\S.*)$", text, re.M)


class Walk:
    """The machine, and what is asked of it again and again."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        (example,) = re.findall(r"```yaml\n(data_dir.*?)```", section("Install"), re.S)
        self.example = example
        self.configuration: dict[str, Any] = yaml.safe_load(example)

    def step(self, what: str) -> None:
        """Says what comes now."""
        print(f"--- {what}", flush=True)

    def ask(self, path: str) -> Any:
        """What the admin listener says: what the page shows is made of this."""
        program = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090{path}').read().decode())"
        return json.loads(self.machine.run(f'python3 -c "{program}"'))

    def act(self, path: str, reason: str) -> None:
        """What a button of the page does."""
        program = (
            f"import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:9090{path}', "
            f"data=b'{json.dumps({'reason': reason})}', headers={{'X-Relay-Action': 'page'}}))"
        )
        self.machine.run(f"python3 -c {shlex.quote(program)}")

    def change(self, **tables: Any) -> None:
        """Edits the file and reloads, as the page says."""
        self.configuration |= tables
        self.machine.write("/etc/relay/relay.yaml", yaml.safe_dump(self.configuration, sort_keys=False))
        self.machine.run(RELOAD)

    def troubles(self) -> str:
        """The sentences at the top of the page."""
        return "\n".join(self.ask("/status")["troubles"])

    def main_pid(self) -> int:
        """systemd's word on the relay's process."""
        return int(self.machine.run("systemctl show -p MainPID --value relay"))

    def expect(self, holds: object, what: str) -> None:
        """:raises Failed: it doesn't hold."""
        if not holds:
            raise Failed(what)

    # The steps, in order

    def installs(self) -> None:
        """Everything up to the first systemctl happens before the machine boots; it needs no systemd."""
        self.step("install, by the page's own commands")
        shutil.copy(ROOT / "etc" / "relay.service", self.machine.root / "root")
        for wheel in (ROOT / "dist").glob("*.whl"):
            shutil.copy(wheel, self.machine.root / "root")
        self.machine.write("/root/relay.yaml", self.example)
        lines = [line for line in commands(section("Install")) if not line.startswith("make ")]
        booted = False
        for line in lines:
            print(f"    {line}", flush=True)
            if line.startswith("systemctl") and not booted:
                self.machine.boot()
                booted = True
            said = self.machine.run(line) if booted else self.machine.install(line)
            if " send " in line:
                self.expect("DELIVRD" in said, said)
        self.expect("ready" in self.machine.run(f"{RELAY} status"), "status doesn't say that it is ready")
        user = self.machine.run(f"stat -c %U /proc/{self.main_pid()}")
        self.expect(user.strip() == "relay", f"the relay runs as {user!r}")
        self.machine.run("systemd-analyze verify /etc/systemd/system/relay.service")

    def adds_a_carrier_with_a_dialect_of_its_own(self) -> None:
        self.step("a carrier added, whose receipts write ids in another way than its responses")
        self.machine.run(
            f"systemd-run --quiet --unit=carrier {RELAY} simulate --listen tcp:2776:interface=127.0.0.1 "
            "--response-id hex --receipt-id decimal"
        )
        carriers = self.configuration["carriers"] | {"tier1": {"connect": "tcp:127.0.0.1:2776", "system_id": "relay"}}
        self.change(carriers=carriers, routes=[{"carriers": ["tier1", "sim"]}])
        self.machine.until("tier1 is bound", lambda: re.search(r"tier1 +up +1/1", self.machine.run(f"{RELAY} status")))
        for _ in range(3):
            status, said = self.machine.try_run(f"{SEND} --wait 3")
            self.expect(status == 3, f"without the dialect nobody should hear of it: {status} {said}")
        self.machine.until("orphans are shown", lambda: "receipts name ids" in self.troubles())
        print(f"    {self.troubles()}")

    def mends_the_dialect_from_the_page(self) -> None:
        self.step("the dialect mismatch mended with what the page advises")
        [advice] = self.ask("/receipts")["advice"]
        print("\n".join(f"    {line}" for line in advice["yaml"].splitlines()))
        dialect = yaml.safe_load(advice["yaml"])
        carriers = self.configuration["carriers"]
        self.change(carriers=carriers | {"tier1": carriers["tier1"] | dialect})
        self.machine.until("tier1 is bound", lambda: re.search(r"tier1 +up +1/1", self.machine.run(f"{RELAY} status")))
        self.expect("DELIVRD" in self.machine.run(SEND), "a message through tier1 isn't told as delivered")

    def finds_a_failing_webhook_and_replays(self) -> None:
        self.step("a failing webhook found and replayed")
        self.machine.write("/root/answer", "500")
        self.machine.write("/root/customer.py", _CUSTOMER)
        self.machine.run("systemd-run --quiet --unit=customer python3 /root/customer.py")
        acme = self.configuration["accounts"]["acme"]
        url = {"notification_url": "http://127.0.0.1:9999/", "allow_private_urls": True}
        self.change(accounts={"acme": acme | url})
        sent = json.loads(self.machine.run(f"{SEND} --json"))
        self.machine.until("the page says so", lambda: "acme's notification URL failed" in self.troubles())
        print(f"    {self.troubles()}")
        [life] = self.ask(f"/messages?id={sent['id']}")
        self.expect("500" in json.dumps(life), f"the message's life doesn't show the answer: {life}")
        self.machine.write("/root/answer", "200")
        self.machine.write("/root/ids", sent["id"] + "\n")
        said = self.machine.run(f'{RELAY} replay acme --ids /root/ids --reason "their server was down"')
        print(f"    {said.strip()}")
        posts = self.machine.root / "root/posts"
        self.machine.until("the customer has it", lambda: posts.exists() and sent["id"] in posts.read_text())
        self.machine.until("the page is well", lambda: "notification URL" not in self.troubles())
        self.expect("their server was down" in json.dumps(self.ask("/audit")), "the audit has no replay")

    def changes_a_certificate(self) -> None:
        self.step("a certificate changed")
        make = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} "
            "-keyout tls.key -out tls.pem 2>&1 && install -o root -g relay -m 0640 tls.key tls.pem /etc/relay"
        )
        shown = (
            "python3 -c 'import ssl; print(ssl.get_server_certificate((\"127.0.0.1\", 8443)))' | "
            "openssl x509 -noout -subject"
        )
        self.machine.run(make.format(name="first.example"))
        (listen,) = re.findall(r"```yaml\n(http:\n  listen: .*?)```", section("Install"), re.S)
        http = yaml.safe_load(listen)["http"]
        http["listen"].append("tcp:8080:interface=127.0.0.1")
        self.machine.run("chmod 0644 /etc/relay/tls.key")
        self.configuration["http"] = http
        self.machine.write("/etc/relay/relay.yaml", yaml.safe_dump(self.configuration, sort_keys=False))
        status, said = self.machine.try_run(f"{RELAY} check /etc/relay/relay.yaml")
        self.expect(status == 1 and "tls.key" in said, f"a key that all may read is taken: {said}")
        print(f"    {said.strip().splitlines()[0]}")
        self.machine.run("chmod 0640 /etc/relay/tls.key")
        self.machine.run(f"{RELAY} check /etc/relay/relay.yaml && systemctl restart relay")
        self.expect("first.example" in self.machine.run(shown), "the first certificate isn't shown")
        self.machine.run(make.format(name="second.example"))
        self.machine.run("systemctl reload relay")
        self.machine.until("the second one is shown", lambda: "second.example" in self.machine.run(shown))

    def survives_what_systemd_is_for(self) -> None:
        self.step("kill -9, and a thread that hangs: systemd starts it again")
        sent = json.loads(self.machine.run(f"{SEND} --json"))
        for signal, name in (("KILL", "killed"), ("STOP", "hanging")):
            before = self.main_pid()
            self.machine.run(f"kill -{signal} {before}")
            began = time.monotonic()

            def is_back(before: int = before) -> bool:
                return self.main_pid() not in (0, before) and not self.machine.try_run(f"{RELAY} status")[0]

            self.machine.until(f"it is back, {name}", is_back, 90.0)
            print(f"    {name}: back after {time.monotonic() - began:.0f} s")
        [life] = self.ask(f"/messages?id={sent['id']}")
        self.expect(life["final"], "the message from before is gone")

    def removes_a_carrier(self) -> None:
        self.step("a carrier removed")
        carriers = {name: value for name, value in self.configuration["carriers"].items() if name != "tier1"}
        self.change(carriers=carriers, routes=[{"carriers": ["sim"]}])
        status = f"{RELAY} status"
        self.expect(re.search(r"tier1 +draining", self.machine.run(status)), "status doesn't say that it drains")
        self.machine.until("receipts are counted", lambda: "3 receipts outstanding" in self.machine.run(status))
        print("    the three receipts from before the dialect never come: unbound by the page's button")
        self.act("/carriers/tier1/unbind", "gone for good")
        log = "journalctl -u relay"
        self.machine.until("the log says that it is unbound", lambda: "carrier_removed: tier1" in self.machine.run(log))

    def is_told_what_is_wrong_with_a_file(self) -> None:
        self.step("a mistake in the file")
        self.machine.write("/etc/relay/relay.yaml", self.example.replace("routes:", "rutes:"))
        status, said = self.machine.try_run(RELOAD)
        self.expect(status == 1 and "rutes" in said, said)
        print(f"    {said.strip()}")
        self.machine.try_run("systemctl reload relay")
        self.expect("DELIVRD" in self.machine.run(SEND), "the running relay has taken harm")

    def backs_up_and_restores(self) -> None:
        self.step("stop, back up, restore, upgrade")
        self.machine.write("/etc/relay/relay.yaml", yaml.safe_dump(self.configuration, sort_keys=False))
        sent = json.loads(self.machine.run(f"{SEND} --json"))
        self.machine.run("systemctl stop relay")
        self.expect(self.machine.try_run(f"{RELAY} status")[0] == 3, "status should say that nobody answers")
        self.expect(
            self.machine.run("systemctl show -p Result --value relay").strip() == "success", "the stop was no clean one"
        )
        self.machine.run("cp -a /var/lib/relay /root/backup && rm -r /var/lib/relay")
        self.machine.run("cp -a /root/backup /var/lib/relay")
        for line in commands(section("Stop, upgrade, back up")):
            print(f"    {line}", flush=True)
            self.machine.run(line)
        [life] = self.ask(f"/messages?id={sent['id']}")
        self.expect(life["final"], "the restored journal doesn't have the message")

    def whole(self) -> None:
        """All steps."""
        self.installs()
        self.adds_a_carrier_with_a_dialect_of_its_own()
        self.mends_the_dialect_from_the_page()
        self.finds_a_failing_webhook_and_replays()
        self.changes_a_certificate()
        self.survives_what_systemd_is_for()
        self.removes_a_carrier()
        self.is_told_what_is_wrong_with_a_file()
        self.backs_up_and_restores()


def build_wheels(directory: Path) -> None:
    """The relay's wheel into dist/, and the wheels that it needs into `directory`."""
    subprocess.run(["make", "--no-print-directory", "wheel"], cwd=ROOT, check=True)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", directory, wheel], check=True)


def main() -> int:
    """0 when the walk came to its end, or can't be made here, which is said; 1 where a step failed."""
    why_not = missing()
    if sys.version_info[:2] != (3, 11):
        why_not = why_not or "wheels for Debian 12 are made with Python 3.11"
    if why_not:
        print(f"walk: skipped: {why_not}")
        return 0
    base = os.environ.get("WALK_BASE")
    with tempfile.TemporaryDirectory(prefix="relay-walk-") as name:
        directory = Path(name)
        wheels = directory / "wheels"
        wheels.mkdir()
        machine = Machine(directory, wheels)
        walk = Walk(machine)
        try:
            walk.step("an empty machine")
            build_wheels(wheels)
            machine.make(Path(base) if base else None)
            walk.whole()
        except Failed as problem:
            print(f"walk: FAILED: {problem}")
            if machine.booted:
                print(machine.try_run("journalctl -u relay -n 30 --no-pager")[1])
            return 1
        finally:
            machine.stop()
    print("walk: came to its end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
