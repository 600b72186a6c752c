"""`make screenshots`: the pages at three widths, light and dark, with a day of made-up messages.

Usage: python -m tests.browser.screenshots [--all DIRECTORY]. Without a directory only the pictures of the README are
made, in docs/images.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.browser.driving import Browser, browser, page_height, screenshot, show, what_is_missing
from tests.browser.seed import seed_journal

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (320, 800, 1440)
PAGES = {
    "overview": "/",
    "messages": "/my/messages",
    "settings": "/my/settings",
    "send": "/my/send",
    "access": "/my/access",
}
OPERATOR_PAGES = {
    "overview": "/",
    "carriers": "/page/carriers",
    "carrier": "/page/carriers/tier1",
    "carrier-hold": "/page/carriers/tier1/hold",
    "quality": "/page/quality",
    "accounts": "/page/accounts",
    "account": "/page/accounts/acme",
    "messages": "/page/messages?account=acme",
    "receipts": "/page/receipts",
    "traces": "/page/traces",
    "trace": "/page/traces/1",
    "configuration": "/page/configuration?account=acme&to=447700900123",
    "configuration-file": "/page/configuration/files/accounts/shop",
    "configuration-reload": "/page/configuration/reload",
    "audit": "/page/audit",
}
#: Entries of conf.d. One of them is changed after the start, so that it is wrong.
ENTRIES = {
    "accounts/shop.yaml": "api_key: key-of-shop\nrate: 20\nsenders: {allow: [SHOP]}\n",
    "carriers/tier1.yaml": 'connect: "tcp:127.0.0.1:9"\nsystem_id: relay\npassword: secret08\nwindow: 50\n',
    "routes/uk.yaml": 'prefix: "44"\ncarriers: [tier1, sim]\n',
}


def configuration(directory: Path, port: int) -> Path:
    """A relay with one account, one simulated carrier and a receiver, on loopback."""
    written = {
        "data_dir": str(directory / "data"),
        "http": {"listen": [f"tcp:{port}:interface=127.0.0.1"]},
        "smpp": {"listen": []},
        "admin": {"listen": [f"tcp:{port + 2}:interface=127.0.0.1"]},
        "demo": {"receiver": f"tcp:{port + 1}:interface=127.0.0.1"},
        "accounts": {
            "acme": {
                "api_key": "key-for-pictures",
                "notification_url": f"http://127.0.0.1:{port + 1}/sms/notifications",
                "allow_private_urls": True,
            }
        },
        "carriers": {"sim": {"kind": "simulator"}},
        "routes": [{"carriers": ["sim"]}],
    }
    for name, text in ENTRIES.items():
        entry = directory / "data" / "conf.d" / name
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_text(text)
    file = directory / "relay.yaml"
    file.write_text(yaml.safe_dump(written))
    return file


def pictures(site: Browser, directory: Path) -> None:
    """Every page at every width, light and dark."""
    site.go("/my/messages?show=failed")
    link = site.driver.find_element("css selector", ".messages a")
    paths = PAGES | {"message": link.get_attribute("href").removeprefix(site.site)}
    for name, path in paths.items():
        pictures_of_page(site, path, directory / name, "[data-events]")


def pictures_of_page(site: Browser, path: str, name: Path, live: str) -> None:
    """A page at every width, light and dark.

    :param live: what a page has that stays up to date by itself.
    """
    for width in WIDTHS:
        for dark in (False, True):
            show(site, width, 900, dark=dark)
            site.go(path)
            site.until("it is live", lambda: "Live" in site.text("#live") or not site.has(live))
            show(site, width, min(3000, page_height(site)), dark=dark)
            screenshot(site, name.with_name(f"{name.name}-{width}-{'dark' if dark else 'light'}.png"))


def pictures_of_operator(site: Browser, directory: Path, entries: Path) -> None:
    """Every page of the operator, with a trace that runs and a file that is wrong."""
    site.go("/page/accounts/acme/trace")
    site.press("Begin trace")
    site.until("it runs", lambda: site.heading() == "Trace 1")
    site.go("/page/messages?account=acme")
    link = site.driver.find_element("css selector", "#messages th a")
    paths = OPERATOR_PAGES | {"message": link.get_attribute("href").removeprefix(site.site)}
    (entries / "accounts" / "late.yaml").write_text("api_key: key-of-late\nrate: fast\n")
    for name, path in paths.items():
        pictures_of_page(site, path, directory / f"operator-{name}", "[data-live]")


def pictures_of_readme(site: Browser) -> None:
    """The two that stand in the README."""
    for name, width, height, dark in (("account", 1200, 800, False), ("account-phone", 360, 800, True)):
        show(site, width, height, dark=dark)
        site.go("/")
        site.until("it is live", lambda: "Live" in site.text("#live"))
        screenshot(site, ROOT / "docs" / "images" / f"{name}.png")


def main(arguments: list[str]) -> int:
    missing = what_is_missing()
    if missing:
        print(f"screenshots: {missing}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="relay-pictures-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        port = 20_080
        seed_journal(directory / "data", "acme", time.time())
        log = directory / "log"
        with log.open("wb") as output:
            relay = subprocess.Popen(
                [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "relay",
                 "--config", configuration(directory, port)],
                cwd=ROOT, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            while b"relay_ready" not in log.read_bytes():
                if relay.poll() is not None or time.monotonic() > deadline:
                    print(f"screenshots: the relay doesn't start:\n{log.read_text()}", file=sys.stderr)
                    return 1
                time.sleep(0.1)
            with browser(f"http://127.0.0.1:{port}") as site:
                site.log_in("acme", "key-for-pictures")
                pictures_of_readme(site)
                if arguments[:1] == ["--all"]:
                    pictures(site, Path(arguments[1]))
            if arguments[:1] == ["--all"]:
                with browser(f"http://127.0.0.1:{port + 2}") as site:
                    pictures_of_operator(site, Path(arguments[1]), directory / "data" / "conf.d")
        finally:
            relay.send_signal(signal.SIGTERM)
            relay.wait(20)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
