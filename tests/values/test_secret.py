"""Passwords and keys: they never show their value, and comparing takes constant time."""

import hmac
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.values.secret import Secret


class SecretTests(SynchronousTestCase):
    def test_only_reveal_shows_the_secret(self) -> None:
        secret = Secret("open sesame")
        for told in (repr(secret), str(secret), f"{secret}", "%s" % secret, f"{[secret]}"):  # noqa: UP031
            self.assertNotIn("sesame", told)
        self.assertEqual(secret.reveal(), "open sesame")

    def test_a_secret_matches_only_itself(self) -> None:
        secret = Secret("pässword")
        self.assertTrue(secret.matches("pässword"))
        for other in ("", "pässwor", "pässwordd", "Pässword", "passw\udcffrd"):
            self.assertFalse(secret.matches(other))
        self.assertEqual(secret, Secret("pässword"))
        self.assertNotEqual(secret, Secret("other"))

    def test_every_comparison_takes_the_same_time_wherever_the_first_difference_is(self) -> None:
        # Time can't be measured well enough; that the one function which keeps it is asked, can be seen.
        compare, asked = hmac.compare_digest, []

        def compared(one: Any, other: Any) -> bool:
            asked.append((one, other))
            return compare(one, other)

        self.patch(hmac, "compare_digest", compared)
        Secret("right").matches("wrong")
        self.assertNotEqual(Secret("right"), Secret("light"))
        self.assertEqual(asked, [(b"right", b"wrong"), (b"right", b"light")])
