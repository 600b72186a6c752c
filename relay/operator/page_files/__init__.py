"""What the operator's pages need beside the files of My Account: a style sheet, and a script."""

from importlib.resources import files

STYLE = (files(__name__) / "page.css").read_bytes()
SCRIPT = (files(__name__) / "page.js").read_bytes()
