"""Requests of commands to the admin listener of a running relay."""

import argparse
import base64
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from relay.config.host_names import ascii_host
from relay.values.user_agent import USER_AGENT

#: The exit status if nobody answered, or if the answer was not that of an admin listener.
NO_ANSWER: Final = 3
PASSWORD_VARIABLE: Final = "RELAY_ADMIN_PASSWORD"
USER_VARIABLE: Final = "RELAY_ADMIN_USER"
#: What every request of a command has.
REQUEST_HEADERS: Final = {"User-Agent": USER_AGENT, "Accept": "*/*"}
_DEFAULT_URL: Final = "http://127.0.0.1:9090"
_TIMEOUT_SECONDS: Final = 30.0


class NoAnswer(Exception):
    """The admin listener didn't answer. The text says why, and what to do."""


class Refused(Exception):
    """The admin listener refused the request; the text is its reason."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options with which a command finds the admin listener."""
    parser.add_argument(
        "--admin", metavar="URL", type=http_url, default=_DEFAULT_URL,
        help=f"where the admin listener is (default {_DEFAULT_URL})",
    )  # fmt: skip
    parser.add_argument(
        "--user", metavar="NAME", default=os.environ.get(USER_VARIABLE, "operator"),
        help=f"a user of admin.users (default: ${USER_VARIABLE}, or operator)",
    )  # fmt: skip
    parser.add_argument(
        "--password-file", metavar="FILE", type=_secret, dest="password",
        help=f"file that holds the user's password (default: it is in ${PASSWORD_VARIABLE})",
    )  # fmt: skip


def http_url(text: str) -> str:
    """Reads an option that is the beginning of a URL. A slash at its end is cut off, and the host's name is ASCII."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        login, at, place = parts.netloc.rpartition("@")
        name, colon, port = place.partition(":")
        written = parts._replace(netloc=login + at + ascii_host(name) + colon + port).geturl()
    except ValueError:
        right = False
    if not right:
        raise argparse.ArgumentTypeError(f"expected a URL such as {_DEFAULT_URL}, got {text!r}")
    return written.rstrip("/")


def lines_of(file: str) -> str:
    """Reads the file that an option names.

    :raises argparse.ArgumentTypeError: it can't be read.
    """
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as problem:
        raise argparse.ArgumentTypeError(f"{file}: can't be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise argparse.ArgumentTypeError(f"{file}: can't be read: it is not UTF-8 text") from None


def _secret(file: str) -> str:
    return lines_of(file).rstrip("\n")


def ask(options: argparse.Namespace, path: str, body: Any = None) -> Any:
    """Asks the admin listener with a GET, or with a POST if there is a body. Returns its answer.

    :raises NoAnswer: it can't be reached, or needs a password.
    :raises Refused: it refuses the request.
    """
    request = urllib.request.Request(options.admin + path, headers=REQUEST_HEADERS)
    password = options.password or os.environ.get(PASSWORD_VARIABLE, "")
    if password:
        credentials = base64.b64encode(f"{options.user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        request.add_header("X-Relay-Action", "command")
    # Proxies are never used, because the listener is on this machine, or the operator has named it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as problem:
        raise _refusal(options, problem) from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        raise NoAnswer(
            f"{options.admin}: no answer: {reason}; is the relay running, and is this its admin.listen?"
        ) from None


def _refusal(options: argparse.Namespace, problem: urllib.error.HTTPError) -> Exception:
    text = problem.read().decode("utf-8", "replace").strip()
    if problem.code == 401:
        return NoAnswer(f"{options.admin} needs the password: give --password-file FILE, or set ${PASSWORD_VARIABLE}")
    if "problem+json" in problem.headers.get("Content-Type", ""):
        # The customers' listener answers like this.
        return NoAnswer(f"{options.admin}: no answer: HTTP status {problem.code}; is this the relay's admin.listen?")
    try:
        text = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        text = text or f"HTTP status {problem.code}"
    return Refused(text)
