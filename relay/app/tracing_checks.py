"""Checks of the key `tracing`."""

from collections.abc import Iterator

from relay.accounts.receiver_headers import header_problem
from relay.config.daemon_config import Tracing
from relay.config.model import Config
from relay.config.urls import UrlProblem, parse_url
from relay.config.yaml_reader import Path

#: A key, what is wrong with it, and what to do.
Finding = tuple[Path, str]


def check_tracing(config: Config) -> Iterator[Finding]:
    """Finds what is wrong with `tracing`. Without an endpoint, the other keys may not be there either."""
    tracing = config.tracing
    if not tracing.endpoint:
        if tracing != Tracing():
            yield ("tracing", "endpoint"), "missing; the other keys of tracing have no meaning without it"
        return
    try:
        if parse_url(tracing.endpoint).authorization:
            yield ("tracing", "endpoint"), "must not hold a password; put it into tracing.headers"
    except UrlProblem as reason:
        yield ("tracing", "endpoint"), str(reason)
    for index, name in enumerate(tracing.follow_accounts):
        if name not in config.accounts:
            yield ("tracing", "follow_accounts", index), f"there is no account {name!r}"
    for name, value in tracing.headers.items():
        if problem := header_problem(name, value.reveal()):
            yield ("tracing", "headers", name), problem


def library_problems(config: Config) -> Iterator[Finding]:
    """Says if OpenTelemetry is missing. It is one of the `further_checks` of `load_config.load`.

    Without `tracing.endpoint` it imports nothing.
    """
    if not config.tracing.endpoint:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as problem:
        yield ("tracing",), f"needs OpenTelemetry: pip install 'sms-receipt-relay[opentelemetry]' ({problem})"
