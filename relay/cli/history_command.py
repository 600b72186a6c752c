"""`python -m relay history erase`: takes a phone number out of the history and the message records."""

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from relay.app.config_file import read_config
from relay.app.load_config import ConfigError
from relay.cli.command_parser import CommandParser, command_parser
from relay.config.model import Config
from relay.history.erasure import Erased, erase_in_history, erase_in_records, journal_payloads, left_in_journal
from relay.history.history_numbers import number_keeper
from relay.history.history_source import HistorySource
from relay.history.sqlite_history import SqliteHistory
from relay.store.journal.journal_format import JournalError

_EPILOG = """\
examples:
  python -m relay history erase --config /etc/relay/relay.yaml --number 447700900123

Run it as the relay's user; the relay may be running. The number, and the reference of its messages, are emptied in the
history and in the files of message records. The messages stay, with their ids and states. What the journal still holds
goes with compaction; the command says until when. Copies that others have (backups, logs with log_numbers, exports) are
not touched.

exit status:
  0  erased, or there was nothing to erase
  1  the configuration is wrong, or a file can't be changed: the reason is on standard error
  2  wrong use of the command line
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "history",
        "Takes a phone number out of what the relay keeps of ended messages.",
        _EPILOG,
    )
    parser.add_argument("what", choices=["erase"], help="erase: empty a number wherever it is kept")
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration file")
    parser.add_argument("--number", required=True, metavar="NUMBER", help="the number, with its country code")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Does what the arguments say with the history."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    number = options.number.strip().lstrip("+")
    if not number:
        parser.error("--number: expected a number with its country code, such as 447700900123")
    try:
        config = read_config(options.config)
        erased = _erase(config, number)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    except JournalError as problem:
        print(problem.operator_message, file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as problem:
        print(f"{getattr(problem, 'filename', None) or config.data_dir}: {problem}", file=sys.stderr)
        return 1
    _report(config, erased)
    return 0


def _erase(config: Config, number: str) -> Erased:
    erased = Erased()
    numbers = config.history.numbers
    keep = number_keeper(numbers, os.path.join(config.data_dir, "history.key"))
    # The journal first: what the relay carries from there into the history after this is said.
    waits_hours = max([carrier.receipt_hours for carrier in config.carriers.values()], default=0.0)
    hours = waits_hours + config.limits.finished_hours + config.journal.text_hours
    source, payloads = _places(config)
    left_in_journal(payloads, number, hours * 3600.0, erased)
    erase_in_history(source, number, numbers, keep, erased)
    erase_in_records(config.logs.message_records, number, erased)
    return erased


def _places(config: Config) -> tuple[HistorySource, Iterator[bytes]]:
    """Where the history is, and what the journal's frames hold."""
    if not config.cluster.database:
        source = SqliteHistory(os.path.join(config.data_dir, "history.sqlite3"))
        return source, journal_payloads(config.data_dir)
    # Only a cluster needs psycopg.
    from relay.cluster.cluster_database import connection_arguments
    from relay.history.postgresql_history import PostgresqlHistory, log_payloads

    arguments = connection_arguments(config.cluster, "history erase")
    return PostgresqlHistory(arguments), log_payloads(arguments)


def _report(config: Config, erased: Erased) -> None:
    print(f"history: emptied in {erased.rows} messages")
    if config.history.numbers == "masked":
        print("history: numbers are kept without their last two digits there, which names nobody; those stay")
    if erased.left_in_log:
        print("history: somebody reads all the time, so the database still holds old pages; run this again")
    print(f"message records: emptied in {erased.lines} lines")
    for file in erased.not_read:
        print(f"message records: {file} is compressed in a way that this command can't read; erase the number there")
    if erased.in_journal:
        until = datetime.fromtimestamp(erased.journal_until, UTC)
        print(
            f"journal: still holds the number in {erased.in_journal} messages; they are gone by {until:%Y-%m-%d %H:%M} "
            "UTC at the latest. A history that is begun anew before then reads them again: erase again then"
        )
    else:
        print("journal: does not hold the number")
