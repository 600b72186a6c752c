"""Writes URLs of customers so that they can be stored and shown."""

from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit


@lru_cache(maxsize=1024)
def without_secrets(url: str) -> str:
    """Removes the pieces of a URL that may be secret: the login, the query and the fragment.

    For the same URL it returns the same object. So many attempts at one URL need no memory for it.
    """
    if not any(letter in url for letter in "@?#"):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
