"""Requests of commands to the HTTP API, as a customer makes them."""

import argparse
import json
import os
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any, Final

from relay.cli.admin_client import REQUEST_HEADERS, http_url, lines_of

#: The exit status if nobody answered, or not in time.
NO_ANSWER: Final = 3
KEY_VARIABLE: Final = "RELAY_SEND_KEY"
#: More than the API lets a request wait.
_TIMEOUT_SECONDS: Final = 90.0


class Failed(Exception):
    """The request was refused, or nobody answered. `status` is the command's exit status."""

    def __init__(self, reason: str, status: int = 1) -> None:
        super().__init__(reason)
        self.status = status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options with which a command finds the HTTP API, and logs in as an account."""
    parser.add_argument("--account", required=True, help="account name (HTTP) or system_id (SMPP)")
    parser.add_argument("--key-file", metavar="FILE", help=f"file with the key (default: ${KEY_VARIABLE} is the key)")
    parser.add_argument(
        "--http", metavar="URL", type=http_url, default="http://127.0.0.1:8080",
        help="the relay's API (default %(default)s)",
    )  # fmt: skip


def key_of(options: argparse.Namespace) -> str:
    """Returns the account's key.

    :raises Failed: there is none, or its file can't be read.
    """
    if options.key_file:
        try:
            return lines_of(options.key_file).rstrip("\n")
        except argparse.ArgumentTypeError as problem:
            raise Failed(str(problem), 2) from None
    key = os.environ.get(KEY_VARIABLE)
    if key is None:
        raise Failed(f"no key: give --key-file FILE, or set ${KEY_VARIABLE}", 2)
    return key


def call(options: argparse.Namespace, key: str, path: str, body: Any = None) -> Any:
    """Asks the API with a GET, or with a POST if there is a body. Returns its answer.

    :raises Failed: it can't be reached, or refuses the request.
    """
    url = options.http + path
    authorization = "Basic " + b64encode(f"{options.account}:{key}".encode()).decode()
    request = urllib.request.Request(url, headers={**REQUEST_HEADERS, "Authorization": authorization})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=_TIMEOUT_SECONDS
        ) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as problem:
        text = problem.read().decode("utf-8", "replace")
        if problem.code == 401:
            raise Failed(f"{url}: there is no account with this name and key") from None
        try:
            text = json.loads(text)["detail"]
        except (ValueError, KeyError, TypeError):
            text = f"{url}: HTTP status {problem.code}; is this the relay's http.listen?"
        raise Failed(text) from None
    except (OSError, ValueError) as problem:
        raise Failed(f"{url}: no answer: {getattr(problem, 'reason', problem)}", NO_ANSWER) from None
