"""The states of a carrier's link."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.link_state import NEXT, LinkEvent, LinkState, LinkStateMachine

S, E = LinkState, LinkEvent


class LinkStateTests(SynchronousTestCase):
    def after(self, *events: LinkEvent) -> LinkStateMachine:
        machine = LinkStateMachine()
        for event in events:
            machine.on(event)
        return machine

    def test_every_state_has_a_row(self) -> None:
        self.assertEqual(set(NEXT), set(LinkState))

    def test_it_is_up_while_a_session_takes_messages(self) -> None:
        self.assertFalse(self.after(E.STARTED).up)
        self.assertTrue(self.after(E.STARTED, E.BOUND).up)
        self.assertTrue(self.after(E.STARTED, E.BOUND, E.BOUND).up)
        self.assertIs(self.after(E.STARTED, E.BOUND, E.LAST_LOST).state, S.BINDING)

    def test_a_held_link_stays_held_while_sessions_come_and_go(self) -> None:
        self.assertIs(self.after(E.HELD, E.STARTED, E.BOUND, E.LAST_LOST, E.BOUND).state, S.HELD)

    def test_a_resumed_link_is_up_once_a_bound_session_is_named(self) -> None:
        self.assertIs(self.after(E.STARTED, E.BOUND, E.HELD, E.RESUMED).state, S.BINDING)
        self.assertTrue(self.after(E.STARTED, E.BOUND, E.HELD, E.RESUMED, E.BOUND).up)

    def test_resuming_a_link_that_is_not_held_changes_nothing(self) -> None:
        self.assertTrue(self.after(E.STARTED, E.BOUND, E.RESUMED).up)

    def test_the_hold_of_a_retired_link_is_known_to_the_link_that_takes_over(self) -> None:
        self.assertTrue(self.after(E.STARTED, E.HELD, E.RETIRED, E.STOPPED).held)

    @given(st.lists(st.sampled_from(LinkEvent), max_size=6), st.lists(st.sampled_from(LinkEvent), max_size=6))
    def test_a_retired_or_stopped_link_never_sends_again(self, before: list[LinkEvent], after: list[LinkEvent]) -> None:
        machine = self.after(*before, E.RETIRED, *after)
        self.assertTrue(machine.over)
        self.assertFalse(machine.up)
