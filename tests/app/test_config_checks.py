"""Rules between several values of a configuration."""

from twisted.trial.unittest import SynchronousTestCase

from relay.app.config_checks import advice
from relay.config.endpoint_text import is_loopback
from tests.app.test_load_config import problems, read

HASH = "$scrypt$ln=15,r=8,p=1$kly7PUQMNXADU8UAsW6rRw$nbH5lYVk4CzBxCjUH3DbfAel6+5+nQolta/GnsIleA8"
USERS = f"users: {{alice: {{password: '{HASH}', role: configure}}}}"
WORKING = "carriers: {t: {connect: tcp:h:2775}}\n"


class ChecksTestCase(SynchronousTestCase):
    def assert_problem(self, text: str, key: str, *words: str) -> None:
        found = problems(text)
        self.assertEqual(len(found), 1, found)
        self.assertRegex(found[0], rf"^x\.yaml:\d+: {key}: ")
        for word in words:
            self.assertIn(word, found[0])

    def assert_fine(self, text: str) -> None:
        self.assertEqual(problems(text), [])


class ExposureTests(ChecksTestCase):
    """What must not be reachable from other machines."""

    def test_a_demo_key_with_a_reachable_listener_is_refused(self) -> None:
        for listener in ("http", "smpp"):
            text = f"{listener}: {{listen: [tcp:80]}}\naccounts: {{a: {{api_key: Demo-key}}}}"
            self.assert_problem(text, "accounts.a.api_key", f"{listener}.listen", "choose another secret")

    def test_a_demo_password_with_a_reachable_listener_is_refused(self) -> None:
        text = "smpp: {listen: [tcp:80]}\naccounts: {a: {smpp: {system_id: a, password: demo}}}"
        self.assert_problem(text, "accounts.a.smpp.password", "choose another secret")

    def test_a_demo_key_on_loopback_is_fine(self) -> None:
        self.assert_fine("accounts: {a: {api_key: demo-key, smpp: {system_id: demo, password: demo}}}")

    def test_the_demo_receiver_with_a_reachable_listener_is_refused(self) -> None:
        self.assert_problem("demo: {receiver: tcp:80}", "demo.receiver")
        self.assert_problem(
            'smpp: {listen: [tcp:81]}\ndemo: {receiver: "tcp:80:interface=127.0.0.1"}', "demo.receiver", "smpp.listen"
        )

    def test_a_reachable_admin_listener_needs_a_password(self) -> None:
        self.assert_problem("admin: {listen: [tcp:80]}", r"admin.listen\[0\]", "set admin.password")
        self.assert_fine("admin: {listen: [tcp:80], password: x}")

    def test_the_admin_api_needs_users(self) -> None:
        self.assert_problem("admin: {api: true, password: x}", "admin.api", "admin.users", "names a person")
        self.assert_fine(f"admin: {{api: true, {USERS}}}")

    def test_loopback_addresses_are_recognised_as_twisted_reads_endpoints(self) -> None:
        for description in (
            "tcp:80:interface=127.0.0.1",
            "tcp:80:127.0.0.1",
            "tcp:port=80:interface=127.1.2.3",
            "tcp:80:interface=localhost",
            r"tcp6:80:interface=\:\:1",
            r"tcp:80:interface=\:\:ffff\:127.0.0.1",
            "ssl:443:privateKey=k.pem:interface=127.0.0.1",
            "unix:/run/relay.sock",
        ):
            self.assertTrue(is_loopback(description), description)
        for description in (
            "tcp:80",
            "tcp:80:interface=",
            "tcp:80:interface=0.0.0.0",
            "tcp:80:192.0.2.1",
            "tcp:80:interface=relay.example.net",
            r"tcp6:80:interface=\:\:",
            "ssl:443",
            "systemd:domain=INET:index=0",
            "fd:3",
            "haproxy:tcp:80:interface=127.0.0.1",
            "unknown:80:interface=127.0.0.1",
            "",
        ):
            self.assertFalse(is_loopback(description), description)


class ListenerTests(ChecksTestCase):
    def test_a_listener_for_proxies_needs_to_know_them(self) -> None:
        listener = 'smpp: {listen: ["haproxy:tcp:2775"]}'
        self.assert_problem(listener, r"smpp.listen\[0\]", "trusted_proxies")
        self.assert_fine(f"{listener}\ntrusted_proxies: [10.0.0.0/8]")

    def test_two_listeners_on_one_endpoint_are_refused(self) -> None:
        text = 'http: {listen: ["tcp:9090:interface=127.0.0.1"]}'
        self.assert_problem(text, r"admin.listen\[0\]", r"http.listen[0]")

    def test_an_empty_endpoint_is_refused_and_an_empty_list_is_not(self) -> None:
        self.assert_problem("http: {listen: ['']}", r"http.listen\[0\]", "must not be empty")
        self.assert_fine("http: {listen: []}")


class AccountTests(ChecksTestCase):
    def test_two_accounts_with_one_key_are_refused(self) -> None:
        self.assert_problem("accounts: {a: {api_key: k}, b: {api_key: k}}", "accounts.b.api_key", "accounts.a")

    def test_two_accounts_with_one_system_id_are_refused(self) -> None:
        smpp = "smpp: {system_id: s, password: p}"
        self.assert_problem(f"accounts: {{a: {{{smpp}}}, b: {{{smpp}}}}}", "accounts.b.smpp.system_id", "accounts.a")

    def test_further_logins_are_checked_like_the_first(self) -> None:
        account = "accounts: {a: {smpp: {system_id: s, password: p}, smpp_logins: {b: {system_id: %s, password: %s}}}}"
        self.assert_fine(account % ("t", "q"))
        self.assert_problem(account % ("s", "q"), "accounts.a.smpp_logins.b.system_id", "accounts.a.smpp has the same")
        self.assert_problem(account % ("t", '""'), "accounts.a.smpp_logins.b.password", "must not be empty")
        self.assert_problem(account % ("t", "é"), "accounts.a.smpp_logins.b.password", "printable ASCII")
        self.assert_problem(
            "accounts: {a: {smpp_logins: {b: {system_id: t, password: q}}}}", "accounts.a.smpp_logins", "needs `smpp`"
        )
        self.assert_problem(
            "accounts: {a: {smpp: {system_id: s, password: p}, smpp_logins: {'b c': {system_id: t, password: q}}}}",
            "accounts.a.smpp_logins.b c",
            "expected a name",
        )

    def test_an_old_password_needs_its_end_and_differs_from_the_new_one(self) -> None:
        account = "accounts: {a: {smpp: {system_id: s, password: p, %s}}}"
        self.assert_fine(account % "old_password: q, old_password_until: 2026-12-24T12:00:00+01:00")
        for keys, key, words in (
            ("old_password: q", "old_password", "needs old_password_until"),
            ("old_password_until: 2026-12-24T12:00:00Z", "old_password_until", "without old_password"),
            ("old_password: q, old_password_until: 2026-12-24", "old_password_until", "with its time zone"),
            ("old_password: p, old_password_until: 2026-12-24T12:00:00Z", "old_password", "same as password"),
            ('old_password: "", old_password_until: 2026-12-24T12:00:00Z', "old_password", "must not be empty"),
        ):
            self.assert_problem(account % keys, f"accounts.a.smpp.{key}", words)

    def test_an_empty_key_or_password_is_refused(self) -> None:
        self.assert_problem('accounts: {a: {api_key: ""}}', "accounts.a.api_key", "must not be empty")
        self.assert_problem('accounts: {a: {smpp: {system_id: s, password: ""}}}', "accounts.a.smpp.password")
        self.assert_problem('admin: {password: ""}', "admin.password")

    def test_a_name_that_could_not_stand_in_a_login_or_a_path_is_refused(self) -> None:
        for name in ("a:b", "a b", "a/b", "-a", "é", "a" * 65, ""):
            self.assertEqual(len(problems(f'accounts: {{"{name}": {{}}}}')), 1, name)
        self.assert_fine("accounts: {a.b+c@d-e_1: {}, 1: {}}")

    def test_a_wrong_network_is_refused(self) -> None:
        account = "accounts: {a: {smpp: {system_id: s, password: p, allow_from: [%s]}}}"
        self.assert_fine(account % '192.0.2.0/24, 192.0.2.7, "2001:db8::/32", 10.1.2.3/8')
        self.assert_problem(account % "192.0.2.0/24, 192.0.2.0/33", r"accounts.a.smpp.allow_from\[1\]", "/24")

    def test_a_wrong_notification_url_is_refused(self) -> None:
        self.assert_problem("accounts: {a: {notification_url: ftp://h/}}", "accounts.a.notification_url", "http://")
        self.assert_problem("accounts: {a: {notification_fallback_url: x}}", "accounts.a.notification_fallback_url")

    def test_a_private_notification_url_says_what_would_allow_it(self) -> None:
        self.assert_problem(
            "accounts: {a: {notification_url: 'http://10.0.0.1/x'}}",
            "accounts.a.notification_url",
            "allow_private_urls: true",
        )
        self.assert_fine("accounts: {a: {notification_url: 'http://10.0.0.1/x', allow_private_urls: true}}")

    def test_a_wrong_webhook_secret_is_refused(self) -> None:
        self.assert_problem("accounts: {a: {notification_secret: whsec_AAAA}}", "accounts.a.notification_secret", "24")
        self.assert_fine("accounts: {a: {notification_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}")

    def test_headers_for_receivers_may_not_replace_what_the_relay_says_itself(self) -> None:
        account = "accounts: {a: {notification_headers: {%s}}}"
        fine = 'X-API-Key: k, user-agent: "Acme (SMS)", Accept: text/plain, Cookie: "a=b; c=d", Authorization: x'
        self.assert_fine(account % fine)
        for name in (
            "Host", "content-length", "Transfer-Encoding", "CONNECTION", "Content-Type", "Keep-Alive", "TE", "Trailer",
            "Upgrade", "Expect", "Content-Encoding", "Webhook-Signature", "webhook-id", "Webhook-Timestamp",
            "X-Relay-Attempt", "x-relay-anything", "Webhook_Signature", "content_length", "a b",
            '"a:b"', '"a\\r\\nb"', "é", '""',
        ):  # fmt: skip
            with self.subTest(name):
                (problem,) = problems(account % f"{name}: s3cret")
                self.assertIn("accounts.a.notification_headers.", problem)
                self.assertNotIn("s3cret", problem)

    def test_a_header_s_value_fits_into_one_line_of_ascii(self) -> None:
        for value in (
            '"s3cret\\r\\nHost: evil"',
            '"s3cret\\0"',
            '"s3cret\\e"',
            "s3crét",
            '" s3cret"',
            '"s3cret "',
            '""',
        ):
            with self.subTest(value):
                (problem,) = problems(f"accounts: {{a: {{notification_headers: {{X-Key: {value}}}}}}}")
                self.assertIn("accounts.a.notification_headers.X-Key: must be printable ASCII", problem)
                self.assertNotIn("s3cr", problem)

    def test_one_header_is_given_once(self) -> None:
        account = "accounts: {a: {notification_headers: {X-Key: s3cret, x-key: other}}}"
        self.assert_problem(account, "accounts.a.notification_headers.x-key", "the same header as X-Key")

    def test_a_bearer_token_is_one_word_and_the_only_authorization(self) -> None:
        self.assert_fine("accounts: {a: {notification_token: abc.DEF-123_~+/==}}")
        for token in ('""', '"a b"', "é", '"a\\r\\nb"'):
            self.assert_problem(f"accounts: {{a: {{notification_token: {token}}}}}", "accounts.a.notification_token")
        self.assert_problem(
            "accounts: {a: {notification_token: t, notification_headers: {authorization: x}}}",
            "accounts.a.notification_token",
            "exclude each other",
        )

    def test_a_certificate_for_receivers_has_its_key(self) -> None:
        self.assert_problem("accounts: {a: {notification_tls: {certificate_file: c}}}", "accounts.a.notification_tls")
        self.assert_problem("accounts: {a: {notification_tls: {key_file: k}}}", "accounts.a.notification_tls", "both")

    def test_logins_must_be_writable_in_smpp(self) -> None:
        self.assert_problem(
            "accounts: {a: {smpp: {system_id: é, password: p}}}", "accounts.a.smpp.system_id", "printable ASCII"
        )


class CarrierTests(ChecksTestCase):
    def test_a_carrier_needs_somewhere_to_connect_to(self) -> None:
        self.assert_problem("carriers: {t: {}}", "carriers.t.connect", "missing", "tcp:smpp.example.net:2775")

    def test_a_simulator_connects_to_nothing(self) -> None:
        self.assert_fine("carriers: {t: {kind: simulator}}")
        self.assert_problem("carriers: {t: {kind: simulator, connect: tcp:h:1}}", "carriers.t.connect", "leave it out")

    def test_a_carrier_over_http_needs_a_url_and_a_secret(self) -> None:
        secret = "signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        self.assert_fine(f"carriers: {{t: {{kind: http, connect: 'https://r.example.net', {secret}}}}}")
        self.assert_problem(f"carriers: {{t: {{kind: http, connect: 'tcp:h:1', {secret}}}}}", "carriers.t.connect")
        self.assert_problem("carriers: {t: {kind: http, connect: 'https://r.net'}}", "carriers.t.signing_secret")
        for key in ("query_sm", "cancel_sm"):
            text = f"carriers: {{t: {{kind: http, connect: 'https://r.net', {secret}, {key}: true}}}}"
            self.assert_problem(text, f"carriers.t.{key}", "no such request")
            self.assert_fine(f"carriers: {{t: {{connect: tcp:h:2775, {key}: true}}}}")
            self.assert_fine(f"carriers: {{t: {{kind: simulator, {key}: true}}}}")

    def test_the_form_of_messages_must_be_one_that_can_be_sent(self) -> None:
        for keys, key, words in (
            ("destination_form: national", "country_code", "destination_form: national needs it"),
            ("source_form: national", "country_code", "source_form: national needs it"),
            ("service_type: ä", "service_type", "ASCII"),
            ("tlvs: {0x1400: zz}", "tlvs", "hexadecimal"),
            ("tlvs: {0x0424: '00'}", "tlvs", "written by the relay"),
            ("source_ton: {names: 5}", "source_ton", "name"),
            ("destination_npi: 256", "destination_npi", "255"),
        ):
            self.assert_problem(f"carriers: {{t: {{connect: tcp:h:1, {keys}}}}}", rf"carriers\.t\.{key}.*", words)
        self.assert_fine(
            "carriers: {t: {connect: tcp:h:1, default_alphabet: latin1, long_messages: sar, service_type: CMT, "
            "source_ton: {short_code: 0}, destination_ton: 0, destination_form: national, country_code: '44', "
            "trunk_prefix: '0', tlvs: {0x1400: '31303031'}}}"
        )
        secret = "signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        http = f"kind: http, connect: 'https://r.net', {secret}"
        self.assert_problem(f"carriers: {{t: {{{http}, tlvs: {{0x1400: '00'}}}}}}", "carriers.t", "another relay")
        simulated = "carriers: {t: {kind: simulator, simulator: {tlvs: [no]}}}"
        self.assert_problem(simulated, r"carriers.t.simulator.tlvs\[0\]")

    def test_files_for_tls_need_a_tls_endpoint_and_go_in_pairs(self) -> None:
        self.assert_problem("carriers: {t: {connect: 'tcp:h:1', tls: {ca_file: f}}}", "carriers.t.tls", '"tls:"')
        self.assert_problem("carriers: {t: {connect: 'tls:h:1', tls: {key_file: f}}}", "carriers.t.tls", "both")
        self.assert_fine("carriers: {t: {connect: 'tls:h:1', tls: {key_file: f, certificate_file: g}}}")

    def test_a_longest_pause_below_the_shortest_is_refused(self) -> None:
        self.assert_problem(
            "carriers: {t: {connect: tcp:h:1, reconnect_min_seconds: 9, reconnect_max_seconds: 8}}",
            "carriers.t.reconnect_max_seconds",
        )

    def test_messages_from_handsets_go_to_an_account_that_can_take_them(self) -> None:
        carrier = "carriers: {t: {connect: tcp:h:1, mobile_originated: acme}}\n"
        key = "carriers.t.mobile_originated"
        self.assert_fine(f"{carrier}accounts: {{acme: {{smpp: {{system_id: s, password: p}}}}}}")
        self.assert_fine(f"{carrier}accounts: {{acme: {{inbound_url: 'https://acme.example.com/sms'}}}}")
        self.assert_problem(f"{carrier}accounts: {{acme: {{}}}}", key, "no smpp login")
        self.assert_problem(f"{carrier}accounts: {{acme2: {{}}}}", key, "did you mean 'acme2'?")

    def test_rules_for_messages_from_handsets_name_accounts_that_can_get_them(self) -> None:
        accounts = (
            "accounts: {web: {inbound_url: 'https://web.example.com/?p=%p&t=%a', inbound_format: kannel}, "
            "esme: {smpp: {system_id: s, password: p}}, none: {}}\n"
        )
        carrier = f"{accounts}carriers: {{t: {{connect: tcp:h:1, inbound: [RULE]}}}}"

        def rule(text: str) -> str:
            return carrier.replace("RULE", text)

        for fine in ("{account: web}", "{account: esme, to: '+4477*', keyword: STOP*}", "{account: esme, over: smpp}"):
            self.assert_fine(rule(fine))
        key = r"carriers.t.inbound\[0\]"
        self.assert_problem(rule("{account: wep}"), key + ".account", "did you mean 'web'?")
        self.assert_problem(rule("{account: none}"), key + ".account", "no inbound_url and no smpp login")
        self.assert_problem(rule("{account: esme, over: both}"), key + ".account", "no inbound_url")
        self.assert_problem(rule("{account: web, over: smpp}"), key + ".account", "no smpp login")
        self.assert_problem(rule("{account: web, to: '1*2'}"), key + ".to", "is no number")
        self.assert_problem(rule("{account: web, keyword: STOP NOW}"), key + ".keyword", "is no word")
        self.assert_problem("accounts: {web: {inbound_url: 'http://127.0.0.1/'}}", "accounts.web.inbound_url")

    def test_a_wrong_dialect_is_refused(self) -> None:
        carrier = "carriers: {t: {connect: tcp:h:1, dialect: {%s}}}"
        self.assert_fine(carrier % "states: {FAILED: UNDELIV}, response_id: {base: hex, low_32_bits: true}")
        self.assert_problem(carrier % "states: {FAILED: NOPE}", "carriers.t.dialect.states.FAILED", "NOPE")
        self.assert_problem(carrier % "preset: nobody", "carriers.t.dialect.preset", "nobody")
        self.assert_problem(
            carrier % "receipt_id: {low_32_bits: true}", "carriers.t.dialect.receipt_id.low_32_bits", "decimal or hex"
        )

    def test_the_simulators_states_must_be_states_with_shares(self) -> None:
        carrier = "carriers: {t: {kind: simulator, simulator: {states: {%s}}}}"
        key = "carriers.t.simulator.states"
        self.assert_fine(carrier % "DELIVRD: 3, UNDELIV: 1")
        self.assert_problem(carrier % "DELIVRD: 1, LOST: 1", f"{key}.LOST", "DELIVRD")
        self.assert_problem(carrier % "DELIVRD: 1, UNDELIV: -1", f"{key}.UNDELIV")
        self.assert_problem(carrier % "DELIVRD: 0", key, "more than 0")


class SendersTests(ChecksTestCase):
    def test_a_test_number_is_a_number_and_has_a_final_status(self) -> None:
        self.assert_fine('accounts: {a: {test_numbers: {"15005550001": DELIVRD, +15005550002: REJECTD}}}')
        self.assert_problem("accounts: {a: {test_numbers: {anybody: DELIVRD}}}", "accounts.a.test_numbers.anybody")
        self.assert_problem("accounts: {a: {test_numbers: {1500555: ENROUTE}}}", "accounts.a.test_numbers.1500555")

    def test_senders_that_cannot_be_read_are_refused(self) -> None:
        self.assert_fine('accounts: {a: {senders: {allow: [ACME, "4477*", numeric], default: ACME}}}')
        self.assert_problem(
            'accounts: {a: {senders: {allow: [ACME, "A*B"]}}}', r"accounts.a.senders.allow\[1\]", "can't be a sender"
        )
        self.assert_problem("accounts: {a: {senders: {default: Far too long a name}}}", "accounts.a.senders.default")

    def test_a_default_sender_that_is_not_allowed_is_refused(self) -> None:
        self.assert_problem(
            "accounts: {a: {senders: {allow: [ACME], default: OTHER}}}", "accounts.a.senders.default", "add it there"
        )


class RouteTests(ChecksTestCase):
    def test_a_route_to_an_unknown_carrier_is_refused(self) -> None:
        carriers = "carriers: {tier1: {connect: tcp:h:1}}\n"
        self.assert_fine(f"{carriers}routes: [{{carriers: [tier1]}}]")
        self.assert_problem(
            f"{carriers}routes: [{{carriers: [tier2]}}]", r"routes\[0\].carriers\[0\]", "did you mean 'tier1'?"
        )
        self.assert_problem(f"{carriers}routes: [{{carriers: []}}]", r"routes\[0\].carriers", "at least one")
        self.assert_problem(f"{carriers}routes: [{{carriers: [tier1, tier1]}}]", r"routes\[0\].carriers\[1\]", "twice")

    def test_two_routes_for_one_prefix_are_refused(self) -> None:
        route = "{prefix: 44, carriers: [t]}"
        self.assert_problem(f"{WORKING}routes: [{route}, {route}]", r"routes\[1\]", "prefix '44'", "routes[0]")
        self.assert_problem(f"{WORKING}routes: [{{carriers: [t]}}, {{carriers: [t]}}]", r"routes\[1\]", "all numbers")


class BasicsTests(ChecksTestCase):
    def test_a_validity_of_zero_is_refused(self) -> None:
        self.assert_problem("validity_seconds: 0", "validity_seconds", "above 0")

    def test_an_empty_data_dir_is_refused(self) -> None:
        self.assert_problem('data_dir: ""', "data_dir", "must not be empty")


class AdviceTests(SynchronousTestCase):
    def test_values_that_are_allowed_but_probably_a_mistake_are_reported(self) -> None:
        notes = "\n".join(advice(read("")))
        self.assertIn("accounts: there are none", notes)
        self.assertIn("routes: there are none", notes)
        notes = "\n".join(
            advice(
                read(
                    f"{WORKING}accounts: {{a: {{}}}}\nroutes: [{{prefix: 1, carriers: [t]}}]\njournal: {{sync: never}}"
                )
            )
        )
        self.assertIn("accounts.a: has neither", notes)
        self.assertIn("every route has a prefix", notes)
        self.assertIn("journal.sync: never", notes)
        self.assertIn("carriers.t: no route", "\n".join(advice(read(WORKING))))

    def test_an_ordinary_file_gets_no_advice(self) -> None:
        self.assertEqual(advice(read(f"{WORKING}accounts: {{a: {{api_key: k}}}}\nroutes: [{{carriers: [t]}}]")), [])


class ClusterTests(ChecksTestCase):
    DATABASE = "database: postgresql://relay@127.0.0.1/relay"

    def test_a_database_makes_a_cluster(self) -> None:
        self.assert_fine(f"cluster: {{{self.DATABASE}, node: a, lease_seconds: 2}}")

    def test_other_keys_without_a_database_are_refused(self) -> None:
        self.assert_problem("cluster: {node: a}", "cluster.database", "missing")

    def test_a_wrong_url_is_refused(self) -> None:
        self.assert_problem("cluster: {database: 'postgresql://relay:x@db/relay'}", "cluster.database", "password")

    def test_what_only_a_journal_on_the_disk_has_is_refused(self) -> None:
        self.assert_problem(f"cluster: {{{self.DATABASE}}}\njournal: {{sync: never}}", "journal.sync")
        self.assert_problem(f"cluster: {{{self.DATABASE}}}\nhistory: {{days: 3, numbers: hashed}}", "history.numbers")

    def test_a_node_may_have_any_printable_name(self) -> None:
        self.assert_problem(f'cluster: {{{self.DATABASE}, node: " a"}}', "cluster.node", "space")


class QuotaTests(ChecksTestCase):
    def test_prepaid_and_its_keys_need_prices_that_exist(self) -> None:
        tables = 'prices: {retail: {currency: EUR, by_prefix: {"": 0.05}}}\n'
        money = "prepaid: true, refund: [REJECTD], low_balance: 10.50"
        self.assert_fine(tables + f"accounts: {{a: {{prices: retail, {money}}}}}")
        self.assert_problem(tables + "accounts: {a: {prices: retial}}", "accounts.a.prices", "'retial'", "retail")
        for text, key, said in (
            ("prepaid: true", "prepaid", "without prices"),
            ("refund: [REJECTD]", "refund", "without prices"),
            ("prices: retail, low_balance: 10", "low_balance", "without prepaid"),
            ("prices: retail, prepaid: true, low_balance: ten", "low_balance", "'ten'"),
        ):
            self.assert_problem(tables + f"accounts: {{a: {{{text}}}}}", f"accounts.a.{key}", said)

    def test_a_quota_s_time_zone_must_exist(self) -> None:
        self.assert_fine("accounts: {a: {quota: {daily: 5, monthly: 100, time_zone: Europe/London}}}")
        text = "accounts: {a: {quota: {daily: 5, time_zone: Mars/Olympus}}}"
        self.assert_problem(text, "accounts.a.quota.time_zone", "'Mars/Olympus'", "Europe/London")


class TracingTests(ChecksTestCase):
    ENDPOINT = "tracing: {endpoint: 'http://127.0.0.1:4318/v1/traces', "

    def test_keys_without_an_endpoint_are_a_mistake(self) -> None:
        self.assert_problem("tracing: {sample_ratio: 1}", "tracing.endpoint", "missing")

    def test_an_endpoint_must_be_a_url_without_a_password(self) -> None:
        self.assert_problem("tracing: {endpoint: 127.0.0.1:4318}", "tracing.endpoint", "http")
        self.assert_problem("tracing: {endpoint: 'http://a:b@127.0.0.1/'}", "tracing.endpoint", "tracing.headers")

    def test_a_share_is_from_none_to_all(self) -> None:
        self.assert_problem(self.ENDPOINT + "sample_ratio: 1.5}", "tracing.sample_ratio", "1")

    def test_accounts_that_are_followed_must_be_there(self) -> None:
        text = self.ENDPOINT + "follow_accounts: [acme]}\n"
        self.assert_problem(text, r"tracing.follow_accounts\[0\]", "'acme'")
        self.assert_fine(text + "accounts: {acme: {}}")

    def test_headers_must_be_headers(self) -> None:
        self.assert_problem(self.ENDPOINT + "headers: {'a b': x}}", "tracing.headers.a b", "header")
        self.assert_problem(self.ENDPOINT + "headers: {X-Key: ' x'}}", "tracing.headers.X-Key", "ASCII")
        self.assert_fine(self.ENDPOINT + "headers: {X-Key: x}}")
