"""docs/http-carriers.md: its table is that of the presets, and its examples work as they stand."""

import hashlib
import hmac
import json
import re
from urllib.parse import parse_qs

from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.api_adapter import PLACEHOLDERS, ApiAdapter
from relay.carriers.api_presets import API_PRESETS
from relay.carriers.api_receipts import ApiReceiptReader, ReceiptRequest
from relay.text.passthrough import RawPart
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_ROK, ESME_RSUBMITFAIL, ESME_RTHROTTLED
from relay.values.states import DELIVERED
from tests.app.test_load_config import problems, read
from tests.documented import ROOT

PAGE = (ROOT / "docs" / "http-carriers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
#: The carrier without a preset.
[OWN_API] = [example for example in EXAMPLES if "preset" not in example]


class PageTests(SynchronousTestCase):
    def test_the_table_is_that_of_the_presets(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.M)
        self.assertEqual(rows[1:], [(name, p.title, p.about, p.source) for name, p in API_PRESETS.items()])

    def test_every_placeholder_is_explained(self) -> None:
        [paragraph] = re.findall(r"^\* \*\*Placeholders\*\*(.*?)^\* ", PAGE, re.M | re.S)
        self.assertEqual(set(re.findall(r"`\{(\w+)\}`", paragraph)), set(PLACEHOLDERS))

    def test_the_examples_are_whole_carriers_without_problems(self) -> None:
        self.assertEqual(len(EXAMPLES), 3)
        for example in EXAMPLES:
            self.assertEqual(problems(example), [])
        self.assertLessEqual(len(OWN_API.splitlines()), 20)

    def test_the_carrier_without_a_preset_is_spoken_to_as_its_lines_say(self) -> None:
        settings = read(OWN_API).carriers["acme-sms"]
        adapter = ApiAdapter("acme-sms", settings)
        request = adapter.request(RawPart("+447700900123", "ACME", "a & b", 0, b"", b""), "id/0", 600.0)
        assert request is not None and request.body is not None
        self.assertEqual(request.url, "https://api.acme-sms.example/v1/send?user=our-name")
        self.assertEqual(request.headers[b"X-Api-Key"], [b"our key"])
        self.assertEqual(
            {name: value for name, [value] in parse_qs(request.body.decode()).items()},
            {
                "dest": "447700900123",
                "origin": "ACME",
                "message": "a & b",
                "ttl": "10",
                "dlr": "https://relay.example.org/carriers/acme-sms/receipts",
            },
        )
        for status, code, expected in (
            (200, "0", (ESME_ROK, b"r-1")),
            (200, "17", (ESME_RTHROTTLED, b"")),
            (200, "23", (ESME_RINVDSTADR, b"")),
            (409, "", (ESME_RSUBMITFAIL, b"")),
        ):
            answer = {"result": [{"reference": "r-1", "code": code}]}
            self.assertEqual(adapter.answer(status, json.dumps(answer).encode()), expected)
        reader = ApiReceiptReader("acme-sms", settings)
        body = b'{"reference": "r-1", "outcome": "handed_over", "reason": "0"}'
        signature = hmac.new(b"the secret that signs receipts", body, hashlib.sha256).hexdigest()
        asked = ReceiptRequest("", {"X-Signature": signature}.get, "application/json", body)  # type: ignore[arg-type]
        reader.check(asked, 0.0)
        [receipt] = reader.read(asked, 0.0)
        self.assertEqual((receipt.keys, receipt.state, receipt.final), ((b"r-1",), DELIVERED, True))


class CheckTests(SynchronousTestCase):
    """What `relay check` says of such carriers."""

    def assert_problem(self, api: str, key: str, more: str = "signing_secret: t") -> None:
        text = f'carriers: {{a: {{kind: api, connect: "https://a.example", {more}, api: {{{api}}}}}}}'
        found = problems(text)
        self.assertEqual(len(found), 1, found)
        self.assertRegex(found[0], rf"^x\.yaml:\d+: carriers\.a\.{key}: ")

    def test_what_can_not_work_is_named(self) -> None:
        url = 'public_url: "https://r.example"'
        self.assert_problem("preset: json", r"api\.public_url")
        self.assert_problem(url, "signing_secret", "system_id: x")
        self.assert_problem(f"{url}, preset: telnyx", "signing_secret")
        self.assert_problem(f'{url}, body: "{{nobody}}"', r"api\.body")
        self.assert_problem(f"{url}, errors: {{5: NO}}", r"api\.errors\.5")
        self.assert_problem(f"{url}, receipts: {{verify: hmac-sha256}}", r"api\.receipts\.signature_header")
        self.assert_problem(f'{url}, headers: {{"a b": c}}', "api")
        self.assert_problem(url, "query_sm", "signing_secret: t, query_sm: true")
