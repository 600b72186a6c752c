"""What a reload changes, in words that give no secret away."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.config.account_config import Account, AccountSmpp
from relay.config.carrier_config import Carrier
from relay.config.changes import Change, Names, changed_names, changes, taken_up
from relay.config.daemon_config import Journal, Logs
from relay.config.listener_config import AdminListener
from relay.config.model import Config
from relay.config.route_config import Route
from relay.values.secret import Secret


def account(password: str = "secret08", **more: Any) -> Account:
    return Account(api_key=Secret("key"), smpp=AccountSmpp(system_id="acme", password=Secret(password)), **more)


OLD = Config(
    accounts={"acme": account(), "quiet": Account()},
    carriers={"tier1": Carrier(connect="tcp:a:1"), "tier2": Carrier(connect="tcp:b:1")},
    routes=[Route(carriers=["tier1"])],
)


def changed(**tables: Any) -> Config:
    import msgspec

    return msgspec.structs.replace(OLD, **tables)


class ChangesTests(SynchronousTestCase):
    def test_the_same_file_read_again_changes_nothing(self) -> None:
        again = changed(accounts={"acme": account(), "quiet": Account()})
        self.assertEqual([], changes(OLD, again))

    def test_a_changed_value_is_shown_with_both_its_values(self) -> None:
        new = changed(carriers=OLD.carriers | {"tier1": Carrier(connect="tcp:c:1", window=200)})
        self.assertEqual(
            [
                Change("carriers.tier1.connect", "'tcp:a:1' -> 'tcp:c:1'", True),
                Change("carriers.tier1.window", "100 -> 200", True),
            ],
            changes(OLD, new),
        )

    def test_changed_secrets_are_reported_but_not_shown(self) -> None:
        new = changed(accounts={"acme": account("other123"), "quiet": Account(api_key=Secret("fresh"))})
        found = changes(OLD, new)
        self.assertEqual(
            [Change("accounts.acme.smpp.password", "changed", True), Change("accounts.quiet.api_key", "added", True)],
            found,
        )
        self.assertNotIn("other123", repr(found))

    def test_headers_and_tokens_for_receivers_are_reported_but_not_shown(self) -> None:
        old = changed(accounts={"acme": Account(notification_headers={"X-Key": Secret("hidden1")})})
        acme = Account(
            notification_headers={"X-Key": Secret("hidden2"), "X-More": Secret("hidden3")},
            notification_token=Secret("hidden4"),
        )
        found = changes(old, changed(accounts={"acme": acme}))
        self.assertEqual(
            [
                Change("accounts.acme.notification_headers.X-Key", "changed", True),
                Change("accounts.acme.notification_headers.X-More", "added", True),
                Change("accounts.acme.notification_token", "added", True),
            ],
            found,
        )
        self.assertNotIn("hidden", repr(found))

    def test_entries_are_added_and_removed_by_name(self) -> None:
        new = changed(carriers={"tier2": OLD.carriers["tier2"], "tier3": Carrier(connect="tcp:c:1")})
        self.assertEqual(
            [Change("carriers.tier3", "added", True), Change("carriers.tier1", "removed", True)], changes(OLD, new)
        )
        self.assertEqual(Names(["tier3"], ["tier1"], []), changed_names(OLD.carriers, new.carriers))

    def test_routes_change_as_a_whole(self) -> None:
        self.assertEqual([Change("routes", "changed", True)], changes(OLD, changed(routes=[Route(carriers=["tier2"])])))

    def test_changes_that_need_a_restart_are_reported_and_not_applied(self) -> None:
        new = changed(data_dir="elsewhere", journal=Journal(sync="never"), validity_seconds=60.0)
        self.assertEqual(
            [
                Change("data_dir", "'var/relay' -> 'elsewhere'", False),
                Change("validity_seconds", "172800.0 -> 60.0", True),
                Change("journal.sync", "'always' -> 'never'", False),
            ],
            changes(OLD, new),
        )
        result = taken_up(OLD, new)
        self.assertEqual(("var/relay", "always", 60.0), (result.data_dir, result.journal.sync, result.validity_seconds))

    def test_after_a_reload_only_what_needs_a_restart_still_differs(self) -> None:
        new = changed(
            accounts={"acme": account("other123")},
            carriers={"tier2": Carrier(connect="tcp:x:1")},
            routes=[Route(carriers=["tier2"])],
            logs=Logs(format="json", log_numbers=True, message_records="records"),
            admin=AdminListener(listen=["tcp:1"], password=Secret("x")),
        )
        left = changes(taken_up(OLD, new), new)
        self.assertEqual({"logs.message_records", "admin.listen"}, {change.key for change in left})
        self.assertFalse(any(change.live for change in left))
