"""Hashes of passwords in the configuration."""

import hashlib
from base64 import b64encode

from twisted.trial.unittest import SynchronousTestCase

from relay.config.password_hash import SALT_BYTES, hash_password, is_password_hash, password_matches

SALT = bytes(range(SALT_BYTES))


class PasswordHashTests(SynchronousTestCase):
    def test_only_the_right_password_matches(self) -> None:
        hashed = hash_password("pässword", SALT)
        self.assertTrue(password_matches("pässword", hashed))
        self.assertFalse(password_matches("password", hashed))
        self.assertNotIn("ssword", hashed)

    def test_another_salt_makes_another_hash(self) -> None:
        self.assertNotEqual(hash_password("x", SALT), hash_password("x", SALT[::-1]))

    def test_a_hash_of_another_program_with_its_own_cost_matches(self) -> None:
        # Made with Python's hashlib: n=2**14, r=8, p=2.
        octets = hashlib.scrypt(b"x", salt=SALT, n=1 << 14, r=8, p=2, dklen=32)
        salt, digest = (b64encode(part).decode().rstrip("=") for part in (SALT, octets))
        self.assertTrue(password_matches("x", f"$scrypt$ln=14,r=8,p=2${salt}${digest}"))

    def test_what_is_no_hash_or_would_cost_too_much_matches_nothing(self) -> None:
        hashed = hash_password("x", SALT)
        for text in ("", "x", hashed[1:], hashed + "=", hashed.replace("ln=15", "ln=30"), hashed.replace("r=8", "r=9")):
            self.assertFalse(is_password_hash(text), text)
            self.assertFalse(password_matches("x", text), text)
        self.assertTrue(is_password_hash(hashed))
