"""Message ids: UUIDs inside and outside."""

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.core.ids import id_text, new_ids, parse_id


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
    def test_what_is_no_id_of_ours_is_none_and_no_error(self, text: str) -> None:
        parsed = parse_id(text)
        if parsed is not None:
            self.assertEqual(id_text(parsed), text.lower())
