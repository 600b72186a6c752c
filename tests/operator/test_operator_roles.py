"""What users of each role get of the operator's pages, over HTTP: only buttons that they may use."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

from twisted.internet.defer import ensureDeferred

from relay.config.changes import Change, ReloadResult
from relay.config.listener_config import AdminListener, AdminUser, Role
from relay.config.password_hash import hash_password
from relay.operator.action_questions import QUESTIONS
from relay.operator.actions import OperatorActions
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import Page
from relay.operator.entry_requests import PartFile
from relay.operator.metrics import Metrics
from relay.operator.operator_logins import Actor, OperatorLogins, role_for
from relay.operator.overview import Observer
from relay.operator.traces import TraceRequest
from relay.smpp.server import SmppServerProtocol
from relay.store.store_values import StoreFigures
from relay.values.carrier_reports import Receipt
from relay.values.messages import Message, Submission
from relay.values.secret import Secret
from relay.values.states import DELIVERED
from relay.webhooks.answer import UrlState
from tests.history.test_record_line import view
from tests.operator.operated import ADDRESSES, OperatedDaemon, configuration
from tests.operator.test_admin_site import AdminSiteTestCase, basic, in_thread
from tests.operator.test_balances import charged
from tests.operator.test_cluster_place import STANDS_BY, Member
from tests.operator.test_operator_site import FakeEditor, FakeReloader

_HASH: Final = Secret(hash_password("right", b"0123456789abcdef"))
_ROLES: Final[tuple[Role, ...]] = ("view", "act", "configure")
_BY: Final = Actor("operator", "192.0.2.1")
_RELOAD: Final = ("configuration", "reload")
_TOP_UP: Final = ("accounts", "top-up")


class Bound(SmppServerProtocol):
    """A session of a customer that is bound, and over which nothing goes."""

    def __init__(self) -> None:
        self.address = "192.0.2.9"


class Shown:
    """What somebody found who followed every link of the operator's pages.

    :ivar asked: the actions whose question was shown, as (kind, action).
    :ivar texts: the page of each path.
    """

    def __init__(self) -> None:
        self.asked: set[tuple[str, str]] = set()
        self.texts: dict[str, str] = {}


def path_of(link: str) -> str:
    """The path of a link, with what it searches for, but without what changes only the figures that are shown."""
    path, _, query = link.replace("&amp;", "&").partition("?")
    asked = {name: value for name, value in parse_qsl(query) if name not in ("since", "until", "after", "span", "by")}
    return path if path == "/page/quality" or not asked else f"{path}?{urlencode(asked)}"


def action_of(path: str) -> tuple[str, str] | None:
    """The action for which a path stands; None: it is a page that only shows something."""
    match path.partition("?")[0].split("/")[1:]:
        case ["page", "configuration", "reload"]:
            return _RELOAD
        case ["page", kind, _, action] if (kind, action) in QUESTIONS:
            return kind, action
    return None


class RoleTests(AdminSiteTestCase):
    """A relay in which there is something to do for each action."""

    def setUp(self) -> None:
        super().setUp()
        self.users |= {role: AdminUser(password=_HASH, role=role) for role in _ROLES}
        settings = AdminListener(users=self.users)
        self.logins = OperatorLogins(lambda: settings, self.limits, in_thread, b"key")
        config = configuration()
        config.carriers["tier3"] = config.carriers["tier2"]
        self.daemon = daemon = OperatedDaemon(config)
        daemon.reloader = reloader = FakeReloader()
        reloader.next = ReloadResult(1000.0, True, [], [Change("accounts.new", "added", True)])
        file = PartFile("carriers", "tier1", "/data/conf.d/carriers/tier1.yaml", "in use", {}, [])
        daemon.editor = FakeEditor(file)
        self.actions = OperatorActions(daemon, daemon.clock)
        metrics, observer = Metrics(daemon, daemon.clock.seconds), Observer(daemon, daemon.clock)
        self.shown = AdminPages(daemon, metrics, observer, self.actions).pages()  # type: ignore[arg-type]

    def pages(self) -> dict[tuple[str, str], Page]:
        return self.shown

    def browse(self, path: str, role: str, method: str = "GET") -> tuple[int, str]:
        """The status and the body of the answer to a browser."""
        form = "Content-Type: application/x-www-form-urlencoded"
        status, _, body = self.ask(f"{method} {path}", basic(role, "right"), form)
        return status, body

    def walk(self, role: str) -> Shown:
        """Follows every link that the pages show to a user, from the overview on."""
        shown = Shown()
        to_see = ["/"]
        while to_see:
            path = to_see.pop()
            if path in shown.texts:
                continue
            status, page = self.browse(path, role)
            self.assertEqual(200, status, f"{role} was shown a link to {path}, which said: {page}")
            shown.texts[path] = page
            action = action_of(path)
            for target in re.findall(r'<form method="post" action="([^"]+)"', page):
                self.assertEqual(path.partition("?")[0], target)
                assert action is not None
                shown.asked.add(action)
                # Without the form's token nothing is done; it is refused after the role.
                self.assertIn("The form came from another site", self.browse(path, role, "POST")[1])
            if action == _TOP_UP:
                # The first page only asks for the amount.
                to_see += [f"{path}?amount=5&key=invoice-7"] if "?" not in path else []
            elif action in QUESTIONS:
                self.assertIn(action, shown.asked, "a link to an action that has no form")
            to_see += [path_of(link) for link in re.findall(r'href="(/(?:page/[^"]*)?)"', page)]
        return shown

    def something_to_do(self) -> None:
        """Brings the relay into a state in which each action can be done somewhere."""
        daemon = self.daemon
        for name in daemon.config.accounts:
            daemon.accounts.apply_setting(name, "notification_url", "http://customer.example/")
        submissions = [Submission(ADDRESSES, (b"body",))] * 2
        daemon.flow.dispatch([m for m in daemon.flow.prepare("acme", submissions) if isinstance(m, Message)])
        charged(daemon)
        daemon.store.views[view().id] = view()
        daemon.store.kept_as_evidence = [Receipt("tier1", (b"1a2b",), DELIVERED, True, 1000.0)]
        daemon.store.shown = StoreFigures(evidence={"tier1": 1})
        daemon.store.out["tier3"] = 7
        daemon.draining_carriers.begin("tier3", daemon.links.pop("tier3"))
        daemon.webhooks.states["quiet"] = UrlState("operator", 0, False, None, 0)
        (login,) = daemon.accounts.smpp_logins("acme").values()
        daemon.sessions.bound.add(Bound(), login, "secret08")
        for doing in (
            self.actions.hold("tier2", "", _BY),
            self.actions.suspend("quiet", "", _BY),
            self.actions.trace("carrier", "tier1", TraceRequest(minutes=5.0), _BY),
        ):
            self.successResultOf(ensureDeferred(doing))

    def test_each_user_is_shown_the_actions_of_the_role_and_each_of_them_can_be_done(self) -> None:
        self.something_to_do()
        everything = {*QUESTIONS, _RELOAD}
        for role, actions in (("view", set()), ("act", everything - {_RELOAD}), ("configure", everything)):
            shown = self.walk(role)
            self.assertEqual(actions, shown.asked, role)

    def test_no_page_has_an_empty_column_or_row_of_buttons_for_who_may_only_look(self) -> None:
        self.something_to_do()
        for path, page in self.walk("view").texts.items():
            self.assertNotRegex(page, r'<th scope="col"><span class="unseen">Actions|class="buttons"></div>', path)
        self.assertIn('<span class="unseen">Actions</span>', self.browse("/page/carriers", "act")[1])

    def test_pages_that_need_another_role_say_which(self) -> None:
        self.something_to_do()
        status, page = self.browse("/page/carriers/tier1/hold", "view")
        self.assertEqual(403, status)
        self.assertIn("View has the role view. This needs the role act in admin.users.", page)
        status, page = self.browse("/page/configuration/reload", "act")
        self.assertEqual(200, status)
        self.assertIn("act has the role act. This needs the role configure in admin.users.", page)
        self.assertIn("accounts.new", page)

    def test_the_foot_of_each_page_says_what_the_user_may_do(self) -> None:
        for role, said in (
            ("view", "You are view. Your role is view: you may look at everything and change nothing."),
            ("act", "You are act. Your role is act: you may do everything but configure."),
            ("configure", "You are configure.<"),
        ):
            self.assertIn(said, self.browse("/page/audit", role)[1])

    def test_a_form_is_refused_to_who_lost_the_role_meanwhile(self) -> None:
        for path, role in (("carriers/tier1/hold", "view"), ("configuration/reload", "act")):
            status, said = self.browse(f"/page/{path}", role, "POST")
            self.assertEqual(403, status)
            self.assertIn(f"{role} has the role {role}.", said)

    def test_only_the_configuration_needs_the_role_configure_whatever_carriers_and_accounts_are_called(self) -> None:
        for path in (["configuration", "reload"], ["configuration", "accounts", "acme"], ["page", "configuration"]):
            self.assertEqual("configure", role_for(path, reads=False), path)
        for path in (["carriers", "configuration", "hold"], ["page", "accounts", "configuration", "suspend"]):
            self.assertEqual("act", role_for(path, reads=False), path)

    def test_a_relay_that_stands_by_shows_no_buttons_because_another_one_works(self) -> None:
        self.something_to_do()
        self.daemon.membership = Member(STANDS_BY)
        self.daemon.not_ready = "standing by"
        self.assertEqual(set(), self.walk("configure").asked)
        status, page = self.browse("/page/carriers/tier1/hold", "configure")
        self.assertEqual(503, status)
        self.assertIn("Another relay of the cluster works. Do it there.", page)
