"""The files of the pages: the style sheet, the script and the icon. The operator's pages use them, too."""

from importlib.resources import files
from typing import Final

#: The content types of the files, by name.
STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_DIRECTORY: Final = files("relay.account_pages") / "static"
_READ: Final = {name: (_DIRECTORY / name).read_bytes() for name in STATIC}


def static_file(name: str) -> bytes:
    """Returns the content of a file of `STATIC`."""
    return _READ[name]
