"""Host names in ASCII, by IDNA 2008."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.host_names import ascii_host


class AsciiHostTests(SynchronousTestCase):
    def test_names_are_written_by_idna_2008(self) -> None:
        for name, written in (
            ("faß.example", "xn--fa-hia.example"),
            ("FAẞ.example", "xn--fa-hia.example"),
            ("βόλος.example", "xn--nxasmm1c.example"),
            ("نامه\u200cای.example", "xn--mgba3gch31f060k.example"),
            ("BÜCHER.Example", "xn--bcher-kva.example"),
            ("bu\u0308cher.example", "xn--bcher-kva.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("a.bücher.my_zone.example.", "a.xn--bcher-kva.my_zone.example."),
            ("ｌｏｃａｌｈｏｓｔ", "localhost"),
            ("１２７．０．０．１", "127.0.0.1"),
        ):
            self.assertEqual(ascii_host(name), written, name)

    def test_names_in_ascii_and_addresses_stay_as_they_are(self) -> None:
        for name in (
            "smpp.example.net",
            "Host.Example",
            "my_host",
            "10.0.0.1",
            "2001:db8::1",
            "xn--fa-hia.example",
            "",
        ):
            self.assertEqual(ascii_host(name), name)

    def test_a_name_that_no_host_may_have_is_refused(self) -> None:
        for name in ("☃.example", "a\u200cb.example", "\u0301a.example", "ü" * 60 + ".example", "-ü.example", "\ud800"):
            self.assertRaises(ValueError, ascii_host, name)

    @given(st.text(max_size=30))
    def test_every_name_is_written_in_ascii_or_refused(self, name: str) -> None:
        try:
            written = ascii_host(name)
        except ValueError:
            return
        self.assertTrue(written.isascii())
        self.assertEqual(ascii_host(written), written)
