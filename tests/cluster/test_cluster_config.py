"""Which node has an older configuration file."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.cluster.cluster_config import NO_FILE, FileGeneration, config_digest, judge
from tests.app.test_load_config import read

FILE = "accounts: {acme: {api_key: secret-1}}\n"


class DigestTests(SynchronousTestCase):
    def test_what_differs_from_node_to_node_does_not_count(self) -> None:
        other = FILE + "data_dir: /elsewhere\ncluster: {node: b}\nhttp: {listen: []}\n"
        other = other.replace("cluster: {node: b}", "cluster: {node: b, database: postgresql://r@localhost/r}")
        same = FILE + "cluster: {node: a, database: postgresql://r@localhost/r}\n"
        self.assertEqual(config_digest(read(same)), config_digest(read(other)))

    def test_every_other_change_counts_also_that_of_a_secret(self) -> None:
        digests = {
            config_digest(read(text))
            for text in (FILE, FILE.replace("secret-1", "secret-2"), FILE + "validity_seconds: 60\n")
        }
        self.assertEqual(len(digests), 3)


class JudgeTests(SynchronousTestCase):
    def test_the_first_file_of_a_cluster_is_the_latest(self) -> None:
        verdict = judge(b"1", NO_FILE, NO_FILE)
        self.assertEqual((verdict.file, verdict.is_new, verdict.older), (FileGeneration(1, b"1"), True, False))

    def test_the_second_node_with_the_same_file_has_the_latest_too(self) -> None:
        latest = FileGeneration(1, b"1")
        verdict = judge(b"1", latest, NO_FILE)
        self.assertEqual((verdict.file, verdict.is_new, verdict.older), (latest, False, False))

    def test_a_file_that_was_changed_since_the_node_looked_is_new(self) -> None:
        verdict = judge(b"2", FileGeneration(1, b"1"), FileGeneration(1, b"1"))
        self.assertEqual((verdict.file, verdict.is_new), (FileGeneration(2, b"2"), True))

    def test_a_file_that_stayed_while_another_node_got_a_new_one_is_older(self) -> None:
        verdict = judge(b"1", FileGeneration(2, b"2"), FileGeneration(1, b"1"))
        self.assertEqual((verdict.is_new, verdict.older), (False, True))

    def test_a_new_node_with_another_file_is_older_until_somebody_accepts_its_file(self) -> None:
        latest = FileGeneration(2, b"2")
        self.assertTrue(judge(b"?", latest, NO_FILE).older)
        accepted = judge(b"?", latest, NO_FILE, accepted=True)
        self.assertEqual((accepted.file, accepted.is_new), (FileGeneration(3, b"?"), True))

    def test_an_earlier_file_may_come_back_on_purpose(self) -> None:
        verdict = judge(b"1", FileGeneration(2, b"2"), FileGeneration(2, b"2"))
        self.assertEqual((verdict.file, verdict.older), (FileGeneration(3, b"1"), False))

    @given(st.binary(min_size=1), st.integers(0, 9), st.binary(min_size=1), st.integers(0, 9), st.binary(min_size=1))
    def test_no_file_is_new_and_older_at_once(
        self, digest: bytes, latest: int, latest_digest: bytes, before: int, before_digest: bytes
    ) -> None:
        verdict = judge(digest, FileGeneration(latest, latest_digest), FileGeneration(before, before_digest))
        self.assertFalse(verdict.is_new and verdict.older)
        if verdict.is_new:
            self.assertEqual(verdict.file.number, latest + 1)
