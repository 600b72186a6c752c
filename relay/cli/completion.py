"""`python -m relay completion`: prints a script with which a shell completes the relay's commands and options.

Theory of operation: the script is short and never changes. At each press of the Tab key it runs `relay completion
--words ...` with the words of the line. That command reads the parsers of the commands, so it always knows the options
of the installed version.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from relay.cli.command_parser import CommandParser, command_parser
from relay.cli.main import COMMANDS, command_of

_EPILOG: Final = """\
examples:
  eval "$(relay completion bash)"                                   # in ~/.bashrc
  eval "$(relay completion zsh)"                                    # in ~/.zshrc, after compinit
  relay completion fish > ~/.config/fish/completions/relay.fish

It completes the installed command `relay`, and needs it in the PATH.

exit status:
  0  all is well
  2  wrong use of the command line
"""

#: Where the relay names no word, the shell completes names of files.
_SCRIPTS: Final = {
    "bash": """\
_relay() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(relay completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _relay relay
""",
    "zsh": """\
_relay() {
    local -a found
    found=(${(f)"$(relay completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -- $found; else _files; fi
}
compdef _relay relay
""",
    "fish": """\
function __relay_words
    set -l words (commandline --tokenize --cut-at-cursor)
    relay completion --words $words[2..-1] (commandline --current-token --cut-at-cursor) 2>/dev/null
end
complete --command relay --arguments '(__relay_words)'
""",
}


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "completion",
        "Prints a script with which a shell completes the commands and options of `relay`.",
        _EPILOG,
    )
    parser.add_argument("shell", choices=sorted(_SCRIPTS), help="--words WORD ... instead: used by the scripts")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Prints the script, or the words that may stand at the end of a line."""
    if arguments[:1] == ["--words"]:
        # argparse would read options among the words as our own.
        for word in candidates(arguments[1:] or [""]):
            print(word)
    else:
        print(_SCRIPTS[make_parser().parse_args(arguments).shell], end="")
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """Returns the words that may stand for the last one: commands, options, or an option's values.

    :param words: those after `relay`; the last one may be empty.
    :return: empty where only the name of a file, or a free text, may stand.
    """
    *before, last = words
    if not before:
        return [name for name in COMMANDS if name.startswith(last)]
    if before[0] not in COMMANDS:
        return []
    parser = command_of(before[0]).make_parser()
    return [word for word in _after(parser, before[1:]) if word.startswith(last)]


def _after(parser: CommandParser, before: Sequence[str]) -> Iterable[str]:
    """The words that may follow these words of a command."""
    options = [action for action in parser.actions() if action.option_strings]
    places = [action for action in parser.actions() if not action.option_strings]
    if before:
        given = next((action for action in options if before[-1] in action.option_strings), None)
        if given is not None and given.nargs != 0:
            return map(str, given.choices or ())
    for place in places:
        # A command of a command has a parser of its own.
        if isinstance(place.choices, dict):
            index = next((number for number, word in enumerate(before) if word in place.choices), None)
            if index is not None:
                return _after(place.choices[before[index]], before[index + 1 :])
    values = [str(choice) for place in places for choice in place.choices or ()]
    if any(word in values for word in before):
        values = []
    return [*values, *(option for action in options for option in action.option_strings if option not in before)]
