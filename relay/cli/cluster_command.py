"""`python -m relay cluster`: makes the tables of a cluster, shows its state, and moves a journal in and out."""

import sys
from collections.abc import Sequence

from relay.app.cluster_checks import driver_problems
from relay.app.config_file import load_file
from relay.app.load_config import ConfigError
from relay.cli.command_parser import CommandParser, command_parser

_EPILOG = """\
examples:
  python -m relay cluster init --config /etc/relay/relay.yaml
  python -m relay cluster status --config /etc/relay/relay.yaml
  python -m relay cluster status --config /etc/relay/relay.yaml --json | jq '.nodes[] | select(.owner)'
  python -m relay cluster accept-file --config /etc/relay/relay.yaml
  python -m relay cluster import --config /etc/relay/relay.yaml
  python -m relay cluster export --config /etc/relay/relay.yaml --to /var/backups/relay
  python -m relay cluster put-back --config /etc/relay/relay.yaml
  python -m relay cluster accept-loss --config /etc/relay/relay.yaml

All read the database from the file. docs/cluster.md says how a cluster is set up.

exit status:
  0  all is well
  1  something is wrong: the reason is on standard error
  2  wrong use of the command line
  3  the database doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "cluster", "Makes the tables of a cluster, shows its state, and moves a journal in and out.", _EPILOG
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in (
        ("init", "make the tables in the database; a second time changes nothing"),
        ("status", "show the nodes, the owner, and whether a standby is synchronous"),
        ("accept-file", "make this node's configuration file the latest, although another node has a later one"),
        ("import", "bring the journal in data_dir into the database, whose log must be empty; stop the relay before"),
        ("export", "write the log as a journal, with which a relay without a cluster can start"),
        ("put-back", "put rows that the database has lost back from this node's copy; no node may work meanwhile"),
        ("accept-loss", "let this node work although the database lacks rows that this node knows"),
    ):
        action = actions.add_parser(name, help=summary, description=summary.capitalize() + ".")
        action.add_argument("--config", required=True, metavar="FILE", help="the configuration file")
        if name == "status":
            action.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "export":
            action.add_argument("--to", required=True, metavar="DIR", help="the new data_dir")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Runs the action that the arguments name."""
    options = make_parser().parse_args(arguments)
    try:
        loaded = load_file(options.config, [driver_problems])
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    config = loaded.config
    if not config.cluster.database:
        print(f"{options.config}: cluster.database is missing, so there is no cluster", file=sys.stderr)
        return 1
    # Imported here, because it needs the database's driver, and `load_file` has said so if that is missing.
    from relay.cli.cluster_actions import run

    if options.action in ("import", "export"):
        from relay.cli.log_moves import move

        return move(config, getattr(options, "to", None))
    if options.action in ("put-back", "accept-loss"):
        from relay.cli.log_losses import run as run_on_losses

        return run_on_losses(options.action, config)
    return run(options.action, config, loaded.places.compared(config), as_json=getattr(options, "json", False))
