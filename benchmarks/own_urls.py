"""Messages with a notification URL each, as customers of Kannel and Jasmin send them, beside the account's URL."""

from typing import Any

from benchmarks.bench import Bench
from benchmarks.chain import Row, http_row
from benchmarks.processes import free_ports
from benchmarks.waiting import WITHHELD

#: Notifications that wait at once, each for a URL of its own.
WAITING = 25_000
#: A message with a URL of its own should cost at most this many times one without, whether others wait or not.
AIM_TIMES = 1.15


def own_urls(bench: Bench) -> list[Row]:
    """One POST in, one webhook out: to the account's URL, to a URL a message; then the same with 25,000 waiting."""
    return [measure(bench, own=own, waiting=waiting) for waiting in (False, True) for own in (False, True)]


def measure(bench: Bench, *, own: bool, waiting: bool) -> Row:
    """One POST a message in, one POST a notification out.

    :param own: each message has a notification URL of its own. They lead to one host.
    :param waiting: the carrier withholds all receipts until all messages have been submitted, so that as many
        notifications wait at once.
    """
    total = bench.count(WAITING if waiting else 10_000)
    (port,) = free_ports(1)
    carrier_options = {"withhold_prefix": WITHHELD} if waiting else {}
    with bench.relay("own-urls", total, carrier_options, webhook_port=port) as (path, gateway, upstream):
        name = "HTTP POST a message in, webhook POST a message out, " + ("a URL a message" if own else "one URL")
        options: dict[str, Any] = {"total": total, "connections": 16}
        if own:
            options["url"] = f"http://127.0.0.1:{port}/own"
        if waiting:
            name += f", {total:,} waiting"
            options |= {"withheld": True, "prefix": WITHHELD}
        return http_row(name, path, gateway, upstream, port, **options)
