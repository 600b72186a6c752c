"""Notification URLs: which are taken, and which addresses they may lead to."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.urls import UrlProblem, WebUrl, address_problem, check_url, origin_and_path, parse_any_url, parse_url


class ParseTests(SynchronousTestCase):
    def test_a_url_is_taken_apart_for_its_request(self) -> None:
        url = parse_url("https://user:p%40ss@Example.com:8443/a/b?x=1&y=%20#frag")
        self.assertEqual((url.secure, url.host, url.port), (True, "example.com", 8443))
        self.assertEqual((url.authority, url.target), (b"example.com:8443", b"/a/b?x=1&y=%20"))
        self.assertEqual(url.authorization, b"Basic dXNlcjpwQHNz")
        self.assertEqual(url.plain, b"https://example.com:8443/a/b?x=1&y=%20")

    def test_urls_that_differ_in_their_query_only_lead_to_one_place(self) -> None:
        for url in ("https://me:pw@Example.com:8443/a/b?x=1", "HTTPS://example.com:8443/a/b?x=ü#f"):
            self.assertEqual(origin_and_path(url), ("https://example.com:8443", "https://example.com:8443/a/b"), url)
        self.assertRaises(UrlProblem, origin_and_path, "ftp://example.com/")

    def test_names_beyond_ascii_are_written_as_dns_wants_them(self) -> None:
        url = parse_url("http://bücher.example/grüße?q=ü")
        self.assertEqual(url.authority, b"xn--bcher-kva.example")
        self.assertEqual(url.target, b"/gr%C3%BC%C3%9Fe?q=%C3%BC")

    def test_a_name_leads_to_the_host_of_idna_2008_and_to_no_other_owners(self) -> None:
        url = parse_url("https://faß.example/in")
        self.assertEqual((url.host, url.authority), ("xn--fa-hia.example", b"xn--fa-hia.example"))
        self.assertEqual(url.plain, b"https://xn--fa-hia.example/in")

    def test_the_default_port_is_not_named(self) -> None:
        self.assertEqual(parse_url("http://a.example:80").authority, b"a.example")
        self.assertEqual(parse_url("https://a.example:443").authority, b"a.example")
        self.assertEqual(parse_url("http://[2001:DB8::1]:81/").authority, b"[2001:db8::1]:81")

    def test_a_wrong_url_is_refused_with_a_sentence(self) -> None:
        for text in (
            "",
            "example.com",
            "//example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://x",
            "http://",
            "http:///path",
            "http://a b.example/",
            "http://a.example/\r\nX: y",
            "http://a.example/\x00",
            "http://a.example:0/",
            "http://a.example:99999/",
            "http://a.example:x/",
            "http://a..example/",
            "http://" + "a" * 64 + ".example/",
            "http://[::1%25eth0]/",
            "http://[::1",
            "http://[nonsense]/",
            "http://a.example\\@b.example/",
            "http://a,b/",
            "http://☃.example/",
            "http://ü..example/",
            "http://\u00ad/",
            "http://\ud800.example/",
            "http://a.example/" + "x" * 3000,
        ):
            problem = self.assertRaises(UrlProblem, parse_url, text)
            self.assertTrue(str(problem).endswith("."), problem)

    @given(st.text(max_size=60))
    def test_any_text_is_parsed_or_refused(self, text: str) -> None:
        for candidate in (text, "http://" + text, "http://a.example/" + text):
            try:
                url = parse_url(candidate)
            except UrlProblem:
                continue
            line = url.authority + url.target + url.authorization
            self.assertTrue(all(0x20 < octet < 0x7F or octet == 0x20 for octet in line))
            self.assertNotIn(b"\r", line)
            self.assertNotIn(b" ", url.target + url.authority)


class AddressTests(SynchronousTestCase):
    def test_private_addresses_are_refused_however_they_are_written(self) -> None:
        for address in (
            "127.0.0.1",
            "127.255.0.3",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::7f00:1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
            # By that network's own rule 10.0.0.1, whatever stands at the end.
            "64:ff9b:1:a00:0:100:808:808",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:4136:e378:8000:63bf:f5ff:fffe",
            "3fff::1",
            "5f00::1",
            "100::1",
            "4000::1",
            "not an address",
        ):
            self.assertIsNotNone(address_problem(address), address)

    def test_public_addresses_pass(self) -> None:
        for address in ("8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"):
            self.assertIsNone(address_problem(address), address)

    @given(st.integers(0, 2**32 - 1).map(IPv4Address))
    def test_an_embedded_address_is_judged_as_the_address_itself(self, address: IPv4Address) -> None:
        plain = address_problem(str(address)) is None
        for prefix in (0xFFFF << 32, 0x64FF9B << 96):
            self.assertEqual(address_problem(str(IPv6Address(prefix | int(address)))) is None, plain)

    def test_a_host_written_as_an_address_is_checked_when_it_is_set(self) -> None:
        for url in ("http://127.0.0.1/", "http://[::ffff:a00:1]/", "http://localhost/", "http://x.localhost/"):
            self.assertRaises(UrlProblem, check_url, url, allow_private=False)
            self.assertEqual(check_url(url, allow_private=True).target, b"/")
        self.assertEqual(check_url("http://a.example/", allow_private=False).host, "a.example")

    def test_an_address_in_a_form_that_only_resolvers_know_is_refused(self) -> None:
        for host in ("127.1", "2130706433", "0x7f000001", "0x7f.1", "a.0x7f", "0177.0.0.1", "0", "1.2.3.4.5", "a.123"):
            self.assertRaises(UrlProblem, parse_url, f"http://{host}/")
        self.assertEqual(parse_url("http://192.0.2.1./").host, "192.0.2.1")
        self.assertEqual(parse_url("http://1and1.example/").host, "1and1.example")

    def test_a_dot_at_the_end_of_the_host_changes_nothing(self) -> None:
        for host in ("localhost.", "x.LOCALHOST.", "127.0.0.1."):
            self.assertRaises(UrlProblem, check_url, f"http://{host}/", allow_private=False)


pieces = st.sampled_from(
    ["http://", "https://", "a.example", "user:pw@", "%41", "%", "/", "//", "?", "#", ":8080", ":0", ":x", "[::1]", "é",
     " ", "..", ";a=1", "{x}", "|", "ß.example", "+", "@", "&b=%2F", "\\", "10.0.0.1", "A.EXAMPLE", "~", "^",
     "`", '"', "<"]
)  # fmt: skip


class BothWays(SynchronousTestCase):
    @given(
        st.lists(pieces, max_size=8).map("".join), st.sampled_from(["", "http://host", "https://u:p@Host.example:81"])
    )
    def test_the_short_way_for_ordinary_urls_reads_what_the_long_way_reads(self, end: str, beginning: str) -> None:
        def outcome(text: str, parse: Callable[[str], WebUrl]) -> WebUrl | str:
            try:
                return parse(text)
            except UrlProblem as problem:
                return str(problem)

        text = beginning + end
        long_way = outcome(text, parse_any_url)
        self.assertEqual(outcome(text, parse_url), long_way)
        if isinstance(long_way, WebUrl):
            path = long_way.origin + long_way.target.partition(b"?")[0].decode()
            self.assertEqual(origin_and_path(text), (long_way.origin, path))
