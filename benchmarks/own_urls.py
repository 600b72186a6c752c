"""Messages with a notification URL each, as customers of Kannel and Jasmin send them, beside the account's URL."""

from typing import Any

from benchmarks.bench import Bench
from benchmarks.chain import Row, http_row
from benchmarks.processes import free_ports
from benchmarks.waiting import WITHHELD

#: Notifications that wait at once, each for a URL of its own.
WAITING = 25_000


def own_urls(bench: Bench) -> list[Row]:
    """One POST in, one webhook out: to the account's URL, to a URL a message; then the same with 25,000 waiting."""
    return [
        one_by_one(bench, own=False),
        one_by_one(bench, own=True),
        all_at_once(bench, own=False),
        all_at_once(bench, own=True),
    ]


def one_by_one(bench: Bench, *, own: bool) -> Row:
    """One POST a message in, one POST a notification out, as fast as it goes."""
    total = bench.count(10_000)
    (port,) = free_ports(1)
    with bench.relay("own-urls", total, webhook_port=port) as (path, gateway, upstream):
        name = f"HTTP POST a message in, webhook POST a message out, {_urls(own)}"
        options: dict[str, Any] = {"total": total, "connections": 16, "url": _base(port) if own else ""}
        return http_row(name, path, gateway, upstream, port, **options)


def all_at_once(bench: Bench, *, own: bool) -> Row:
    """Receipts for many messages come at once, so that as many notifications wait. What is submitted isn't measured."""
    total = bench.count(WAITING)
    (port,) = free_ports(1)
    withhold = {"withhold_prefix": WITHHELD}
    with bench.relay("own-urls-waiting", total, withhold, webhook_port=port) as (path, gateway, upstream):
        name = f"{total:,} webhooks wait, POST a message out, {_urls(own)}"
        options: dict[str, Any] = {
            "total": total,
            "batch": 100,
            "prefix": WITHHELD,
            "url": _base(port) if own else "",
        }
        return http_row(name, path, gateway, upstream, port, withheld=True, **options)


def _base(port: int) -> str:
    return f"http://127.0.0.1:{port}/own"


def _urls(own: bool) -> str:
    return "a URL a message" if own else "the account's URL"
