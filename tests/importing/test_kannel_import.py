"""A kannel.conf becomes a configuration that the relay accepts, and nothing of it is lost silently."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import load
from relay.cli.import_command import yaml_text
from relay.config.model import Config
from relay.importing.imported import Imported, ImportProblem
from relay.importing.kannel_import import import_kannel
from relay.importing.kannel_routes import Sender, SmscRules, add_kannel_routes
from relay.routing.routes import Routes
from relay.smpp.message_codec import encode_address

CARRIER = """group = smsc
smsc = smpp
smsc-id = tier1
host = smpp.example.net
port = 3550
transceiver-mode = true
smsc-username = relay
smsc-password = secret
system-type = VMA
"""
USER = "group = sendsms-user\nusername = shop\npassword = shop-key\n"
BANK = USER.replace("shop", "bank")


def imported_of(text: str, **files: str) -> Imported:
    """What an import of this kannel.conf gives. Other files are below `/`, by their names."""
    texts = {"kannel.conf": text} | {f"/{name}": content for name, content in files.items()}

    def read_files(name: str) -> Sequence[tuple[str, str]]:
        if name == "/directory":
            return [(inner, texts[inner]) for inner in sorted(texts) if inner != "kannel.conf"]
        if name not in texts:
            raise FileNotFoundError(2, "No such file or directory")
        return [(name, texts[name])]

    return import_kannel("kannel.conf", read_files)


def config_of(text: str, **files: str) -> Config:
    """The configuration that the relay reads from an import's YAML."""
    return loaded(imported_of(text, **files))


def loaded(imported: Imported) -> Config:
    text = yaml_text(imported, "kannel.conf")
    return load(text, name="relay.yaml", environ={}, read_file=lambda path: Path(path).read_text(encoding="utf-8"))


class FileTests(SynchronousTestCase):
    """The grammar of kannel.conf."""

    def password(self, written: str) -> str:
        config = config_of(CARRIER.replace("secret", written))
        return config.carriers["tier1"].password.reveal()

    def test_values_may_stand_in_quotes_with_backslashes(self) -> None:
        for written, meant in (
            ('"a b"', "a b"),
            (r'"say \"x\" \\ \n"', r'say "x" \ \n'),
            ("plain # no comment", "plain # no comment"),
            ("${HOME}", "${HOME}"),
            ("$${x", "$${x"),
            ('"', '"'),
        ):
            self.assertEqual(self.password(written), meant)

    def test_a_backslash_at_the_end_joins_lines(self) -> None:
        self.assertEqual(self.password("one\\\ntwo"), "onetwo")

    def test_included_files_and_directories_stand_in_their_place(self) -> None:
        for path in ("/users", "/directory"):
            config = config_of(f'include = "{path}"\n\n{CARRIER}', users=USER)
            self.assertEqual((list(config.accounts), list(config.carriers)), (["shop"], ["tier1"]))

    def test_a_file_that_includes_itself_is_read_once(self) -> None:
        config = config_of(f"include = /users\n\n{CARRIER}", users=f"{USER}include = /users\n")
        self.assertEqual(list(config.accounts), ["shop"])

    def test_a_file_that_is_no_kannel_conf_is_refused_with_its_line(self) -> None:
        for text, problem in (
            ("# x\nhello\n", "kannel.conf:2: no equals sign (=) in this line, so it is not a kannel.conf"),
            ("\nport = 1\n", "kannel.conf:2: this block of lines has no `group =`, so it is not a kannel.conf"),
            ("include = /none\n", "kannel.conf:1: /none: can't be read: No such file or directory"),
        ):
            self.assertEqual(problem, str(self.assertRaises(ImportProblem, imported_of, text)))

    @given(st.text(alphabet='ab=\\"#\n ${}:', max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        with contextlib.suppress(ImportProblem):
            loaded(imported_of(f"group = core\nx = {text}\n"))


class CarrierTests(SynchronousTestCase):
    def test_a_connection_becomes_a_carrier_with_its_settings(self) -> None:
        config = config_of(
            CARRIER + "max-pending-submits = 30\nthroughput = 5\ninstances = 2\nmsg-id-type = 0x01\nalt-charset = "
            "ISO-8859-1\nservice-type = CMT\nenquire-link-interval = 20\nwait-ack = 40\nreconnect-delay = 90\n"
            "interface-version = 33\nbind-addr-ton = 1\nbind-addr-npi = 2\naddress-range = ^4477\n"
            "source-addr-ton = 3\nsource-addr-npi = 1\ndest-addr-ton = 2\ndest-addr-npi = 8\nvalidityperiod = 60\n"
        )
        carrier = config.carriers["tier1"]
        self.assertEqual(carrier.connect, "tcp:smpp.example.net:3550")
        self.assertEqual(
            (carrier.system_id, carrier.password.reveal(), carrier.system_type), ("relay", "secret", "VMA")
        )
        self.assertEqual((carrier.bind, carrier.binds, carrier.window), ("transceiver", 2, 30))
        # Kannel's throughput is that of each connection.
        self.assertEqual(carrier.rate, 10)
        self.assertEqual((carrier.dialect.preset, carrier.default_alphabet), ("kannel-1", "latin1"))
        self.assertEqual((carrier.service_type, carrier.interface_version), ("CMT", 0x33))
        self.assertEqual((carrier.addr_ton, carrier.addr_npi, carrier.address_range), (1, 2, "^4477"))
        self.assertEqual((carrier.enquire_link_seconds, carrier.response_timeout_seconds), (20, 40))
        self.assertEqual((carrier.reconnect_min_seconds, carrier.reconnect_max_seconds), (90, 90))
        self.assertEqual(carrier.source_ton, {"number": 3, "short_code": 3, "name": 5})
        self.assertEqual(carrier.source_npi, {"number": 1, "short_code": 1, "name": 0})
        self.assertEqual((carrier.destination_ton, carrier.destination_npi), (2, 8))
        self.assertEqual(config.validity_seconds, 3600)

    def test_kannel_s_defaults_are_written_where_the_relay_has_others(self) -> None:
        self.assertEqual(config_of(CARRIER).carriers["tier1"].window, 10)

    def test_senders_without_detection_have_kannel_s_type_and_plan(self) -> None:
        carrier = config_of(CARRIER + "source-addr-autodetect = no\n").carriers["tier1"]
        self.assertEqual((carrier.source_ton, carrier.source_npi), (2, 1))

    def test_a_sender_and_a_receiver_connection_become_one_carrier(self) -> None:
        sends = CARRIER.replace("transceiver-mode = true\n", "")
        receives = sends.replace("port = ", "receive-port = ").replace("3550", "3551")
        imported = imported_of(f"{sends}\n{receives}")
        config = loaded(imported)
        self.assertEqual([carrier.bind for carrier in config.carriers.values()], ["transmitter+receiver"])
        self.assertIn(
            "kannel.conf:10: group smsc: receive-port: the relay binds as receiver at port 3550, too",
            imported.left_out,
        )

    def test_a_connection_with_two_ports_becomes_one_carrier(self) -> None:
        both = CARRIER.replace("transceiver-mode = true", "receive-port = 3551\ninterface-version = 50")
        imported = imported_of(both)
        carrier = loaded(imported).carriers["tier1"]
        self.assertEqual((carrier.bind, carrier.interface_version), ("transmitter+receiver", 0x50))
        self.assertEqual(
            imported.left_out,
            ["kannel.conf:1: group smsc: receive-port: the relay binds as receiver at port 3550, too"],
        )

    def test_a_connection_that_only_sends_also_binds_as_receiver_and_the_import_says_so(self) -> None:
        imported = imported_of(CARRIER.replace("transceiver-mode = true\n", ""))
        self.assertEqual(loaded(imported).carriers["tier1"].bind, "transmitter+receiver")
        self.assertIn("Kannel only sends over this connection", imported.left_out[0])

    def test_a_connection_that_only_receives_is_left_out(self) -> None:
        imported = imported_of(CARRIER.replace("port =", "receive-port =").replace("transceiver-mode = true\n", ""))
        self.assertNotIn("carriers", imported.tables)
        self.assertIn("no carrier that only receives", imported.left_out[0])

    def test_equal_connections_of_one_id_become_binds_and_others_get_a_number(self) -> None:
        other = CARRIER.replace("smpp.example.net", "other.example.net")
        carriers = config_of(f"{CARRIER}\n{CARRIER}\n{other}").carriers
        self.assertEqual({name: carrier.binds for name, carrier in carriers.items()}, {"tier1": 2, "tier1-2": 1})

    def test_connections_of_other_kinds_are_left_out_with_their_line(self) -> None:
        imported = imported_of("\n\ngroup = smsc\nsmsc = at\ndevice = /dev/ttyS0\n")
        self.assertEqual(
            imported.left_out, ["kannel.conf:3: group smsc: smsc = at: the relay connects to carriers over SMPP only"]
        )

    def test_tls_is_taken_over_and_verifies_the_carrier(self) -> None:
        imported = imported_of(CARRIER + "use-ssl = true\n")
        self.assertEqual(loaded(imported).carriers["tier1"].connect, "tls:smpp.example.net:3550")
        self.assertIn("the relay verifies the certificate", imported.left_out[0])

    def test_every_setting_is_used_or_named_and_no_line_shows_a_password(self) -> None:
        imported = imported_of(CARRIER + "esm-class = 3\nkeepalive = 7\nlog-file = x\nport-of-call = 9\n")
        self.assertEqual(
            imported.left_out,
            [
                "kannel.conf:1: group smsc: log-file: the relay has its own settings for logs",
                "kannel.conf:1: group smsc: esm-class, keepalive, port-of-call: has no counterpart here",
            ],
        )
        self.assertNotIn("secret", "".join(imported.left_out))


class AccountTests(SynchronousTestCase):
    def test_a_user_becomes_an_account_with_the_password_as_key_and_a_default_sender(self) -> None:
        box = "group = smsbox\nbearerbox-host = x\nsendsms-port = 13113\nsendsms-interface = 127.0.0.1\n"
        config = config_of(
            f"{box}global-sender = 12345\n\n{USER}\n{USER.replace('shop', 'bank')}default-sender = BANK\n"
        )
        self.assertEqual(config.http.listen, ["tcp:13113:interface=127.0.0.1"])
        self.assertTrue(config.http.kannel)
        keys = {name: account.api_key for name, account in config.accounts.items()}
        self.assertEqual(
            {name: key.reveal() for name, key in keys.items() if key}, {"shop": "shop-key", "bank": "bank-key"}
        )
        self.assertEqual([account.senders.default for account in config.accounts.values()], ["12345", "BANK"])

    def test_the_second_account_with_the_same_password_gets_no_key(self) -> None:
        imported = imported_of(f"{USER}\n{BANK.replace('bank-key', 'shop-key')}")
        config = loaded(imported)
        self.assertIsNone(config.accounts["bank"].api_key)
        self.assertIn("accounts.bank has the same password as accounts.shop", imported.left_out[0])
        self.assertNotIn("shop-key", imported.left_out[0])

    def test_a_list_of_addresses_is_left_out_with_a_reason(self) -> None:
        (line,) = imported_of(USER + "user-allow-ip = 192.0.2.1\n").left_out
        self.assertIn("user-allow-ip: the relay allows addresses for SMPP logins only", line)

    def test_smpp_logins_become_accounts_with_their_networks(self) -> None:
        box = "group = opensmppbox\nopensmppbox-port = 2345\nour-system-id = gw\nsmpp-logins = /logins\n"
        logins = "shop pw1 VMA *.*.*.*\nbank pw2 x 192.0.2.*;198.51.100.7\nclub pw3 x 10.*.0.1\nbad\n"
        imported = imported_of(f"{USER}\n{box}", logins=logins)
        config = loaded(imported)
        self.assertEqual((config.smpp.listen, config.smpp.system_id), (["tcp:2345"], "gw"))
        shop, bank = config.accounts["shop"], config.accounts["bank"]
        assert shop.smpp is not None and bank.smpp is not None and shop.api_key is not None
        self.assertEqual((shop.api_key.reveal(), shop.smpp.password.reveal()), ("shop-key", "pw1"))
        self.assertEqual((shop.smpp.allow_from, bank.smpp.allow_from), ([], ["192.0.2.0/24", "198.51.100.7/32"]))
        self.assertEqual(
            imported.left_out,
            [
                "/logins:3: '10.*.0.1': write the networks of club into allow_from",
                "/logins:4: is no login: expected system_id, password, system_type and allowed addresses",
            ],
        )

    def test_further_logins_of_a_name_are_not_lost(self) -> None:
        box = "group = opensmppbox\nsmpp-logins = /logins\n"
        lines = (
            "shop pw1 VMA 192.0.2.*",
            "shop pw1 other 198.51.100.7",
            # No network is like this, and it must not open the login to all.
            "shop pw1 other 10.*.0.1",
            "shop pw2 VMA 203.0.113.1",
            "shop pw3 VMA *.*.*.*",
            "shop-2 pw4 VMA *.*.*.*",
            "a-long-name-of1 pw5 VMA 192.0.2.1",
            "a-long-name-of1 pw6 VMA *.*.*.*",
            "a-long-name-of1 pw5 VMA *.*.*.*",
        )
        imported = imported_of(box, logins="\n".join(lines))
        accounts = loaded(imported).accounts
        shop, long = accounts["shop"], accounts["a-long-name-of1"]
        assert shop.smpp is not None and long.smpp is not None
        self.assertEqual(["192.0.2.0/24", "198.51.100.7/32"], shop.smpp.allow_from)
        further = {name: (each.system_id, each.password.reveal()) for name, each in shop.smpp_logins.items()}
        self.assertEqual({"login2": ("shop-3", "pw2"), "login3": ("shop-4", "pw3")}, further)
        self.assertEqual(["203.0.113.1/32"], shop.smpp_logins["login2"].allow_from)
        self.assertEqual("a-long-name-o-2", long.smpp_logins["login2"].system_id)
        # A later line of the same login is for all addresses.
        self.assertEqual([], long.smpp.allow_from)
        self.assertEqual(
            "/logins:4: shop has a further password. The relay needs a system_id for each login: this one is "
            "accounts.shop.smpp_logins.login2, with the system_id shop-3. Tell the customer",
            imported.left_out[1],
        )
        self.assertEqual(4, len(imported.left_out))


class ServiceTests(SynchronousTestCase):
    def test_keywords_become_rules_and_the_default_gets_the_rest(self) -> None:
        config = config_of(
            f"{CARRIER}\ngroup = sms-service\nkeyword = stop\naliases = ende;halt\nmax-messages = 0\n"
            'get-url = "http://192.0.2.9/stop?from=%p"\n\n'
            "group = sms-service\nkeyword = default\nget-url = http://crm.example.com/in?text=%a\n"
        )
        carrier = config.carriers["tier1"]
        self.assertEqual(
            [(rule.keyword, rule.account) for rule in carrier.inbound],
            [(word, "service-stop") for word in ("stop", "ende", "halt")],
        )
        self.assertEqual(carrier.mobile_originated, "service-default")
        stop = config.accounts["service-stop"]
        self.assertEqual((stop.inbound_url, stop.inbound_format), ("http://192.0.2.9/stop?from=%p", "kannel"))
        self.assertTrue(stop.allow_private_urls)
        self.assertFalse(config.accounts["service-default"].allow_private_urls)

    def test_a_service_without_a_url_is_left_out(self) -> None:
        imported = imported_of(f"{CARRIER}\ngroup = sms-service\nkeyword = nop\ntext = Hello\n")
        self.assertIn("keyword 'nop': it has no get-url", imported.left_out[0])

    def test_accepted_smsc_limits_the_rule_to_these_carriers(self) -> None:
        other = CARRIER.replace("tier1", "tier2")
        service = (
            "group = sms-service\nkeyword = x\nget-url = http://a.example/\naccepted-smsc = tier2\nmax-messages = 0"
        )
        carriers = config_of(f"{CARRIER}\n{other}\n{service}\n").carriers
        self.assertEqual([len(carrier.inbound) for carrier in carriers.values()], [0, 1])


PREFIXES = st.lists(st.sampled_from(["4", "44", "447", "49", "1"]), max_size=2, unique=True)
IDS = st.lists(st.sampled_from(["x", "y"]), max_size=1)
RULES = st.builds(
    SmscRules,
    carrier=st.just(""),
    allowed_ids=IDS,
    denied_ids=IDS,
    preferred_ids=IDS,
    allowed=PREFIXES,
    denied=PREFIXES,
    preferred=PREFIXES,
)


def kannel_chooses(rules: Sequence[SmscRules], sender: Sender, number: str) -> list[set[str]]:
    """What Kannel's bearerbox does with a number: the preferred connections, then the others."""
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    if sender.allowed and not number.startswith(tuple(sender.allowed)):
        return []
    for rule in rules:
        allowed, denied = number.startswith(tuple(rule.allowed)), number.startswith(tuple(rule.denied))
        if rule.allowed_ids and sender.smsc_id not in rule.allowed_ids:
            continue
        if not rule.allowed_ids and sender.smsc_id in rule.denied_ids:
            continue
        if rule.allowed and not rule.denied and not allowed:
            continue
        if rule.denied and not rule.allowed and denied:
            continue
        if rule.denied and rule.allowed and denied and not allowed:
            continue
        preferred = sender.smsc_id in rule.preferred_ids or number.startswith(tuple(rule.preferred))
        kinds[preferred].add(rule.carrier)
    return [kind for kind in (kinds[True], kinds[False]) if kind]


class RouteTests(SynchronousTestCase):
    def test_connections_without_rules_share_all_numbers(self) -> None:
        config = config_of(f"{CARRIER}\n{CARRIER.replace('tier1', 'tier2')}")
        self.assertEqual(
            [(route.prefix, route.carriers) for route in config.routes], [("", [{"tier1": 1, "tier2": 1}])]
        )

    def test_a_rule_with_a_pattern_takes_the_carrier_out_of_all_routes(self) -> None:
        imported = imported_of(CARRIER + "allowed-prefix-regex = ^44\n")
        self.assertEqual(loaded(imported).routes, [])
        self.assertIn("no route names carriers.tier1", imported.left_out[0])

    def test_a_national_beginning_is_left_out_with_a_reason(self) -> None:
        imported = imported_of(CARRIER + "allowed-prefix = 07;0044\n")
        self.assertEqual([route.prefix for route in loaded(imported).routes], ["44"])
        self.assertIn("'07' is not the beginning of a number with a country code", imported.left_out[0])

    def test_a_faked_sender_replaces_the_sender_of_this_account_only(self) -> None:
        config = config_of(f"{CARRIER}\n{USER}faked-sender = SHOP\n\n{BANK}")
        self.assertEqual(
            [(route.account, route.replace_sender) for route in config.routes], [("shop", "SHOP"), ("", "")]
        )

    @given(
        st.lists(RULES, min_size=1, max_size=3),
        st.lists(st.tuples(st.sampled_from(["", "x", "y"]), PREFIXES), min_size=1, max_size=2),
        st.sampled_from(["4", "441", "4471", "491", "12", "7"]),
    )
    def test_each_number_goes_where_kannel_sends_it_unless_a_line_says_so(
        self, rules: list[SmscRules], accounts: list[tuple[str, list[str]]], number: str
    ) -> None:
        rules = [msgspec.structs.replace(rule, carrier=f"c{n}") for n, rule in enumerate(rules)]
        senders = [Sender(f"a{n}", smsc_id, allowed) for n, (smsc_id, allowed) in enumerate(accounts)]
        imported = Imported()
        imported.tables |= {
            "accounts": {sender.account: {} for sender in senders},
            "carriers": {rule.carrier: {"connect": "tcp:127.0.0.1:2775"} for rule in rules},
        }
        add_kannel_routes(imported, "kannel.conf", rules, senders)
        routes = Routes(loaded(imported).routes)
        addresses = encode_address(0, 0, b"") + encode_address(1, 1, number.encode())
        for sender in senders:
            route = routes.find(addresses, sender.account, 0.0)
            chosen = [] if route is None else [_names(place) for place in route.route.carriers]
            expected = kannel_chooses(rules, sender, number)
            if chosen != expected:
                self.assertEqual(expected, [])
                self.assertTrue(any("have no carrier there" in line for line in imported.left_out))


def _names(place: str | Mapping[str, float]) -> set[str]:
    return {place} if isinstance(place, str) else set(place)


class YamlTests(SynchronousTestCase):
    def test_the_yaml_begins_with_its_source_whatever_the_file_s_name(self) -> None:
        text = yaml_text(imported_of(USER), "a\nb: c")
        self.assertEqual(text.splitlines()[0][:22], r"# Made of 'a\nb: c' by")
        tables = cast(dict[str, object], yaml.safe_load(text))
        self.assertEqual(list(tables), ["accounts"])
