"""Jasmin's configuration directory becomes a configuration that the relay accepts.

`tests/data/jasmin` was written by Jasmin 0.11.1 itself, with its own classes.
"""

import pickle
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import load
from relay.cli.import_command import yaml_text
from relay.config.model import Config
from relay.importing.imported import Imported, ImportProblem, Unsuitable
from relay.importing.jasmin_import import import_jasmin
from relay.importing.jasmin_prices import add_charges
from relay.importing.jasmin_routes import JasminUser, MtRoute
from relay.importing.number_patterns import beginnings_of, number_of, word_of

DIRECTORY = Path(__file__).resolve().parents[1] / "data" / "jasmin"


def read(name: str) -> bytes | None:
    path = DIRECTORY / name
    return path.read_bytes() if path.exists() else None


def loaded(imported: Imported) -> Config:
    """The configuration that the relay reads from an import's YAML."""
    text = yaml_text(imported, "jasmin")
    return load(text, name="relay.yaml", environ={}, read_file=lambda path: Path(path).read_text(encoding="utf-8"))


class JasminDirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.imported = import_jasmin(read)
        self.config = loaded(self.imported)

    def said(self, words: str) -> bool:
        return any(words in line for line in self.imported.left_out)

    def test_connectors_become_carriers_with_their_settings(self) -> None:
        carrier = self.config.carriers["tier1"]
        self.assertEqual(carrier.connect, "tcp:smpp.tier1.example.net:3550")
        self.assertEqual((carrier.system_id, carrier.password.reveal()), ("relay", "tier1-pw"))
        self.assertEqual((carrier.system_type, carrier.service_type, carrier.address_range), ("VMA", "CMT", "^4477"))
        self.assertEqual((carrier.rate, carrier.window, carrier.bind), (20, 10, "transceiver"))
        self.assertEqual((carrier.enquire_link_seconds, carrier.response_timeout_seconds), (15, 40))
        self.assertEqual((carrier.reconnect_min_seconds, carrier.reconnect_max_seconds), (5, 60))
        self.assertEqual(carrier.dialect.preset, "jasmin-1")
        # The numbers of SMPP, not those of Jasmin's enumerations.
        self.assertEqual((carrier.addr_ton, carrier.addr_npi), (2, 1))
        self.assertEqual((carrier.source_ton, carrier.source_npi, carrier.destination_ton), (5, 0, 2))

    def test_jasmin_s_own_defaults_are_not_written_out(self) -> None:
        written = self.imported.table("carriers", "tier2")
        self.assertEqual(list(written), ["connect", "system_id", "password", "bind", "window", "inbound",
                                         "mobile_originated"])  # fmt: skip

    def test_a_transmitter_also_receives_and_a_receiver_alone_is_left_out(self) -> None:
        self.assertEqual(self.config.carriers["tier2"].bind, "transmitter+receiver")
        self.assertTrue(self.said("connector tier2: a transmitter. The relay also binds as a receiver"))
        self.assertNotIn("mo-only", self.config.carriers)
        self.assertTrue(self.said("connector mo-only: it only receives"))

    def test_users_become_accounts_without_passwords_because_jasmin_keeps_digests(self) -> None:
        shop = self.config.accounts["shop"]
        self.assertEqual((shop.rate, shop.senders.default, shop.api_key, shop.smpp), (10, "SHOP", None, None))
        self.assertTrue(self.said("user shop: Jasmin keeps no password, only a digest of it: write api_key, and smpp: "
                                  "{system_id: shop, password: ..., max_binds: 2}"))  # fmt: skip
        self.assertNotIn("gone", self.config.accounts)

    def test_a_balance_makes_a_prepaid_account_and_the_line_says_how_to_fill_it(self) -> None:
        shop, bank = self.config.accounts["shop"], self.config.accounts["bank"]
        self.assertEqual((shop.prices, shop.prepaid), ("jasmin-rates", True))
        # It may send to these numbers only, and its route has no rate.
        self.assertEqual({"44": "0.00"}, self.config.prices["jasmin-rates"].by_prefix)
        self.assertEqual(("", False), (bank.prices, bank.prepaid))
        self.assertTrue(self.said("python -m relay balance shop --add 10.50 --key jasmin-import"))

    def test_the_listeners_of_jasmin_cfg_are_taken(self) -> None:
        self.assertEqual(self.config.http.listen, ["tcp:1501:interface=127.0.0.1"])
        self.assertEqual(self.config.smpp.listen, ["tcp:2875:interface=127.0.0.1"])
        self.assertTrue(self.config.http.jasmin)

    def test_without_jasmin_cfg_jasmin_s_ports_are_taken(self) -> None:
        config = loaded(import_jasmin(lambda name: None if name == "jasmin.cfg" else read(name)))
        self.assertEqual((config.http.listen, config.smpp.listen), (["tcp:1401"], ["tcp:2775"]))

    def test_the_route_with_the_highest_order_that_fits_decides(self) -> None:
        routes = {(route.account, route.prefix): route.carriers for route in self.config.routes}
        # Users may send to numbers that their filter allows; banks have a route of their group.
        self.assertEqual(
            routes,
            {
                ("shop", "44"): [{"tier1": 1, "tier2": 1}],
                ("bank", ""): ["tier1"],
                ("bank", "1"): [{"tier1": 1, "tier2": 1}],
                ("bank", "4"): ["tier2", "tier1"],
            },
        )
        self.assertTrue(self.said("route 40: it has a TimeIntervalFilter, which can't be converted"))

    def test_mo_routes_become_rules_and_http_connectors_become_accounts(self) -> None:
        rules = [(rule.to, rule.keyword, rule.account) for rule in self.config.carriers["tier1"].inbound]
        self.assertEqual(rules, [("12345", "", "http-crm"), ("", "STOP*", "http-stop")])
        self.assertEqual(len(self.config.carriers["tier2"].inbound), 1)
        self.assertEqual(self.config.carriers["tier2"].mobile_originated, "http-crm")
        crm, stop = self.config.accounts["http-crm"], self.config.accounts["http-stop"]
        self.assertEqual((crm.inbound_url, crm.inbound_format), ("http://crm.example.com/in", "jasmin"))
        self.assertEqual((stop.inbound_format, stop.allow_private_urls), ("jasmin-get", True))
        self.assertTrue(self.said("route 30: the messages go to SMPP user shop"))

    def test_scripts_are_named_and_not_run(self) -> None:
        self.assertTrue(self.said("store/jcli-prod.router-mtinterceptors: the relay runs no scripts of yours"))

    def test_no_line_shows_a_password(self) -> None:
        self.assertFalse(self.said("-pw"))


class ChargeTests(SynchronousTestCase):
    """Balances and counts of users, and the rates of routes."""

    ROUTES = (
        MtRoute((("tier1",),), 0.02, ["44"], user_id="1"),
        MtRoute((("tier1",),), 0.05, ["44", "4470"]),
        MtRoute((("tier2",),), 0.000001, ["1"]),
        MtRoute((("tier2",),), 0.3),
    )

    def setUp(self) -> None:
        self.imported = Imported()

    def charged(self, *users: JasminUser) -> dict[str, Any]:
        add_charges(self.ROUTES, "users", users, self.imported)
        return {name: table["by_prefix"] for name, table in self.imported.table("prices").items()}  # type: ignore[index]

    def test_each_beginning_costs_what_its_route_costs_the_user(self) -> None:
        prices = self.charged(JasminUser("shop", "1", "g", balance=10.0), JasminUser("bank", "2", "g", balance=1.5))
        self.assertEqual({"": "0.30", "1": "0.000001", "44": "0.02"}, prices["jasmin-rates"])
        self.assertEqual({"": "0.30", "1": "0.000001", "44": "0.05"}, prices["jasmin-rates-bank"])
        self.assertEqual({"prices": "jasmin-rates-bank", "prepaid": True}, self.imported.table("accounts", "bank"))
        [shop, bank] = self.imported.left_out
        self.assertIn("users: user shop: balance: the relay's journal has it. Write its currency into", shop)
        self.assertIn("relay balance bank --add 1.50 --key jasmin-import", bank)

    def test_accounts_with_the_same_prices_share_a_table(self) -> None:
        users = [JasminUser(name, name, "g", balance=1.0) for name in ("a", "b")]
        self.assertEqual(["jasmin-rates"], list(self.charged(*users)))

    def test_numbers_to_which_a_user_may_not_send_have_no_price(self) -> None:
        prices = self.charged(JasminUser("shop", "1", "g", ("1",), balance=10.0))
        self.assertEqual({"1": "0.000001"}, prices["jasmin-rates"])

    def test_a_count_of_messages_is_a_balance_in_messages(self) -> None:
        self.assertEqual({"jasmin-messages": {"": "1"}}, self.charged(JasminUser("shop", "1", "g", messages=500)))
        self.assertIn("submit_sm_count: each SMS costs 1", self.imported.left_out[0])
        self.assertIn("relay balance shop --add 500.00 --key jasmin-import", self.imported.left_out[0])
        self.assertIn("rate of MT routes: no user has a balance", self.imported.left_out[1])

    def test_an_empty_balance_needs_no_command(self) -> None:
        self.charged(JasminUser("shop", "1", "g", balance=0.0))
        self.assertIn("balance: it is 0.00", self.imported.left_out[0])
        self.assertNotIn("--add", self.imported.left_out[0])

    def test_of_both_the_balance_is_taken_and_amounts_are_cut_with_a_word(self) -> None:
        self.charged(JasminUser("shop", "1", "g", balance=0.12345678, messages=500))
        self.assertIn("0.12345678 is taken as 0.123456", self.imported.left_out[0])
        self.assertIn("submit_sm_count: the balance is taken", self.imported.left_out[-1])


class OtherDirectoriesTests(SynchronousTestCase):
    def refused(self, **files: bytes) -> str:
        names = {name.replace("__", "/jcli-prod.").replace("_", "-"): octets for name, octets in files.items()}
        return str(self.assertRaises(ImportProblem, import_jasmin, names.get))

    def test_another_directory_is_refused_with_what_to_do(self) -> None:
        self.assertIn("name Jasmin's configuration directory, such as /etc/jasmin", self.refused())

    def test_a_damaged_file_is_refused_with_its_name(self) -> None:
        self.assertIn(
            "store/jcli-prod.smppccs: can't be read", self.refused(store__smppccs=b"Persisted on\n\x80\x02junk")
        )

    def test_files_with_another_content_are_refused(self) -> None:
        config = {"config": HttpSettings()}
        things: list[Any] = [7, "x", [1], [{"config": 3}], [{}], {"table": [1]}, [config]]
        for thing in things:
            octets = b"Persisted on\n" + pickle.dumps(thing, 2)
            self.assertIn("something else in it than Jasmin writes", self.refused(store__smppccs=octets))


class HttpSettings:
    """An object that is no connector."""


class PatternTests(SynchronousTestCase):
    def test_simple_patterns_are_beginnings_of_numbers(self) -> None:
        for pattern, found in (
            ("^44", ["44"]), ("44", ["44"]), (r"^\+?44\d*$", ["44"]), (r"^(44|49).*", ["44", "49"]),
            ("^(?:1|7)[0-9]+", ["1", "7"]), (".*", [""]), ("", [""]),
        ):  # fmt: skip
            self.assertEqual(beginnings_of(pattern), found, pattern)

    def test_other_patterns_are_refused(self) -> None:
        for pattern in ("^44$", "^4[49]", "^(?!44)", r"44\d{10}", "44|49", "^4.4", "(4"):
            self.assertRaises(Unsuitable, beginnings_of, pattern)

    def test_a_rule_has_a_whole_number_or_a_beginning(self) -> None:
        self.assertEqual([number_of(p) for p in ("^123$", "123", "^123.*", ".*")], ["123", "123*", "123*", ""])
        self.assertRaises(Unsuitable, number_of, "^(1|2)")

    def test_a_rule_has_the_beginning_of_a_word(self) -> None:
        self.assertEqual([word_of(p) for p in ("^STOP", "STOP.*", ".*")], ["STOP*", "STOP*", ""])
        for pattern in (r"^STOP\b", "^(STOP|ENDE)", "^stop now"):
            self.assertRaises(Unsuitable, word_of, pattern)
