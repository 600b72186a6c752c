"""Controls a real, headless Chromium for tests and screenshots."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import PATIENCE

#: Nothing that phones home, nothing that needs a screen or a user.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US",
)  # fmt: skip
WAIT_SECONDS = 15.0 * PATIENCE


def what_is_missing() -> str:
    """Why there is no browser here; "" where there is one."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install -e '.[browser]'"
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed: on Debian, apt-get install chromium chromium-driver"
    return ""


class Browser:
    """One browser at one site."""

    def __init__(self, driver: Any, site: str) -> None:
        self.driver = driver
        self.site = site

    def go(self, path: str) -> None:
        """Loads a page."""
        self.driver.get(self.site + path)

    def log_in(self, account: str, key: str) -> None:
        """From the login page to the overview."""
        self.go("/login")
        self.fill("account", account)
        self.fill("key", key)
        self.press("Log in")
        self.until("the overview is shown", lambda: self.heading() == "My Account" and self.has("nav"))

    def fill(self, name: str, text: str) -> None:
        """Types into a field, in place of what is there."""
        control = self.driver.find_element("id", name)
        control.clear()
        control.send_keys(text)

    def press(self, words: str) -> None:
        """Presses the button that says `words`."""
        self.driver.find_element("xpath", f"//button[normalize-space()='{words}']").click()

    def follow(self, words: str) -> None:
        """Follows the link that says `words`. The page may draw the link again at any time."""
        self.until(f"{words} is followed", lambda: self.driver.find_element("link text", words).click() or True)

    def text(self, selector: str) -> str:
        """What an element says; "" where there is none."""
        found = self.driver.find_elements("css selector", selector)
        return str(found[0].text) if found else ""

    def all(self, selector: str) -> list[str]:
        """What each of these elements says."""
        return [str(found.text) for found in self.driver.find_elements("css selector", selector)]

    def path(self) -> str:
        """The path of the page's address, with its query."""
        return str(self.driver.current_url).removeprefix(self.site)

    def has(self, selector: str) -> bool:
        """Whether there is such an element."""
        return bool(self.driver.find_elements("css selector", selector))

    def heading(self) -> str:
        """The page's first heading."""
        return self.text("h1")

    def until(self, what: str, condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
        """Waits until a condition holds; elements that go while they are looked at are looked for again."""
        from selenium.common.exceptions import TimeoutException, WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self.driver, seconds, 0.05, ignored_exceptions=[WebDriverException])
        try:
            wait.until(lambda _: condition())
        except TimeoutException:
            shown = self.text("body")[:2000]
            raise AssertionError(f"after {seconds:g} seconds still waiting until {what}; shown:\n{shown}") from None

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments: object) -> Any:
        """What a script in the page passes to its last argument."""
        return self.driver.execute_async_script(script, *arguments)

    def console_problems(self) -> list[str]:
        """What the browser complained of: blocked scripts and styles, failed requests, exceptions."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@contextmanager
def browser(site: str, *, javascript: bool = True, width: int = 1280, height: int = 900) -> Iterator[Browser]:
    """A new browser with an empty profile, closed at the end."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    profile = tempfile.mkdtemp(prefix="relay-browser-")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    if not javascript:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Both programs by name: selenium downloads nothing.
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_page_load_timeout(30)
        driver.set_script_timeout(30)
        yield Browser(driver, site)
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


def show(site: Browser, width: int, height: int, *, dark: bool) -> None:
    """Has the page shown in a window of this size, in light or dark colours."""
    site.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    site.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                      {"name": "prefers-reduced-motion", "value": "reduce"}]},
    )  # fmt: skip


def page_height(site: Browser) -> int:
    """How high the whole page is."""
    return int(site.run("return document.documentElement.scrollHeight"))


def screenshot(site: Browser, file: Path) -> None:
    """Writes what is shown as a PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not site.driver.save_screenshot(str(file)):
        raise OSError(f"{file}: can't be written")
