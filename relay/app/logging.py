"""Writes each log event as one line of text or JSON, with phone numbers masked.

Every event of the relay is logged with a format that begins with its name: `carrier_bound: {carrier} is bound`. The
name is stable, because operators search for it and alert on it; docs/logging.md lists all names. A JSON line has the
fields that its format names. Events of libraries have the name `library`, and are logged only from warnings upwards,
because Twisted reports every connection.

A field may hold what customers and carriers send (a system_id, an error text). So control characters are escaped, and
nobody can forge a line. Phone numbers may be only in the fields of `NUMBER_FIELDS`, and their last two digits are
masked there unless the configuration says `log_numbers: true`.
"""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from string import Formatter
from typing import Any, Final, TextIO

import msgspec
from twisted.application.service import MultiService
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from relay.config.daemon_config import Logs
from relay.values.masking import masked

#: The fields that may hold phone numbers. No other field may ever hold one.
NUMBER_FIELDS: Final = frozenset({"to", "sender", "number"})
#: Fields that no event may have, because they would hold a message's text or a secret.
FORBIDDEN_FIELDS: Final = frozenset({"text", "short_message", "body", "message", "pdu", "raw", "password", "api_key"})

_NAME = re.compile(r"([a-z][a-z0-9]*(?:_[a-z0-9]+)+): ")
# Surrogates are among them. They stand for a peer's octets that aren't UTF-8, and would be written as these octets.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: How many characters of a field are written. Otherwise a peer could make our lines as long as it likes.
_LONGEST_VALUE: Final = 500
_ROTATE_BYTES: Final = 100_000_000
_ROTATED_FILES: Final = 10


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as one line.

    :param write: gets each line with its newline.
    """

    def __init__(self, write: Callable[[str], object], logs: Logs) -> None:
        self._write = write
        self._json = logs.format == "json"
        self._log_numbers = logs.log_numbers

    def reconfigure(self, logs: Logs) -> None:
        """Uses a new configuration, from the next event on."""
        self._json = logs.format == "json"
        self._log_numbers = logs.log_numbers

    def __call__(self, event: LogEvent) -> None:
        if _is_chatter(event):
            return
        try:
            line = self._line(event)
        except Exception as problem:
            # Logging must never fail. If an event can't be written, the log has a line that says so.
            line = f"log_line_failed: {event.get('log_namespace', '')}: {type(problem).__name__}\n"
        self._write(line)

    def _line(self, event: LogEvent) -> str:
        if not self._json and event.get("log_namespace") == "stdout":
            # The demonstration prints lines that people paste. They must not be changed.
            return f"{event.get('log_io', '')}\n"
        template = event.get("log_format") or ""
        found = _NAME.match(template)
        fields = {name: self._value(name, event[name]) for name in _names_in(template) if name in event}
        at = datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds")
        level: LogLevel = event.get("log_level", LogLevel.info)
        if found is None:
            name, text = "library", _clean(formatEvent(event))
            fields = {}
        else:
            name, text = found[1], _clean(template[found.end() :].format_map(_Lenient(fields)))
        failure = event.get("log_failure")
        if self._json:
            values = {"at": at, "level": level.name, "event": name, "text": text} | fields
            if isinstance(failure, Failure):
                values["traceback"] = failure.getTraceback(elideFrameworkCode=True)
            if found is None:
                values["from"] = event.get("log_namespace", "")
            return msgspec.json.encode(values).decode() + "\n"
        line = f"{at} {level.name} {name}: {text}"
        if isinstance(failure, Failure):
            lines = failure.getTraceback(elideFrameworkCode=True).splitlines()
            line += " | " + " | ".join(_clean(part.strip()) for part in lines)
        return line + "\n"

    def _value(self, name: str, value: Any) -> Any:
        if name in NUMBER_FIELDS and not self._log_numbers:
            return masked(_text(value))
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_text(item) for item in value]
        return _text(value)


class _Lenient(dict[str, Any]):
    """The fields for a format. A missing field is written as its name."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _is_chatter(event: LogEvent) -> bool:
    level = event.get("log_level", LogLevel.info)
    if level is not LogLevel.info and level is not LogLevel.debug:
        return False
    return _NAME.match(event.get("log_format") or "") is None and event.get("log_namespace") != "stdout"


def _names_in(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return _clean(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "...")


def _clean(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class LoggedService(MultiService):
    """Makes twistd log through `observer`. The services below it do the work.

    twistd asks its application for an observer before it makes one of its own. So this service sets the observer when
    it is added to the application. With another parent (`twist`, a test) it does nothing.
    """

    def __init__(self, observer: LineObserver) -> None:
        super().__init__()
        self.observer = observer

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.observer)


def observer(logs: Logs, file_name: str | None = None, stream: TextIO | None = None) -> LineObserver:
    """Makes the observer for a configuration.

    :param file_name: the file for the lines. It is rotated at 100 MB, and ten old files are kept. None or "-": the
        lines go to `stream`.
    :param stream: None: standard output, which the service manager or the container reads.
    """
    if file_name and file_name != "-":
        file = LogFile.fromFullPath(file_name, rotateLength=_ROTATE_BYTES, maxRotatedFiles=_ROTATED_FILES)

        def write_to_file(line: str) -> None:
            file.write(line)
            file.flush()

        return LineObserver(write_to_file, logs)
    # sys.stdout is read now. When logging begins, Twisted replaces it by an object that logs.
    out = stream or sys.stdout

    def write(line: str) -> None:
        out.write(line)
        out.flush()

    return LineObserver(write, logs)
