"""Private parts of other libraries: they are as we expect them, and only one module uses them."""

import ast
import inspect
from configparser import ConfigParser
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from socket import socket
from textwrap import dedent

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

import relay
from relay.runtime import private_parts
from relay.runtime.private_parts import PRIVATE_PARTS

THIRD_PARTIES = {"twisted", "treq", "zope", "OpenSSL", "service_identity", "prometheus_client", "yaml", "smpp", "idna"}
#: Private names that are public by their documentation.
DOCUMENTED = {"_replace", "_exit"}


def instances() -> dict[str, object]:
    """What the listed attributes are looked for in, by owner."""
    agent = Agent(Clock())
    channel = HTTPChannel()
    channel.makeConnection(StringTransport())
    channel.setTimeout(None)
    tls = BufferingTLSTransport(
        TLSMemoryBIOFactory(optionsForClientTLS("a.example"), True, Factory(), Clock()), Protocol()
    )
    tls.makeConnection(StringTransport())
    with socket() as unconnected:
        connection = Connection(unconnected, Protocol(), reactor)
    return {
        "treq.client.HTTPClient": HTTPClient(agent),
        "twisted.internet.tcp.Connection": connection,
        "twisted.protocols.tls.BufferingTLSTransport": tls,
        "twisted.protocols.tls._AggregateSmallWrites": tls._aggregator,
        "twisted.web.client.Agent": agent,
        "twisted.web.client.HTTPConnectionPool": HTTPConnectionPool(Clock()),
        "twisted.web.http.HTTPChannel": channel,
        "twisted.web.http_headers.Headers": Headers(),
    }


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Every module of the relay but the one that may use private parts."""
    names = [module.name for module in walk_packages(relay.__path__, "relay.")]
    return [
        (name, ast.parse(inspect.getsource(import_module(name))))
        for name in names
        if name != private_parts.__name__ and not name.endswith("__main__")
    ]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def private_names(owner: type) -> set[str]:
    """The private names that third parties' classes among `owner`'s bases give to themselves."""
    bases = [base for base in owner.__mro__ if base.__module__.partition(".")[0] in THIRD_PARTIES]
    return {name for base in bases for name in names_of(base) if is_private(name)}


@cache
def names_of(base: type) -> frozenset[str]:
    """The attributes that a class gives to itself or its instances."""
    try:
        tree = ast.parse(dedent(inspect.getsource(base)))
    except (OSError, TypeError):
        return frozenset(base.__dict__)
    return frozenset(base.__dict__) | own_attributes(tree)


def own_attributes(tree: ast.AST) -> set[str]:
    """Attributes of `self`, and methods."""
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return methods | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


class PrivatePartsTests(SynchronousTestCase):
    def test_the_installed_releases_have_every_private_part_as_the_relay_expects_it(self) -> None:
        found = instances()
        problems = [problem for part in PRIVATE_PARTS if (problem := part.problem(found))]
        self.assertEqual(problems, [])

    def test_a_part_that_a_new_release_takes_away_or_changes_is_named_with_that_release(self) -> None:
        part = next(part for part in PRIVATE_PARTS if part.attribute == "_writeDisconnected")
        gone, changed = part._replace(attribute="_gone"), part._replace(shape="(else)")
        self.assertRegex(
            str(gone.problem(instances())), r"^twisted\.internet\.tcp\.Connection\._gone is gone in twisted "
        )
        self.assertRegex(
            str(changed.problem(instances())), r"_writeDisconnected has changed in twisted [0-9.]+: bool, "
        )

    def test_both_libraries_have_an_upper_bound(self) -> None:
        setup = ConfigParser()
        setup.read(Path(__file__).parents[2] / "setup.cfg")
        bounds = {
            line.split()[0].partition("[")[0]: line for line in setup["options"]["install_requires"].split("\n") if line
        }
        for name in {part.distribution for part in PRIVATE_PARTS}:
            self.assertIn("<", bounds[name], f"setup.cfg, install_requires: {bounds[name]!r} needs an upper bound")


class OnePlaceTests(SynchronousTestCase):
    def test_no_other_module_imports_private_names_of_libraries(self) -> None:
        wrong = [
            f"{name}:{node.lineno} imports from {node.module}"
            for name, tree in sources()
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").partition(".")[0] in THIRD_PARTIES
            and ("._" in str(node.module) or any(is_private(alias.name) for alias in node.names))
        ]
        self.assertEqual(wrong, [])

    def test_no_other_module_uses_a_private_attribute_of_an_object_that_is_not_its_own(self) -> None:
        wrong = [
            f"{name}:{node.lineno} uses {ast.unparse(node)}"
            for name, tree in sources()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and is_private(node.attr)
            and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "other"))
            and not ast.unparse(node.value).endswith("super()")
        ]
        self.assertEqual(wrong, [])

    def test_no_class_of_another_module_uses_a_private_attribute_of_its_third_party_bases(self) -> None:
        wrong = []
        for name, tree in sources():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    used = own_attributes(node) & private_names(getattr(import_module(name), node.name))
                    wrong += [f"{name}.{node.name} uses {attribute}" for attribute in sorted(used)]
        self.assertEqual(wrong, [])
