"""`python -m relay send`: submits one message and waits for its notification, over HTTP or SMPP."""

import argparse
import json
import random
import re
import socket
import sys
import time
from collections.abc import Iterator, Sequence

from relay.cli.command_parser import CommandParser, command_parser
from relay.cli.customer_client import KEY_VARIABLE, NO_ANSWER, Failed, add_arguments, call, key_of
from relay.config.host_names import ascii_host
from relay.smpp.session import Role, Session, SessionLimits
from relay.text.compose import InvalidText, compose
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, BindRefused, Bound, Ended, MessagePdu
from relay.values.states import CUSTOMER_WORDS, FINAL_STATES

_FINAL = {CUSTOMER_WORDS[state].status for state in FINAL_STATES}
_RECEIPT = re.compile(rb"id:(\S+).* stat:(\S+) err:(\S+)")
_EPILOG = f"""\
examples:
  {KEY_VARIABLE}=demo-key python -m relay send --account demo --to 447700900123 --from RELAY --text Hello
  python -m relay send --smpp 127.0.0.1:2775 --account demo --key-file key --to 447700900123 --from RELAY --text Hello

The key is the account's API key (HTTP) or SMPP password (--smpp; --account is then the system_id). It comes from
--key-file or ${KEY_VARIABLE}, because everybody on the machine can read a command line.

exit status:
  0  delivered
  1  not delivered, or refused: the reason is on standard error
  2  wrong use of the command line
  3  nobody answered, or the message has not ended within --wait; it may still be under way
"""


class Seen:
    """One step of the message: its status, its id and its error."""

    def __init__(self, status: str, message_id: str = "", error: str = "") -> None:
        self.status = status
        self.message_id = message_id
        self.error = error


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "send",
        "Submits one message to a relay and waits for its notification.",
        _EPILOG,
    )
    parser.add_argument("--to", required=True, metavar="NUMBER")
    parser.add_argument("--from", required=True, metavar="SENDER", dest="sender")
    parser.add_argument("--text", required=True)
    add_arguments(parser)
    parser.add_argument("--smpp", metavar="HOST:PORT", help="submit over SMPP instead")
    parser.add_argument("--wait", type=float, metavar="SECONDS", default=60.0, help="how long (default %(default)g)")
    parser.add_argument("--json", action="store_true", help="print one JSON object: id, status, error, seconds")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Sends a message, shows its progress in one line, and prints how it ended."""
    options = make_parser().parse_args(arguments)
    begun_at = time.monotonic()
    last = Seen("not sent")
    line = _Line()
    try:
        key = key_of(options)
        steps = _over_smpp(options, key) if options.smpp else _over_http(options, key)
        for last in steps:
            line.show(f"{last.message_id} {last.status} {time.monotonic() - begun_at:.1f} s")
            if last.status in _FINAL:
                break
            if time.monotonic() - begun_at > options.wait:
                raise Failed(f"the message has not ended within {options.wait:g} s; it is still under way", NO_ANSWER)
    except Failed as problem:
        line.end()
        print(problem, file=sys.stderr)
        if options.json:
            print(json.dumps({"id": last.message_id, "status": last.status, "error": str(problem), "seconds": None}))
        return problem.status
    line.end()
    seconds = round(time.monotonic() - begun_at, 3)
    if options.json:
        result = {"id": last.message_id, "status": last.status, "error": last.error, "seconds": seconds}
        print(json.dumps(result))
    else:
        print(f"{last.message_id} {last.status}, error {last.error}, after {seconds:.1f} s")
    return 0 if last.status == "DELIVRD" else 1


# HTTP


def _over_http(options: argparse.Namespace, key: str) -> Iterator[Seen]:
    body = {"to": options.to, "from": options.sender, "text": options.text}
    message_id = str(call(options, key, "/messages", body)["id"])
    yield Seen("accepted", message_id)
    while True:
        report = call(options, key, f"/messages/{message_id}")
        yield Seen(str(report["status"]), message_id, str(report["error"]))
        time.sleep(0.2)


# SMPP


def _over_smpp(options: argparse.Namespace, key: str) -> Iterator[Seen]:
    host, _, port = options.smpp.rpartition(":")
    if not host or not port.isdecimal():
        raise Failed(f"--smpp {options.smpp}: expected HOST:PORT such as 127.0.0.1:2775", 2)
    try:
        bodies = compose(options.sender, options.to, options.text, reference=random.randrange(256))[1]
    except InvalidText as problem:
        raise Failed(f"--{problem.field}: {problem.reason}", 2) from None
    try:
        connection = socket.create_connection((ascii_host(host.strip("[]")), int(port)), timeout=10)
    except (OSError, ValueError, OverflowError) as problem:
        raise Failed(f"{options.smpp}: no connection: {problem}", NO_ANSWER) from None
    with connection:
        yield from _Esme(connection, options.account, key).send(bodies, options.wait)


class _Esme:
    """A customer's SMPP session on a blocking socket."""

    def __init__(self, connection: socket.socket, system_id: str, password: str) -> None:
        self._connection = connection
        self._session = Session(Role.CLIENT, SessionLimits(), time.monotonic())
        self._session.bind(c.BIND_TRANSCEIVER, system_id, password, now=time.monotonic())
        self._bound = False

    def send(self, bodies: Sequence[bytes], wait_seconds: float) -> Iterator[Seen]:
        session = self._session
        until = time.monotonic() + wait_seconds
        ids: list[str] = []
        ended: dict[str, Seen] = {}
        while True:
            for event in self._events(until):
                if isinstance(event, BindRefused):
                    raise Failed(f"the bind was refused: {c.status_name(event.command_status)}")
                if isinstance(event, Bound):
                    self._bound = True
                    session.request(c.SUBMIT_SM, [(body, body) for body in bodies], time.monotonic())
                elif isinstance(event, Answered):
                    if event.command_status != c.ESME_ROK:
                        raise Failed(f"the message was refused: {c.status_name(event.command_status)}")
                    ids.append(event.message_id.decode("latin-1"))
                    yield Seen("accepted", ids[0])
                elif isinstance(event, MessagePdu):
                    session.respond(c.DELIVER_SM_RESP, [(event.sequence_number, c.ESME_ROK, b"\0")])
                    found = _RECEIPT.search(event.short_message)
                    if found is not None and found[1].decode("latin-1") in ids:
                        said = Seen(found[2].decode("latin-1"), found[1].decode("latin-1"), found[3].decode("latin-1"))
                        if said.status in _FINAL:
                            ended[said.message_id] = said
                elif isinstance(event, Ended):
                    raise Failed(f"the session ended: {event.reason}", NO_ANSWER)
            if ids and len(ended) == len(bodies):
                self._leave()
                # Over SMPP each part is a message of its own. The worst result of a part is the result of the whole.
                yield next((seen for seen in ended.values() if seen.status != "DELIVRD"), ended[ids[0]])
                return

    def _events(self, until: float) -> Sequence[object]:
        output = self._session.take_output()
        if output:
            self._connection.sendall(output)
        left = until - time.monotonic()
        if left <= 0 and not self._bound:
            raise Failed("no answer to the bind, nothing was sent; is this the relay's smpp.listen?", NO_ANSWER)
        if left <= 0:
            raise Failed("the message has not ended in time; it is still under way", NO_ANSWER)
        self._connection.settimeout(left)
        try:
            data = self._connection.recv(65_536)
        except TimeoutError:
            return ()
        except OSError as problem:
            raise Failed(f"the connection ended: {problem}", NO_ANSWER) from None
        if not data:
            raise Failed("the relay closed the connection", NO_ANSWER)
        return self._session.receive(data, time.monotonic())

    def _leave(self) -> None:
        self._session.unbind(time.monotonic())
        self._connection.sendall(self._session.take_output())


class _Line:
    """Writes one line of a terminal again and again. Writes nothing if standard error isn't a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._used = False

    def show(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._used = True

    def end(self) -> None:
        if self._used:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
