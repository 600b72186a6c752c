"""`python -m relay simulate`: runs a simulated carrier as a process of its own, over SMPP or with an HTTP API.

The options are the keys of `carriers.NAME.simulator` in the configuration file, with dashes for underscores.
"""

import argparse
import random
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory

from relay.cli.command_parser import CommandParser, command_parser
from relay.config.carrier_config import Simulator
from relay.simulator.simulated_api import ReceiptPoster, SimulatedApi, api_site, check_api_settings
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.simulator.vendor_apis import VENDORS, Telnyx


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "simulate",
        "A carrier for tests: accepts every login and every number, and sends delivery receipts. It speaks SMPP, or "
        "the HTTP API of a known carrier.",
        _EPILOG,
    )
    parser.add_argument("--api", choices=VENDORS, help="speak the HTTP API of this carrier (kind: api) instead of SMPP")
    parser.set_defaults(listen="tcp:2776:interface=127.0.0.1")
    for field in msgspec.structs.fields(Simulator):
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        if field.name == "listen":
            default = "tcp:2776:interface=127.0.0.1"
        options: dict[str, Any] = {"help": _help(field.type, default)}
        if _plain(field.type) is bool:
            options["action"] = "store_true"
        elif choices := _choices(field.type):
            options |= {"choices": choices, "default": default}
        elif field.name == "states":
            options |= {"type": _shares, "default": default, "metavar": "STATE=SHARE,..."}
        elif field.name == "tlvs":
            options |= {"type": lambda text: text.split(","), "default": default, "metavar": "TAG,..."}
        else:
            options |= {"default": default, "metavar": field.name.rpartition("_")[2].upper()}
        parser.add_argument(f"--{field.name.replace('_', '-')}", dest=field.name, **options)
    return parser


class Simulated(NamedTuple):
    """What the command line asks for.

    :ivar api: the preset of the HTTP API; None: it speaks SMPP.
    """

    settings: Simulator
    api: str | None


def parse_arguments(arguments: Sequence[str]) -> Simulated:
    """Reads the command line.

    If a value is wrong, exits with status 2 and a line on standard error, as argparse does.
    """
    parser = make_parser()
    values = vars(parser.parse_args(arguments))
    api: str | None = values.pop("api")
    try:
        settings = msgspec.convert(values, Simulator, strict=False)
        # It is made only because it checks the states. If one is wrong, the command must end before it listens.
        if api is None:
            SimulatedCarrier(settings, task.Clock(), random.Random(settings.seed))
        else:
            check_api_settings(api, settings)
    except msgspec.ValidationError as error:
        # Turns "Expected `float` <= 1.0 - at `$.throttle_share`" into words of the command line.
        what, _, where = str(error).partition(" - at `$.")
        parser.error(f"--{where.rstrip('`').replace('_', '-')}: {what.replace('`', '')}")
    except ValueError as error:
        parser.error(f"--{error}")
    return Simulated(settings, api)


_EPILOG = """\
examples:
  python -m relay simulate --receipt-delay-seconds 3 --states DELIVRD=0.9,UNDELIV=0.1
  python -m relay simulate --response-id hex --receipt-id decimal
  python -m relay simulate --api twilio --listen tcp:8090:interface=127.0.0.1 --states DELIVRD=0.9,UNDELIV=0.1

It runs until Ctrl-C or SIGTERM, and then prints a line of counts. docs/simulator.md says more.

exit status:
  0  stopped
  1  it can't listen: the reason is on standard error
  2  wrong use of the command line
"""


def main(arguments: Sequence[str]) -> None:
    """Listens and simulates until SIGINT or SIGTERM.

    Prints `listening on HOST:PORT` when it listens, and a line of counts at the end. Raises SystemExit at the end, with
    1 if it could not listen.
    """
    task.react(_simulate, (parse_arguments(arguments),))


async def _run(reactor: Any, simulated: Simulated) -> None:
    settings, randomness = simulated.settings, random.Random(simulated.settings.seed)
    carrier: SimulatedCarrier | SimulatedApi
    if simulated.api is None:
        carrier = SimulatedCarrier(settings, reactor, randomness)
        factory: IProtocolFactory = carrier.factory
    else:
        carrier = SimulatedApi(simulated.api, settings, reactor, randomness, ReceiptPoster(reactor).post)
        factory = api_site(carrier)
    try:
        port = await serverFromString(reactor, settings.listen).listen(factory)
    except Exception as error:
        raise SystemExit(f"--listen {settings.listen}: {error}") from None

    def stopping() -> "Deferred[None] | None":
        print(carrier.counters, flush=True)
        stopped = carrier.stop()
        return None if stopped is None else Deferred.fromCoroutine(stopped)

    reactor.addSystemEventTrigger("before", "shutdown", stopping)
    # This is printed only when the reactor runs and handles signals, because the reader may send a signal at once.
    running: Deferred[None] = Deferred()
    reactor.callWhenRunning(running.callback, None)
    await running
    if isinstance(carrier, SimulatedApi) and isinstance(carrier.vendor, Telnyx):
        print(f"signing_secret: {carrier.vendor.public_key}", flush=True)
    address = port.getHost()
    print(f"listening on {address.host}:{address.port}", flush=True)
    await Deferred()


def _simulate(reactor: Any, simulated: Simulated) -> Deferred[None]:
    return Deferred.fromCoroutine(_run(reactor, simulated))


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> list[str]:
    kind = _plain(kind)
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if get_origin(kind) is Union:
        return [choice for part in get_args(kind) for choice in _choices(part)]
    return []


def _help(kind: Any, default: object) -> str:
    notes = [note.description for note in getattr(kind, "__metadata__", ()) if isinstance(note, msgspec.Meta)]
    text = " ".join(note for note in notes if note)
    if isinstance(default, dict):
        default = ",".join(f"{name}={share}" for name, share in default.items())
    return (text if default is False else f"{text} [{default}]").replace("%", "%%")


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for item in text.split(","):
        name, separator, share = item.partition("=")
        try:
            shares[name.strip()] = float(share) if separator else 1.0
        except ValueError:
            raise argparse.ArgumentTypeError(f"{item!r}: expected STATE=SHARE, such as DELIVRD=0.9") from None
    return shares
