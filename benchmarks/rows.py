"""The rows of the table: each one starts its own processes, measures, and leaves nothing behind."""

import time
from collections.abc import Callable

from benchmarks import gateways
from benchmarks.bench import Bench
from benchmarks.chain import Row, carrier, http_row, metered_smpp_row, smpp_row
from benchmarks.cluster_log import cluster_log
from benchmarks.history_cost import HistoryMeter
from benchmarks.https import https
from benchmarks.own_urls import own_urls
from benchmarks.processes import free_ports
from benchmarks.take_over import take_over
from benchmarks.waiting import waiting


def floor(bench: Bench) -> list[Row]:
    """The bare pass-through, for comparison."""
    total = bench.count(200_000)
    with (
        bench.place("floor") as path,
        carrier(path, instants=total) as upstream,
        gateways.floor(path, upstream.port) as gateway,
    ):
        return [smpp_row("floor: SMPP in and out, nothing stored", path, gateway, upstream, total=total)]


def smpp(bench: Bench) -> list[Row]:
    """Messages in and out over SMPP, receipts back over SMPP, as fast as they go."""
    total = bench.count(200_000)
    with bench.relay("smpp", total) as (path, gateway, upstream):
        row = smpp_row("SMPP in, SMPP out, receipt over SMPP", path, gateway, upstream, total=total)
    bench.top_rate = row.messages_per_second
    return [row]


def history(bench: Bench) -> list[Row]:
    """The SMPP row without and with a history, whose thread has written everything when the CPU time is read."""
    total, measured = bench.count(500_000), []
    for days, name in ((0.0, "SMPP without a history"), (90.0, "SMPP with a history")):
        with bench.relay("history", total, history_days=days) as (path, gateway, upstream):
            meter = HistoryMeter(gateway, path / "data", total if days else 0)
            measured.append(metered_smpp_row(name, path, gateway, upstream, meter, total=total))
    bench.say(f"with a history it costs {measured[1].cpu_us / measured[0].cpu_us:.2f} times as much")
    return measured


def http_batch(bench: Bench) -> list[Row]:
    """Arrays of 100 in over HTTP, arrays of up to 100 notifications out."""
    total = bench.count(100_000)
    (port,) = free_ports(1)
    with bench.relay("http-batch", total, webhook_port=port, webhook_batch=100) as (path, gateway, upstream):
        name = "HTTP array of 100 in, webhook array of 100 out"
        return [http_row(name, path, gateway, upstream, port, total=total, batch=100, connections=8)]


def http_single(bench: Bench) -> list[Row]:
    """One POST a message in, one POST a notification out."""
    total = bench.count(10_000)
    (port,) = free_ports(1)
    with bench.relay("http-single", total, webhook_port=port) as (path, gateway, upstream):
        name = "HTTP POST a message in, webhook POST a message out"
        return [http_row(name, path, gateway, upstream, port, total=total, batch=1, connections=16)]


def latency(bench: Bench) -> list[Row]:
    """At half of the top rate, with receipts that come a while after the responses, as they do."""
    if not bench.top_rate:
        bench.say("the top rate first")
        smpp(bench)
    rate = int(bench.top_rate / 2)
    total = max(200, int(rate * 10 * min(1.0, bench.scale)))
    with bench.relay("latency", total, {"delay_ms": 100}) as (path, gateway, upstream):
        name = f"SMPP at {rate:,}/s, half of the top rate"
        return [smpp_row(name, path, gateway, upstream, total=total, rate=rate)]


def little(bench: Bench) -> list[Row]:
    """400 messages a second, through the floor and through the relay."""
    rate = 400
    total = bench.count(10 * rate)
    with (
        bench.place("floor") as path,
        carrier(path, instants=total, delay_ms=100) as upstream,
        gateways.floor(path, upstream.port) as gateway,
    ):
        rows = [smpp_row("floor at 400/s", path, gateway, upstream, total=total, rate=rate)]
    with bench.relay("little", total, {"delay_ms": 100}) as (path, gateway, upstream):
        return [*rows, smpp_row("SMPP at 400/s", path, gateway, upstream, total=total, rate=rate)]


def growth_binds(bench: Bench) -> list[Row]:
    """10, 100 and 1,000 customers, each with one bind and a window of 10."""
    total, rows = bench.count(50_000), []
    for customers in (10, 100, 1000):
        bench.say(f"{customers:,} customers")
        with bench.relay("binds", total, accounts=customers, binds_an_account=1) as (path, gateway, upstream):
            options = {"connections": customers, "accounts": customers, "window": 10}
            rows.append(smpp_row(f"{customers:,} customers' binds", path, gateway, upstream, total=total, **options))
    return rows


def growth_carriers(bench: Bench) -> list[Row]:
    """1 to 50 carriers, told apart by prefix; always 50 connections, each of which sends to one carrier."""
    total, rows = bench.count(50_000), []
    for carriers in (1, 5, 20, 50):
        bench.say(f"{carriers} carriers")
        with bench.relay("carriers", total, carriers=carriers, carrier_binds=1) as (path, gateway, upstream):
            options = {"connections": 50, "window": 20, "prefixes": ",".join(gateways.prefixes(carriers))}
            rows.append(smpp_row(f"{carriers} carriers", path, gateway, upstream, total=total, **options))
    return rows


def measured(bench: Bench, name: str) -> list[Row]:
    """Runs one row and says what came out.

    :raises MeasurementFailed: a process of it didn't do what it must.
    """
    begun_at = time.monotonic()
    bench.say(f"{name} ...")
    found = ROWS[name](bench)
    for row in found:
        bench.say(f"{row.name}: {row.cpu_us} us a message, {row.messages_per_second:,.0f}/s, {row.lost} lost")
    bench.say(f"{name} took {time.monotonic() - begun_at:.0f} s")
    return found


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "floor": floor,
    "smpp": smpp,
    "history": history,
    "http-batch": http_batch,
    "http-single": http_single,
    "https": https,
    "own-urls": own_urls,
    "latency": latency,
    "little": little,
    "binds": growth_binds,
    "carriers": growth_carriers,
    "waiting": waiting,
    "cluster-log": cluster_log,
    "take-over": take_over,
}
