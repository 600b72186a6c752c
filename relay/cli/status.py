"""`python -m relay status`: shows the state of a running relay, as a table in the terminal."""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from relay.cli.admin_client import NO_ANSWER, NoAnswer, Refused, add_arguments, ask
from relay.cli.command_parser import CommandParser, Paint, command_parser
from relay.cli.text_table import age, table

_EPILOG = """\
examples:
  python -m relay status
  python -m relay status --watch 2
  python -m relay status --json | jq -r '.carriers[] | select(.up | not) | .name'

exit status:
  0  the relay is ready
  1  it answers but isn't ready; the table says why
  2  wrong use of the command line
  3  it doesn't answer
"""
#: The colours of the states of carriers.
_STATES: Final = {"up": "good", "down": "bad", "held": "some", "draining": "some"}
_CLEAR = "\x1b[H\x1b[2J"


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "status",
        "Shows the state of a running relay, from its admin listener.",
        _EPILOG,
    )
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the admin listener's answer, as one JSON object")
    parser.add_argument(
        "--watch", type=_seconds, metavar="SECONDS", help="show it again every so many seconds, until Ctrl-C"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Shows the relay's state once, or again and again."""
    options = make_parser().parse_args(arguments)
    while True:
        try:
            look = ask(options, "/status")
        except (NoAnswer, Refused) as problem:
            print(problem, file=sys.stderr)
            if not options.watch:
                return NO_ANSWER
        else:
            text = json.dumps(look) if options.json else report(look, Paint(sys.stdout))
            print((_CLEAR if options.watch and sys.stdout.isatty() else "") + text, flush=True)
            if not options.watch:
                return 0 if look["readiness"]["ready"] else 1
        time.sleep(options.watch)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400.0:
        raise argparse.ArgumentTypeError(f"expected seconds, from 0.1 to 86400, got {text!r}")
    return seconds


def _scheduled(store: Any) -> str:
    """How many messages wait for their time; nothing if none does."""
    count = store.get("scheduled", 0)
    return f"{count} scheduled for later, " if count else ""


def report(look: Any, paint: Paint) -> str:
    """The state as text."""
    store = look["store"]
    cluster = look.get("cluster")
    standing_by = cluster is not None and not cluster["epoch"]
    ready = paint("ready", "good") if look["readiness"]["ready"] else paint("NOT READY", "bad")
    if standing_by:
        ready = paint("stands by", "good")
    lines = [
        f"relay {look['version']}, {ready}, up {age(look['uptime_seconds'])}",
        f"messages: {_scheduled(store)}{store['unsubmitted']} to send, "
        f"{store['awaiting_receipt']} await their receipt, "
        f"{store['owed']} notifications owed; journal {store['journal_bytes'] / 1e6:.1f} MB in "
        f"{store['journal_segments']} segments",
        "",
    ]
    if cluster is not None:
        lines[2:2] = _cluster(cluster)
    lines += [paint(f"  ! {trouble}", "bad") for trouble in look["troubles"]]
    if not look["troubles"]:
        lines.append(paint("  nothing is wrong", "good"))
    lines += [
        f"  {c['name']} was removed and drains: {c['queued']} parts to send, {_out(c)} receipts outstanding; "
        f"unbound in {math.ceil(c['drain_seconds'] / 3600)} h at the latest"
        for c in look["carriers"]
        if c["draining"]
    ]
    carriers = table(_carriers(look["carriers"]), paint, _STATES)
    lines += ["", *carriers, "", *table(_accounts(look["accounts"]), paint)]
    quality = look.get("quality")
    if quality is not None and quality["rows"]:
        lines += ["", *table(_quality(quality["rows"]), paint)]
    return "\n".join(lines)


def _quality(rows: Iterable[Any]) -> list[list[str]]:
    """What each carrier delivered in the last hour, and in the week before."""
    shown = [["carrier", "ended 1 h", "delivered", "median", "95 %", "ended 7 d", "delivered", "median", "95 %"]]
    for row in rows:
        shown.append([row["carrier"], *_span(row["recent"]), *_span(row["week"])])
    return shown


def _span(span: Any) -> list[str]:
    share = span["delivered_share"]
    delivered = "-" if share is None else f"{100 * share:.1f} %"
    return [str(span["ended"]), delivered, _took(span["median_seconds"]), _took(span["p95_seconds"])]


def _took(seconds: float) -> str:
    """A time that is the upper bound of a class."""
    return "-" if not seconds else "> 4h" if seconds < 0 else f"<= {age(seconds)}"


def _cluster(cluster: Any) -> list[str]:
    """Who works, and who could take over."""
    place = f"works under epoch {cluster['epoch']}" if cluster["works"] else cluster["reason"]
    lines = [f"cluster: this is {cluster['node']}: {place}"]
    look = cluster["look"]
    if look is not None:
        owner, owned_seconds = look["shards"][0]["owner"], look["shards"][0]["owned_seconds"]
        lines[0] += f"; {owner} has worked for {age(owned_seconds)}" if owner else "; nobody works"
        nodes = [_node(node) for node in look["nodes"]]
        standbys = [f"{name} ({kind or state or 'hidden'})" for name, state, kind, _ in look["server"]["standbys"]]
        lines.append(f"nodes: {', '.join(nodes)}; database standbys: {', '.join(standbys) or 'none'}")
    return lines


def _node(node: Any) -> str:
    place = "works" if node["owner"] else f"{node['behind']} rows behind"
    older = ", OLDER FILE" if node["older_file"] else ""
    return f"{node['name']} ({place}, seen {age(node['seen_seconds'])} ago{older})"


def _carriers(carriers: Iterable[Any]) -> list[list[str]]:
    rows = [["carrier", "state", "binds", "rate/s", "window", "queue", "taken", "refused", "throttled", "in doubt"]]
    for c in carriers:
        state = "draining" if c["draining"] else "held" if c["held"] else "up" if c["up"] else "down"
        rows.append(
            [c["name"], state, f"{c['bound']}/{c['wanted']}", f"{c['rate']:.1f}", f"{c['in_flight']}/{c['window']}"]
            + [str(c[name]) for name in ("queued", "taken", "refused", "throttled", "in_doubt")]
        )
    return rows


def _accounts(accounts: Sequence[Any]) -> list[list[str]]:
    # Balances and quotas have columns only if an account has any.
    used = [a["use"] for a in accounts if a.get("use") is not None]
    has_balance = any(use["balance"] is not None for use in used)
    has_quota = any(use["messages_left"] is not None for use in used)
    more = (["balance"] if has_balance else []) + (["quota left"] if has_quota else [])
    rows = [
        ["account", "binds", "rate/s", "accepted", "refused", "told", "retries", "given up", *more, "notification URL"]
    ]
    for a in accounts:
        url = a["url"] or "-"
        if a["url_off"]:
            url += " (off)"
        elif a["url_failures"]:
            url += f" (failed {a['url_failures']} times)"
        numbers = (a["accepted"], sum(a["refused"].values()), a["delivered"], a["retries"], a["given_up"])
        use = a.get("use") or {}
        more = [f"{use['balance']} {use['currency']}" if use.get("balance") else "-"] if has_balance else []
        more += [str(use["messages_left"]) if use.get("messages_left") is not None else "-"] if has_quota else []
        rows.append([a["name"], str(a["binds"]), f"{a['rate']:.1f}", *map(str, numbers), *more, url])
    return rows


def _out(carrier: Any) -> str:
    return "uncounted" if carrier["receipts_out"] < 0 else str(carrier["receipts_out"])
