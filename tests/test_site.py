"""The documentation's site builds, all its links lead somewhere, and reading it needs no network."""

import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from release import build_site
from tests.documented import ROOT


class Page(HTMLParser):
    """Collects what a page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("link", "script", "img", "iframe", "source"):
            self.loaded += [given[name] for name in ("href", "src") if name in given]


class SiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-site-test-")
        self.addCleanup(directory.cleanup)
        self.site = Path(directory.name) / "site"
        build_site.build_site(self.site)
        self.pages = {file: Page(file.read_text(encoding="utf-8")) for file in self.site.rglob("*.html")}

    def target(self, page: Path, link: str) -> Path:
        """The file that a link of a page leads to."""
        path = unquote(urlsplit(link).path)
        return (page.parent / path).resolve() if path else page

    def test_every_page_is_there_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(self) -> None:
        pages = [page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md")]
        for source in [*pages, *map(Path, build_site.PAGES)]:
            self.assertTrue((self.site / source.with_suffix(".html")).exists(), source)
        broken = []
        for file, page in self.pages.items():
            name = file.relative_to(self.site)
            self.assertEqual([address for address in page.loaded if urlsplit(address).netloc], [], name)
            for link in [*page.links, *page.loaded]:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc or name.name in ("search.html", "genindex.html"):
                    continue
                target = self.target(file, link)
                anchors = self.pages[target].anchors if target in self.pages else set()
                if not target.exists() or (parts.fragment and target in self.pages and parts.fragment not in anchors):
                    broken.append(f"{name}: {link}")
        self.assertEqual(broken, [])
        styles = [file.read_text(encoding="utf-8") for file in self.site.rglob("*.css")]
        self.assertEqual(
            [found for style in styles for found in re.findall(r"url\([\"']?(?:https?:)?//[^)]*", style)], []
        )
