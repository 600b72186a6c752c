"""Message ids: UUIDs inside and outside."""

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.ids import id_of_key, id_text, new_ids, parse_id


class IdTests(SynchronousTestCase):
    def test_fresh_ids_are_random_uuids_and_differ(self) -> None:
        ids = new_ids(500, random.Random(1).randbytes)
        self.assertEqual(len(set(ids)), 500)
        for message_id in ids:
            self.assertEqual(
                (uuid.UUID(bytes=message_id).version, uuid.UUID(bytes=message_id).variant), (4, uuid.RFC_4122)
            )

    @given(st.binary(min_size=16, max_size=16))
    def test_the_text_is_the_uuid_s_and_reads_back(self, raw: bytes) -> None:
        self.assertEqual(id_text(raw), str(uuid.UUID(bytes=raw)))
        self.assertEqual(parse_id(id_text(raw).upper()), raw)

    @given(st.text(max_size=40))
    def test_a_text_that_is_no_message_id_gives_none_and_no_error(self, text: str) -> None:
        parsed = parse_id(text)
        if parsed is not None:
            self.assertEqual(id_text(parsed), text.lower())

    @given(st.tuples(st.text(max_size=8), st.text(max_size=8)), st.tuples(st.text(max_size=8), st.text(max_size=8)))
    def test_a_key_of_an_account_always_gives_the_same_id_and_never_a_fresh_one(
        self, one: tuple[str, str], other: tuple[str, str]
    ) -> None:
        self.assertEqual(id_of_key(*one) == id_of_key(*other), one == other)
        read = uuid.UUID(bytes=id_of_key(*one))
        self.assertEqual((read.version, read.variant), (8, uuid.RFC_4122))

    def test_a_keys_id_is_the_same_in_every_version_of_the_relay(self) -> None:
        self.assertEqual(id_text(id_of_key("acme", "order-7/1")), "b709cf07-0830-8fc9-87bd-fcedce1a61cb")
