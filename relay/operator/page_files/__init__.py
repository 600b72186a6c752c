"""The operator's page: one HTML file, its style and its script.

The page gets JSON from the admin listener and shows it.
"""

from importlib.resources import files

HTML = (files(__name__) / "page.html").read_bytes()
STYLE = (files(__name__) / "page.css").read_bytes()
SCRIPT = (files(__name__) / "page.js").read_bytes()
ICON = (files(__name__) / "page.svg").read_bytes()
