"""The history has what messages cost, and whether that was given back."""

from relay.history.export import head, lines
from relay.values.charge import Charge
from relay.values.messages import Ending
from relay.values.states import REJECTED
from tests.history.test_message_lists import ListsCase
from tests.stores import NOW, message_id, receipt, submitted

PAID = Charge(35_000, "EUR", prepaid=True, refunds=1 << REJECTED)


class PriceTests(ListsCase):
    def test_prices_and_refunds_are_found_in_the_history_as_in_memory(self) -> None:
        self.accept(1)
        self.accept(2, 3, charge=PAID)
        self.done(self.store.submitted([submitted(n, b"k%d" % n) for n in (1, 2, 3)]))
        self.done(self.store.receipts([receipt(b"k1"), receipt(b"k2")]))
        self.done(self.store.end([Ending(message_id(3), REJECTED, NOW + 9)]))
        self.catch_up()
        views = [self.done(self.lists(history=True).look_up(message_id(n), "plain")) for n in (1, 2, 3)]
        self.assertEqual([view.cost and view.cost.price_text for view in views], [None, "0.035", "0.035"])
        self.assertEqual([view.refunded for view in views], [False, False, True])
        for message in (2, 3):
            # As if memory had forgotten it.
            table = self.store.table
            table.shards[message_id(message)[0]].pop(message_id(message))
        old = [self.done(self.lists(history=True).look_up(message_id(n), "plain")) for n in (2, 3)]
        self.assertEqual(
            [(view.cost and view.cost.price_text, view.refunded) for view in old], [("0.035", False), ("0.035", True)]
        )
        rows = (head("csv") + lines("csv", views)).decode().splitlines()
        self.assertTrue(rows[0].endswith(",price,currency,refunded"))
        self.assertEqual(
            [row.rsplit(",", 3)[1:] for row in rows[1:]],
            [["", "", ""], ["0.035", "EUR", "False"], ["0.035", "EUR", "True"]],
        )
