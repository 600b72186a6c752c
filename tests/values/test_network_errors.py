"""The optional parameter network_error_code, in words."""

from twisted.trial.unittest import SynchronousTestCase

from relay.values.network_errors import error_in_receipts, error_number, network_error_text


class NetworkErrorTests(SynchronousTestCase):
    def test_type_and_number_are_readable(self) -> None:
        for code, text in (
            (b"", b""),
            (b"\0\0\0", b""),
            (b"\3\0\0", b""),
            (b"\3\0\x15", b"GSM 21"),
            (b"\3\4\1", b"GSM 1025"),
            (b"\1\0\5", b"ANSI-136 5"),
            (b"\2\0\5", b"IS-95 5"),
            (b"\x08\0\5", b"SMSC 5"),
            (b"\x09\0\5", b"network 9 error 5"),
            (b"021", b"021"),
            (b"\3\x15", b"0315"),
            (b"\3\0\x15\0", b"03001500"),
        ):
            self.assertEqual(network_error_text(code), text, code)

    def test_the_number_of_an_error_is_found_in_its_words(self) -> None:
        for text, number in (
            ("", 0), ("000", 0), ("034", 34), ("GSM 21", 21), ("GSM 1025", 1025), ("ANSI-136 5", 5), ("SMSC 255", 255),
            ("network 9 error 5", 5), ("03001500", 3001500), ("ERR 21", 0), ("rejected", 0), ("GSM", 0), ("²", 0),
        ):  # fmt: skip
            self.assertEqual(error_number(text), number, text)
        for code in (b"\3\0\x15", b"\1\0\x15", b"\x63\0\x15"):
            self.assertEqual(error_number(network_error_text(code).decode()), 21)

    def test_in_a_receipt_s_text_only_the_number_stands(self) -> None:
        self.assertEqual(error_in_receipts(b"GSM 21", b"\3\0\x15"), b"021")
        self.assertEqual(error_in_receipts(b"11", b"\3\0\x15"), b"11")
        self.assertEqual(error_in_receipts(b"", b""), b"")
