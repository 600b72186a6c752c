"""`python -m relay dialect`: finds a carrier's dialect from pairs of an id and a receipt.

`relay.receipts.dialect_search` does the search. This module reads the input and writes the output.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from relay.cli.command_parser import CommandParser, command_parser
from relay.receipts.dialect_search import Sample, Suggestion, sample, suggest, unknown_words, yaml
from relay.receipts.presets import PRESETS
from relay.smpp.message_codec import decode_message
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError, MessagePdu

#: With fewer pairs than this, chance may have matched them.
_FEW_PAIRS: Final = 3


class BadInput(ValueError):
    """A line of the input is not a pair; the error's text names the line and the reason."""


_EPILOG: Final = """\
exit status:
  0  every pair matches with the printed settings
  1  some pairs match with no settings
  2  wrong use of the command line, or the input has no pairs

"""


def make_parser() -> CommandParser:
    """Makes the parser of the options of `dialect` without `--orphans` or `--dismiss`."""
    parser = command_parser(
        "dialect",
        "Finds the dialect of a carrier. Standard input: one pair a line, the id from submit_sm_resp, a "
        "tab, and the text of its receipt or the whole deliver_sm in hexadecimal. Lines that begin with # are passed "
        "over. See docs/carriers.md.",
        _EPILOG,
    )
    parser.add_argument("--presets", action="store_true", help="list the dialects that are known, and read nothing")
    parser.add_argument("--orphans", action="store_true", help="ask a running relay instead; see --orphans --help")
    parser.add_argument("--dismiss", metavar="CARRIER", help="keep no more of its receipts; see --orphans --help")
    return parser


def main(arguments: Sequence[str], stdin: TextIO, stdout: TextIO) -> int:
    """Reads pairs, and writes the dialect as YAML; the operator can paste it under a carrier.

    :returns: the exit status. 0: all pairs match. 1: some pairs match with no settings. 2: the input has no pairs.
    """
    if make_parser().parse_args(arguments).presets:
        stdout.write(preset_table())
        return 0
    try:
        samples = read_samples(stdin)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    suggestions = suggest(samples)
    stdout.write(_report(samples, suggestions))
    return 0 if suggestions and suggestions[0].matched == len(samples) else 1


def read_samples(lines: Iterable[str]) -> list[Sample]:
    """Reads the pairs of an input; `main` describes their form.

    :raises BadInput: a line is not a pair, or the input has no pairs.
    """
    samples: list[Sample] = []
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip() or line.startswith("#"):
            continue
        response_id, tab, receipt = line.partition("\t")
        if not tab or not response_id.strip() or not receipt.strip():
            raise BadInput(f"line {number}: expected an id, a tab, and a receipt as text or in hexadecimal")
        samples.append(sample(response_id.strip().encode("latin-1", "replace"), _pdu(receipt, number), number))
    if not samples:
        raise BadInput("no pairs: give one a line, an id from a response, a tab, and its receipt")
    return samples


def _pdu(receipt: str, line: int) -> MessagePdu:
    try:
        octets = bytes.fromhex(receipt.strip())
    except ValueError:
        text = receipt.encode("latin-1", "replace")
        return MessagePdu(c.DELIVER_SM, 0, b"", b"", b"", c.ESM_CLASS_DELIVERY_RECEIPT, 0, 0, 0, text, 0)
    if len(octets) < 16 or int.from_bytes(octets[:4]) != len(octets):
        raise BadInput(f"line {line}: a PDU in hexadecimal begins with its length, {len(octets):08x} here")
    command_id = int.from_bytes(octets[4:8])
    if command_id not in (c.DELIVER_SM, c.DATA_SM):
        raise BadInput(f"line {line}: expected a deliver_sm or data_sm, got command_id 0x{command_id:08x}")
    try:
        return decode_message(command_id, 0, octets[16:])
    except CodecError as error:
        raise BadInput(f"line {line}: {error}") from None


def _report(samples: Sequence[Sample], suggestions: Sequence[Suggestion]) -> str:
    lines: list[str] = []
    if not suggestions:
        lines.append(f"# None of {len(samples)} pairs matches with any setting: do these receipts belong to these ids?")
    for number, suggestion in enumerate(suggestions):
        if number:
            lines.append("# or as well:")
        lines.append(f"# {suggestion.matched} of {len(samples)} pairs match with this:")
        lines.append(yaml(suggestion.dialect))
        if suggestion.presets:
            lines.append(f"# These presets have the same settings of ids: {', '.join(suggestion.presets)}")
    if suggestions and suggestions[0].missed:
        lines.append(f"# Not matched: line {', '.join(map(str, suggestions[0].missed))}")
    unread = [str(s.line) for s in samples if not s.fields.id]
    if unread:
        lines.append(f"# No id could be read: line {', '.join(unread)}")
    words = unknown_words(samples)
    if words:
        lines.append("# The meaning of these words is not known. Write it under `states`, such as `WORD: UNDELIV`:")
        lines.extend(f"#   {word} ({count} of {len(samples)})" for word, count in words.most_common())
    if len(samples) < _FEW_PAIRS:
        lines.append(f"# {len(samples)} of them may match by chance: try more pairs.")
    return "\n".join(lines) + "\n"


def preset_table() -> str:
    """Returns the known dialects as the Markdown table of docs/carriers.md."""
    rows = ["| `preset` | whose | what is special | sets | read in |", "| --- | --- | --- | --- | --- |"]
    for name, preset in PRESETS.items():
        settings = "<br>".join(f"`{line.strip()}`" for line in yaml(preset.dialect).splitlines()[1:]) or "nothing"
        rows.append(f"| `{name}` | {preset.title} | {preset.about} | {settings} | {preset.source} |")
    return "\n".join(rows) + "\n"
