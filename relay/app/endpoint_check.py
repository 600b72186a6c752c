"""Checks the endpoint descriptions of a configuration, before anything listens."""

from collections.abc import Callable, Iterator
from typing import Any

from relay.app.tls import carrier_endpoint, server_endpoint
from relay.config.endpoint_text import split_description
from relay.config.model import Config
from relay.config.tls_config import TlsFiles
from relay.config.yaml_reader import Path
from relay.runtime.client_tls import TlsProblem, client_tls_options

_HIGHEST_PORT = 65_535


def endpoint_problems(config: Config, reactor: Any) -> Iterator[tuple[Path, str]]:
    """Finds the descriptions that Twisted refuses and the files that OpenSSL refuses, by key.

    It is one of the `further_checks` of `load_config.load`.

    It reads the certificate and key files that descriptions name. It doesn't listen, and doesn't connect.

    :param reactor: an argument of Twisted's endpoints. The check doesn't use it.
    """
    for table in ("http", "smpp", "admin"):
        for index, description in enumerate(getattr(config, table).listen):
            yield from _try(server_endpoint, "server", reactor, (table, "listen", index), description)
    yield from _try(server_endpoint, "server", reactor, ("demo", "receiver"), config.demo.receiver)
    for name, account in config.accounts.items():
        yield from _try_files(("accounts", name, "notification_tls"), account.notification_tls)
    for name, carrier in config.carriers.items():
        path: Path = ("carriers", name)
        if carrier.kind == "smpp":
            yield from _try(
                lambda reactor, _, carrier=carrier: carrier_endpoint(reactor, carrier),  # type: ignore[misc]
                "client",
                reactor,
                (*path, "connect"),
                carrier.connect,
            )
        elif carrier.kind == "simulator":
            listen = carrier.simulator.listen
            yield from _try(server_endpoint, "server", reactor, (*path, "simulator", "listen"), listen)


def _try(
    parse: Callable[[Any, str], object], kind: str, reactor: Any, path: Path, description: str
) -> Iterator[tuple[Path, str]]:
    if not description:
        return
    try:
        parse(reactor, description)
        _check_port(description, kind)
    except Exception as problem:
        # Twisted itself raises ValueError, TypeError and FileNotFoundError. OpenSSL and plugins may raise anything.
        yield path, f"{description!r} is not a {kind} endpoint: {_reason(problem)}"


def _try_files(path: Path, files: TlsFiles | None) -> Iterator[tuple[Path, str]]:
    # A certificate without its key is found by another check.
    if files is None or bool(files.certificate_file) != bool(files.key_file):
        return
    try:
        client_tls_options("localhost", files.ca_file, files.certificate_file, files.key_file)
    except (TlsProblem, OSError) as problem:
        yield path, _reason(problem)


def _check_port(description: str, kind: str) -> None:
    """Checks whether a port is in its bounds. Twisted checks this only when it listens or connects.

    :raises ValueError: the port is out of bounds.
    """
    scheme, *arguments = split_description(description)
    if scheme == "haproxy":
        scheme, *arguments = arguments
    if scheme not in ("tcp", "tcp6", "ssl", "tls"):
        return
    named = [argument.partition("=")[2] for argument in arguments if argument.startswith("port=")]
    by_position = [argument for argument in arguments if "=" not in argument]
    # A server's description begins with the port, a client's with the host.
    position = 0 if kind == "server" else 0 if any(argument.startswith("host=") for argument in arguments) else 1
    text = named[0] if named else by_position[position]
    least = 0 if kind == "server" else 1
    if not least <= int(text) <= _HIGHEST_PORT:
        raise ValueError(f"the port must be from {least} to {_HIGHEST_PORT}, not {text}")


def _reason(problem: Exception) -> str:
    """Says an error of Twisted or OpenSSL in words about the description."""
    text = str(problem)
    if isinstance(problem, TlsProblem):
        return text
    if isinstance(problem, OSError):
        return f"{problem.filename}: {problem.strerror}" if problem.filename else text
    if text.startswith("invalid literal for int"):
        return f"the port must be a number, not {text.rpartition(': ')[2]}"
    if "multiple values for" in text:
        return r"write a backslash before a colon within an argument, such as interface=\:\:1"
    if "positional argument" in text or "unexpected keyword" in text:
        return (
            "too few, too many or unknown arguments; write one such as tcp:2775:interface=127.0.0.1 or "
            "ssl:8443:privateKey=FILE:certKey=FILE to listen, tcp:HOST:2775 or tls:HOST:3550 to connect"
        )
    if isinstance(problem, LookupError):
        return "systemd has passed no such socket"
    if isinstance(problem, ValueError):
        return text
    return f"a certificate or key file has no PEM certificate or key ({type(problem).__name__})"
