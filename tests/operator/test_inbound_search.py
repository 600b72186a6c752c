"""Messages from handsets for the operator: found over all accounts, page by page, and never with a text."""

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred

from relay.history.query_text import QueryProblem
from relay.operator.inbound_search import FoundInbound, InboundSearch
from relay.values.inbound import INBOUND, InboundMessage
from relay.values.inbound_lists import Delivery, InboundListed, InboundWanted
from relay.values.message_view import AttemptView
from tests.history.test_record_line import view
from tests.operator.operated import ADDRESSES
from tests.operator.test_operator_site import SiteTestCase


def listed(cursor: int, account: str = "acme", delivery: Delivery = "delivered", **more: Any) -> InboundListed:
    """A message from a handset."""
    message = InboundMessage(
        bytes([cursor]) * 16, account, "tier1", 1000.0 + cursor, ADDRESSES, 0, b"a secret text", cursor=cursor, **more
    )
    shown = msgspec.structs.replace(
        view(), id=message.id, account=account, addresses=ADDRESSES, interface=INBOUND, inbound=message,
        owed=["webhook"] if delivery == "waiting" else [],
        attempts=[AttemptView("webhook", 3, 1000.0, "500 Internal Server Error", 0.1, "RECEIVED")],
    )  # fmt: skip
    return InboundListed(shown, delivery)


class SearchTests(SiteTestCase):
    def found(self, **asked: str) -> Deferred[FoundInbound]:
        search = InboundSearch(self.daemon.store, lambda: self.daemon.config.accounts, self.daemon.clock.seconds)
        return ensureDeferred(search.find(asked))

    def search(self, **asked: str) -> FoundInbound:
        return self.successResultOf(self.found(**asked))

    def test_messages_of_all_accounts_come_newest_first_and_page_by_page(self) -> None:
        accounts = {7: "acme", 6: "quiet", 5: "acme", 4: "quiet", 3: "acme"}
        self.daemon.store.inbound = [listed(cursor, account) for cursor, account in accounts.items()]
        pages, before = [], ""
        for _ in range(3):
            found = self.search(limit="2", **({"before": before} if before else {}))
            pages.append([int(message.received_at) - 1000 for message in found.messages])
            before = str(found.next or "")
        self.assertEqual(([[7, 6], [5, 4], [3]], ""), (pages, before))

    def test_what_is_asked_for_goes_to_the_store(self) -> None:
        self.search(account="quiet", carrier="tier1", number="+447700", delivery="failed", before="9")
        self.assertEqual([InboundWanted("tier1", "447700", "failed", 9)], self.daemon.store.wanted)

    def test_wrong_parameters_are_named(self) -> None:
        for name, value in (("delivery", "lost"), ("before", "x"), ("limit", "501"), ("limit", "0"), ("text", "hello")):
            problem = self.failureResultOf(self.found(**{name: value}), QueryProblem).value
            self.assertEqual(name, problem.parameter)

    def test_a_search_that_takes_too_long_says_so(self) -> None:
        self.daemon.store.inbound = [listed(1)]
        search = InboundSearch(self.daemon.store, lambda: ["acme", "quiet"], iter([0.0, 0.5, 1.5]).__next__)
        found = self.successResultOf(ensureDeferred(search.find({})))
        self.assertEqual((1, False), (len(found.messages), found.complete))


class PageTests(SiteTestCase):
    def test_the_page_shows_who_got_what_and_no_text(self) -> None:
        self.daemon.store.inbound = [
            listed(3, delivery="waiting"),
            listed(2, delivery="failed", parts=3, missing=(2,)),
            listed(1, account="quiet"),
        ]
        shown = self.shown("/page/inbound")
        for said in (
            "waiting by webhook",
            "failed",
            "3, without 2",
            "500 Internal Server Error",
            "447700900123",
            "quiet",
        ):
            self.assertIn(said, shown)
        self.assertNotIn("secret", self.reply("GET", "/page/inbound").body.decode())
        answer = self.reply("GET", "/inbound").body
        self.assertNotIn(b"secret", answer)
        found = msgspec.json.decode(answer)
        self.assertEqual(["waiting", "failed", "delivered"], [each["delivery"] for each in found["messages"]])
        self.assertEqual(("RELAY", "447700900123"), (found["messages"][0]["from"], found["messages"][0]["to"]))

    def test_the_overview_leads_to_it(self) -> None:
        self.daemon.handset_messages.counts["received"] = 1234
        self.assertIn('href="/page/inbound" class="tile', self.reply("GET", "/").body.decode())
        self.assertIn("From handsets 1,234 messages since the start", self.shown("/"))

    def test_older_ones_are_on_the_next_page(self) -> None:
        self.daemon.store.inbound = [listed(cursor) for cursor in range(100, 0, -1)]
        page = self.reply("GET", "/page/inbound?account=acme").body.decode()
        self.assertIn('href="/page/inbound?account=acme&amp;before=51"', page)
        self.assertNotIn("Older messages", self.shown("/page/inbound?account=acme&before=51"))

    def test_a_wrong_parameter_is_said_on_the_page(self) -> None:
        self.assertIn("'delivery' must be waiting, delivered, failed", self.shown("/page/inbound?delivery=lost", 422))
        self.assertEqual(422, self.reply("GET", "/inbound?delivery=lost").status)
