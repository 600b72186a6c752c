"""Routes that ask for a tag that nothing gives."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.app.tag_checks import unknown_tags
from relay.config.model import Config
from relay.config.route_config import Decisions, Route
from relay.routing.number_lists import NamedList, NumberList, NumberLists

LISTS = NumberLists(
    [
        NamedList("vip", NumberList(["4477009001"]), False),
        NamedList(
            "ported", NumberList(["number,network", "4477009001,northern", "4477009002,south"], "network"), False
        ),
        NamedList("blocked", NumberList(["99"]), True),
    ]
)
LETTERS = st.text("abcdefgh", min_size=6, max_size=12)


class UnknownTagTests(SynchronousTestCase):
    def notes(self, *tags: str, url: str = "", lists: NumberLists | None = LISTS) -> list[str]:
        routes = [Route(carriers=["t"]), *(Route(tag=tag, carriers=["t"]) for tag in tags)]
        return unknown_tags(Config(routes=routes, decisions=Decisions(url=url)), lists)

    def test_tags_that_lists_give_are_known(self) -> None:
        self.assertEqual([], self.notes("vip", "northern", "south", "ported"))

    def test_a_tag_that_no_line_gives_is_named_with_the_nearest_one(self) -> None:
        self.assertEqual(
            self.notes("south", "nothren", "gold", "blocked"),
            [
                "routes[2].tag: no line of the lists gives the tag 'nothren' now; did you mean 'northern'?",
                "routes[3].tag: no line of the lists gives the tag 'gold' now",
                "routes[4].tag: no line of the lists gives the tag 'blocked' now",
            ],
        )

    def test_a_decision_service_may_give_any_tag_but_hardly_one_that_is_nearly_a_list_s(self) -> None:
        self.assertEqual([], self.notes("gold", "north", url="http://127.0.0.1/"))
        [note] = self.notes("gold", "nothern", url="http://127.0.0.1/")
        self.assertEqual(
            "routes[2].tag: no list gives the tag 'nothern', but one gives 'northern'; if the decision service doesn't "
            "give it, it is misspelt",
            note,
        )
        self.assertEqual([], self.notes("gold", url="http://127.0.0.1/", lists=None))

    def test_short_words_are_other_words_when_two_letters_differ(self) -> None:
        self.assertEqual([], self.notes("north", "ripe", url="http://127.0.0.1/"))
        self.assertEqual(2, len(self.notes("soth", "vp", url="http://127.0.0.1/")))

    @given(LETTERS, st.data())
    def test_a_word_with_a_letter_too_many_too_few_or_another_or_two_exchanged_is_found(
        self, word: str, data: st.DataObject
    ) -> None:
        at = data.draw(st.integers(0, len(word) - 2))
        letter = data.draw(st.sampled_from("abcdefgh"))
        wrong = data.draw(
            st.sampled_from(
                [
                    word[:at] + letter + word[at:],
                    word[:at] + word[at + 1 :],
                    word[:at] + letter + word[at + 1 :],
                    word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                ]
            )
        )
        lists = NumberLists([NamedList(word, NumberList(["44"]), False)])
        notes = self.notes(wrong, url="http://127.0.0.1/", lists=lists)
        self.assertEqual([] if wrong == word else [True], [repr(word) in note for note in notes])
