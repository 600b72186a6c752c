"""The operator's page: one HTML file, its style and its script, as they stand in this directory.

The page asks the admin listener for JSON and shows it; nothing of the relay is known here.
"""

from importlib.resources import files

HTML = (files(__name__) / "page.html").read_bytes()
STYLE = (files(__name__) / "page.css").read_bytes()
SCRIPT = (files(__name__) / "page.js").read_bytes()
ICON = (files(__name__) / "page.svg").read_bytes()
