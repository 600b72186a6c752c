"""Example values of etc/relay.yaml for keys whose defaults would show nothing: names, addresses, secrets.

They stand under their place in the file. Tables without an example are shown whole, with their defaults.
"""

from typing import Final

import msgspec


class Example(msgspec.Struct, frozen=True):
    """One table of the sample.

    :ivar values: as they are written in YAML; other keys have their defaults.
    :ivar only: the keys that are shown; if empty, all of them.
    :ivar remark: a comment above the table.
    """

    values: dict[str, str] = {}
    only: frozenset[str] = frozenset()
    remark: str = ""


EXAMPLES: Final[dict[tuple[str, ...], Example]] = {
    ("admin", "users", "alice"): Example(
        {
            "password": '"$scrypt$ln=15,r=8,p=1$kly7PUQMNXADU8UAsW6rRw$nbH5lYVk4CzBxCjUH3DbfAel6+5+nQolta/GnsIleA8"',
            "role": "configure",
        },
        remark="Replace the hash, or leave `users` out: nobody knows the password of this one.",
    ),
    ("accounts", "acme"): Example(
        {
            "api_key": "${ACME_API_KEY}",
            "notification_url": "https://acme.example.com/sms/notifications",
            "notification_fallback_url": "https://backup.acme.example.com/sms/notifications",
            "notification_secret": "{file: /etc/relay/acme.webhook-secret}",
            "inbound_url": "https://acme.example.com/sms/inbound",
        },
        remark="The name is the user of HTTP Basic authentication.",
    ),
    ("accounts", "acme", "smpp"): Example(
        {"system_id": "acme", "password": "${ACME_SMPP_PASSWORD}", "allow_from": '[192.0.2.0/24, "2001:db8::/32"]'}
    ),
    ("accounts", "acme", "smpp_logins", "billing"): Example(
        {
            "system_id": "acme-billing",
            "password": "${ACME_BILLING_PASSWORD}",
            "old_password": "{file: /etc/relay/acme-billing.old-password}",
            "old_password_until": '"2026-12-24T12:00:00Z"',
        },
    ),
    ("carriers", "tier1"): Example(
        {
            "connect": '"tls:smpp.tier1.example.net:3550"',
            "password": "{file: /etc/relay/tier1.password}",
            "interface_version": "0x34",
            "dialect": "{}  # as tier2 below",
            "api": "{}  # as vonage below",
            "simulator": "{}  # as sim below",
        },
        remark="An ordinary carrier, with every key.",
    ),
    ("carriers", "tier1", "inbound", "0"): Example(
        {"to": '"12345"', "keyword": '"STOP*"', "account": "acme", "over": "http"},
        remark="opt-outs",
    ),
    ("carriers", "tier2"): Example(
        {"connect": '"tcp:smpp.tier2.example.net:2775"', "password": "{file: /etc/relay/tier2.password}"},
        only=frozenset({"connect", "password", "dialect"}),
        remark="This one writes ids in hexadecimal in responses and in decimal in receipts. See docs/carriers.md.",
    ),
    ("carriers", "tier2", "dialect"): Example({"states": "{FAILED: UNDELIV}"}),
    ("carriers", "tier2", "dialect", "response_id"): Example({"base": "hex"}),
    ("carriers", "tier2", "dialect", "receipt_id"): Example({"base": "decimal"}),
    ("carriers", "tier2", "dialect", "tlv_id"): Example({"base": "hex"}),
    ("carriers", "other-relay"): Example(
        {
            "kind": "http",
            "connect": '"https://relay.example.net"',
            "password": "${OTHER_RELAY_API_KEY}",
            "signing_secret": "{file: /etc/relay/other-relay.webhook-secret}",
        },
        only=frozenset({"kind", "connect", "password", "signing_secret"}),
        remark="Another relay's HTTP API.",
    ),
    ("carriers", "vonage"): Example(
        {
            "kind": "api",
            "system_id": "abcd1234",
            "password": "{file: /etc/relay/vonage.secret}",
            "signing_secret": "{file: /etc/relay/vonage.token}",
        },
        only=frozenset({"kind", "system_id", "password", "signing_secret", "api"}),
        remark="A carrier's own HTTP API. See docs/http-carriers.md.",
    ),
    ("carriers", "vonage", "api"): Example({"preset": "vonage", "public_url": '"https://relay.example.org"'}),
    ("carriers", "sim"): Example(
        {"kind": "simulator"},
        only=frozenset({"kind", "simulator"}),
        remark="A carrier inside the relay, for tests. Its messages reach nobody.",
    ),
    ("prices", "retail"): Example({"currency": "EUR", "by_prefix": '{"": 0.09, "44": 0.035, "4470": 0.05}'}),
    ("lists", "blocked"): Example(
        {"file": "/etc/relay/blocked.txt", "on_match": "refuse"},
        only=frozenset({"file", "on_match"}),
        remark="Numbers that get no messages.",
    ),
    ("lists", "ported"): Example(
        {"file": "/etc/relay/ported.csv", "tag_column": "network"},
        only=frozenset({"file", "tag_column"}),
        remark="The network of each ported number, for a route's `tag`.",
    ),
    ("routes", "0"): Example(
        {"prefix": '"44"', "carriers": "[tier1, tier2]", "spill_over_seconds": "10"}, remark="United Kingdom"
    ),
    ("routes", "1"): Example(
        {
            "account": "acme",
            "sender": '"ACME*"',
            "tag": "north",
            "hours": '"Mon-Fri 08:00-20:00 Europe/London"',
            "carriers": "[{tier1: 70, tier2: 30}, other-relay]",
        },
        remark="shared out by weight",
    ),
    ("routes", "2"): Example(
        {"prefix": '"999"', "carriers": "[sim]", "replace_sender": "TEST"}, remark="numbers for tests"
    ),
    ("routes", "3"): Example(
        {
            "prefix": '"33"',
            "carriers": "[tier1, tier2]",
            "failover": '{on: [UNDELIV], errors: ["027"], no_receipt_seconds: 300, times: 1}',
        },
        remark="to tier2 if tier1 can't deliver",
    ),
    ("routes", "4"): Example(
        {
            "prefix": '"34"',
            "carriers": "[tier1, tier2]",
            "quality": "{delivered_share: 0.7, messages: 200, window_seconds: 3600, back_at_share: 0.8, trickle: 0.05}",
        },
        remark="tier1 last while it delivers too little",
    ),
    ("routes", "5"): Example({"carriers": "[tier2, other-relay]"}, remark="everything else"),
}
