"""Builds the site of the documentation: `make site`, or `python -m release.build_site`.

The site is dist/site: plain files, which any web server or a browser alone can show. Neither building nor reading it
needs a network. docs/decisions/0017-sphinx-for-the-site.md says why Sphinx makes it.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx

from release.build_deb import ROOT

#: Pages at the top of the checkout, beside README.md, which becomes the first page.
PAGES: Final = ("CONTRIBUTING.md", "NEWS.md", "RELEASING.md", "SECURITY.md")
#: Files that pages link to.
FILES: Final = ("LICENSE", "etc/relay.yaml", "newsfragments/README.md")
_SETTINGS: Final = {
    "project": "SMS receipt relay",
    "html_title": "SMS receipt relay",
    "html_theme": "furo",
    "extensions": "myst_parser",
    "root_doc": "index",
    "myst_heading_anchors": 6,
    # A link to a page's source would need the checkout.
    "html_show_sourcelink": False,
    "html_copy_source": False,
    "html_show_copyright": False,
    # Pygments doesn't know the languages of all blocks. Such a block is shown without colours.
    "suppress_warnings": "misc.highlighting_failure",
}


def build_site(output: Path) -> Path:
    """Builds the site into a directory, which it empties first. Returns the first page.

    :raises RuntimeError: a page has a mistake, such as a link that leads nowhere. Standard error has it.
    """
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="relay-site-") as name:
        source = Path(name) / "source"
        copy_pages(source)
        site = Sphinx(
            srcdir=source, confdir=None, outdir=output, doctreedir=Path(name) / "doctrees", buildername="html",
            confoverrides=dict(_SETTINGS), status=None, warning=sys.stderr, freshenv=True, warningiserror=True,
        )  # fmt: skip
        site.build(force_all=True)
        if site.statuscode:
            raise RuntimeError("the site has the mistakes that stand above")
    # The first page has them as HTML, which Sphinx doesn't read.
    shutil.copytree(ROOT / "docs" / "images", output / "docs" / "images", dirs_exist_ok=True)
    return output / "index.html"


def copy_pages(source: Path) -> None:
    """Copies all pages, with links that lead to pages of the site."""
    for name in FILES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "docs", source / "docs")
    for name in PAGES:
        shutil.copy(ROOT / name, source / name)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (source / "index.md").write_text(readme + "".join(contents(readme)), encoding="utf-8")
    for page in source.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"\]\(((?:\.\./)*)README\.md", r"](\1index.md", text) if page.parent.name != "decisions" else text
        # A directory is no page.
        text = re.sub(r"\[([^\]]+)\]\([\w./]+/\)", r"\1", text)
        page.write_text(text, encoding="utf-8")


def contents(readme: str) -> Iterator[str]:
    """The list of pages beside each page: in the order of the README's section "Read on"."""
    linked = re.findall(r"\]\((docs/[\w/-]+)\.md", readme.partition("\n## Read on\n")[2])
    pages = [*dict.fromkeys(linked), *(page.removesuffix(".md") for page in PAGES)]
    yield _tree("Pages", [page for page in pages if not page.startswith("docs/decisions/")])
    decisions = sorted(path.stem for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    yield _tree("Decisions", ["docs/decisions/README", *(f"docs/decisions/{name}" for name in decisions)])
    yield _tree("News", ["newsfragments/README"])


def _tree(caption: str, pages: list[str]) -> str:
    lines = "\n".join(pages)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m release.build_site", description="Builds the documentation's site."
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "site", metavar="DIRECTORY")
    try:
        print(build_site(parser.parse_args().output.resolve()))
    except RuntimeError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
