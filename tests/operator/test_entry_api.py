"""The admin API's calls: who may make them, and how HTTP becomes a change."""

import json
import re
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import MainFile
from relay.config.changes import Change
from relay.config.config_entries import Part, Table
from relay.config.listener_config import AdminListener, AdminUser
from relay.config.model import Config
from relay.config.yaml_writer import yaml_of
from relay.operator.actions import OperatorActions
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import AdminRequest, Reply
from relay.operator.entry_api import EntryApi
from relay.operator.entry_openapi import EXAMPLES, openapi_document
from relay.operator.entry_requests import (
    Entry,
    EntryChange,
    EntryChanged,
    EntryPage,
    EntryRefused,
    KeyRefused,
    Record,
)
from relay.operator.metrics import Metrics
from relay.operator.operator_logins import Operator
from relay.operator.overview import Observer
from relay.values.secret import Secret
from tests.operator.operated import OperatedDaemon

ENTRY = Entry("beta", {"rate": 5.0}, "/d/conf.d/accounts/beta.yaml", 1, changeable=True, applied=True, version="2f-1")
ALICE = Operator("alice", "configure")


class FakeEditor:
    """Takes every change, unless the test says otherwise."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refuses: EntryRefused | None = None
        self.created = False

    async def entries(self, table: Table, after: str, limit: int) -> EntryPage:
        self.asked.append((table, after, limit))
        return EntryPage([ENTRY], "beta")

    async def entry(self, table: Table, name: str) -> Entry:
        if self.refuses is not None:
            raise self.refuses
        return ENTRY

    async def change(self, table: Table, name: str, wanted: EntryChange, record: Record) -> EntryChanged:
        if self.refuses is not None:
            raise self.refuses
        self.asked.append((table, name, wanted))
        await record(f"change {table}.{name}")
        deleted = wanted.kind == "delete"
        change = Change(f"{table}.{name}", "changed", live=True)
        return EntryChanged(self.created, None if deleted else ENTRY, [change])


class EntryApiTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.configure(api=True)

    def configure(self, *, api: bool) -> None:
        users = {"alice": AdminUser(password=Secret("x"), role="configure")}
        self.daemon = OperatedDaemon(Config(admin=AdminListener(api=api, users=users)))
        self.daemon.editor = self.editor = FakeEditor()
        actions = OperatorActions(self.daemon, self.daemon.clock)
        metrics = Metrics(self.daemon, self.daemon.clock.seconds)
        observer = Observer(self.daemon, self.daemon.clock)
        self.pages = AdminPages(self.daemon, metrics, observer, actions).pages()  # type: ignore[arg-type]

    def ask(self, method: str, path: str, body: Any = None, *, user: Operator = ALICE, raw: bytes | None = None,
            headers: dict[str, str] | None = None, **query: str) -> tuple[int, Any, dict[str, str]]:  # fmt: skip
        elements = ["configuration", *path.split("/")]
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        request = AdminRequest(method, elements, query, data, "192.0.2.1", {}, user, headers or {})
        reply = self.pages["GET" if method == "HEAD" else method, "configuration"](request)
        if not isinstance(reply, Reply):
            reply = self.successResultOf(ensureDeferred(reply))  # type: ignore[arg-type]
        assert isinstance(reply, Reply)
        return reply.status, json.loads(reply.body), dict(reply.headers)


class CallsTests(EntryApiTestCase):
    def test_an_entry_comes_with_its_etag(self) -> None:
        for method in ("GET", "HEAD"):
            status, answer, headers = self.ask(method, "accounts/beta", user=Operator("carol", "view"))
            self.assertEqual((200, "beta", {"ETag": '"2f-1"'}), (status, answer["name"], headers))

    def test_a_list_comes_in_pages(self) -> None:
        status, answer, _ = self.ask("GET", "routes")
        self.assertEqual((200, "beta"), (status, answer["next"]))
        self.ask("GET", "routes", after="beta", limit="500")
        self.assertEqual([("routes", "", 100), ("routes", "beta", 500)], self.editor.asked)
        for limit in ("0", "501", "x", "-1", "9" * 30, "٣"):
            self.assertEqual(422, self.ask("GET", "routes", limit=limit)[0], limit)

    def test_put_patch_and_delete_are_changes(self) -> None:
        match = {"If-Match": '"2f-1"'}
        self.assertEqual(200, self.ask("PUT", "accounts/beta", {"rate": 5}, headers=match)[0])
        self.assertEqual(200, self.ask("PATCH", "accounts/beta", {"rate": None}, headers=match)[0])
        status, answer, headers = self.ask("DELETE", "accounts/beta", headers=match)
        self.assertEqual((200, None, {}), (status, answer["entry"], headers))
        versions = frozenset({"2f-1"})
        self.assertEqual(
            [
                ("accounts", "beta", EntryChange("put", {"rate": 5}, versions)),
                ("accounts", "beta", EntryChange("patch", {"rate": None}, versions)),
                ("accounts", "beta", EntryChange("delete", None, versions)),
            ],
            self.editor.asked,
        )

    def test_a_new_entry_is_told_as_created(self) -> None:
        self.editor.created = True
        status, answer, headers = self.ask("PUT", "accounts/beta", {}, headers={"If-None-Match": "*"})
        self.assertEqual((201, True, '"2f-1"'), (status, answer["created"], headers["ETag"]))
        self.assertEqual([("accounts", "beta", EntryChange("put", {}, None, must_be_new=True))], self.editor.asked)

    def test_if_match_is_a_list_of_etags_of_which_weak_ones_never_match(self) -> None:
        for header, versions in (('"a", "b"', {"a", "b"}), ("*", {"*"}), ('W/"a", "b"', {"b"}), ('W/"a"', set())):
            self.ask("DELETE", "accounts/beta", headers={"If-Match": header})
            self.assertEqual(frozenset(versions), self.editor.asked.pop()[2].if_match)

    def test_a_record_names_the_person_and_the_reason(self) -> None:
        self.ask("PUT", "accounts/beta", {}, reason="contract 7")
        [record] = self.successResultOf(ensureDeferred(self.actions_audit()))
        self.assertEqual(("change accounts.beta", "contract 7", "alice", "192.0.2.1"),
                         (record.what, record.reason, record.user, record.peer))  # fmt: skip

    async def actions_audit(self) -> Any:
        return await OperatorActions(self.daemon, self.daemon.clock).audit()


class RefusedTests(EntryApiTestCase):
    def test_problems_are_told_by_key(self) -> None:
        self.editor.refuses = EntryRefused(
            "the configuration would be wrong", 422, [KeyRefused("accounts.b.rate", "x")]
        )
        status, answer, _ = self.ask("PUT", "accounts/b", {})
        self.assertEqual(
            (
                422,
                {"error": "the configuration would be wrong", "problems": [{"key": "accounts.b.rate", "problem": "x"}]},
            ),
            (status, answer),
        )

    def test_what_can_not_be_read_is_refused(self) -> None:
        deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
        for raw in (b"", b"{", b"\xff", b'{"a": "\\ud800"}', deep):
            self.assertEqual(400, self.ask("PUT", "accounts/beta", raw=raw)[0], raw[:20])
        for headers in ({"If-Match": "2f-1"}, {"If-Match": ""}, {"If-None-Match": '"2f-1"'}):
            self.assertEqual(400, self.ask("PUT", "accounts/beta", {}, headers=headers)[0], headers)
        self.assertEqual([], self.editor.asked)

    def test_the_shared_user_changes_nothing(self) -> None:
        status, answer, _ = self.ask("PUT", "accounts/beta", {}, user=Operator("operator"))
        self.assertEqual(403, status)
        self.assertIn("log in as one of admin.users", answer["error"])

    def test_if_it_can_not_be_recorded_the_answer_says_so(self) -> None:
        self.daemon.store.unavailable = True
        self.assertEqual((503, "it can't be recorded: disk full"), self.said("PUT", "accounts/beta", {}))

    def test_it_is_off_by_default(self) -> None:
        self.configure(api=False)
        for method, path in (("GET", "accounts"), ("PUT", "accounts/beta"), ("GET", "openapi.json")):
            self.assertEqual((404, "the admin API is off: set admin.api: true in the configuration"),
                             self.said(method, path, {}))  # fmt: skip

    def test_a_relay_without_a_file_has_nothing_to_change(self) -> None:
        self.daemon.editor = None
        self.assertEqual(409, self.said("PUT", "accounts/beta", {})[0])

    def test_other_calls_are_refused_with_those_that_there_are(self) -> None:
        for method, path, status in (
            ("POST", "accounts/beta", 405),
            ("PUT", "accounts", 405),
            ("DELETE", "openapi.json", 405),
            ("GET", "accounts/beta/x", 404),
        ):
            self.assertEqual(status, self.said(method, path, {})[0], (method, path))
        self.assertEqual(404, self.said("PUT", "reload", {})[0])
        self.assertEqual([], self.editor.asked)

    def said(self, method: str, path: str, body: Any) -> tuple[int, str]:
        status, answer, _ = self.ask(method, path, body)
        return status, answer["error"]


class DescriptionTests(EntryApiTestCase):
    def test_it_describes_all_calls(self) -> None:
        status, document, _ = self.ask("GET", "openapi.json")
        self.assertEqual(200, status)
        schemas = document["components"]["schemas"]
        references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
        self.assertLessEqual({"Account", "Carrier", "Route", "Entry", "EntryChanged", "NotDone"}, references)
        self.assertLessEqual(references, schemas.keys())
        self.assertEqual(json.loads(json.dumps(openapi_document(document["info"]["version"]))), document)
        for table in EXAMPLES:
            self.assertEqual(["get"], list(document["paths"][f"/configuration/{table}"]))
            one = document["paths"][f"/configuration/{table}/{{name}}"]
            self.assertEqual({"parameters", "get", "put", "patch", "delete"}, one.keys())

    def test_its_examples_are_right_entries(self) -> None:
        parts = [Part(table, "example", "x", yaml_of(EXAMPLES[table]), "1") for table in ("accounts", "carriers")]
        parts.append(Part("routes", "example", "x", yaml_of(EXAMPLES["routes"] | {"carriers": ["example"]}), "1"))
        main = MainFile("", name="x", environ={}, read_file=str)
        self.assertEqual(3, len(main.with_parts(parts).checked().places.parts()))

    def test_it_says_which_values_are_write_only(self) -> None:
        key = openapi_document("1")["components"]["schemas"]["Account"]["properties"]["api_key"]
        self.assertIn("Write only", str(key))

    def test_paths_of_the_api_are_told_from_those_of_reloads(self) -> None:
        for path, its in (("accounts", True), ("routes", True), ("openapi.json", True), ("check", False),
                          ("reload", False)):  # fmt: skip
            request = AdminRequest("GET", ["configuration", path], {}, b"", "")
            self.assertEqual(its, EntryApi.has(request), path)
        self.assertFalse(EntryApi.has(AdminRequest("GET", ["configuration"], {}, b"", "")))
