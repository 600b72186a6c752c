"""Short examples at the end of etc/relay.yaml: what routes, accounts and carriers can do, in at most three lines each.

They stand there as comments. A test takes the comment signs away and reads each of them as a configuration.
"""

from typing import Final

import msgspec


class Recipe(msgspec.Struct, frozen=True):
    """One example.

    :ivar title: what it does, in one line.
    :ivar page: where it is described.
    :ivar lines: the YAML, at most three lines.
    """

    title: str
    page: str
    lines: tuple[str, ...]


RECIPES: Final = (
    Recipe(
        "Routes by sender, hours and number; shares by weight; a third carrier if both are slow.",
        "docs/carriers.md",
        (
            "routes:",
            '  - {sender: numeric, hours: "Mon-Fri 08:00-20:00 Europe/London", carriers: [tier1]}',
            '  - {prefix: "44", carriers: [{tier1: 70, tier2: 30}, other-relay], spill_over_seconds: 5}',
        ),
    ),
    Recipe(
        "Another carrier after a failure, or after five minutes without a receipt.",
        "docs/carriers.md",
        (
            "routes:",
            '  - {prefix: "44", carriers: [tier1, tier2], failover: {on: [UNDELIV], no_receipt_seconds: 300}}',
        ),
    ),
    Recipe(
        "The senders that an account may use, and a sender of the route's own.",
        "docs/carriers.md",
        (
            'accounts: {acme: {api_key: "${ACME_API_KEY}", senders: {allow: [ACME, "4477009*"], default: ACME}}}',
            "routes:",
            '  - {prefix: "49", carriers: [tier1], replace_sender: "60400"}',
        ),
    ),
    Recipe(
        "Lists of numbers, and a service of yours that decides about each message.",
        "docs/decision-service.md",
        (
            "lists: {blocked: {file: blocked.txt, on_match: refuse}, ported: {file: ported.csv, tag_column: network}}",
            'decisions: {url: "http://127.0.0.1:8900/decide", timeout_seconds: 1, on_failure: refuse}',
            "routes: [{tag: north, carriers: [tier2]}, {carriers: [tier1]}]",
        ),
    ),
    Recipe(
        "Messages from handsets: to an account's URL, by number and first word.",
        "docs/carriers.md",
        (
            'accounts: {acme: {api_key: "${ACME_API_KEY}", inbound_url: "https://acme.example.com/inbound"}}',
            "carriers:",
            '  sim: {kind: simulator, inbound: [{to: "12345", keyword: "STOP*", account: acme}]}',
        ),
    ),
    Recipe(
        "A carrier that speaks an HTTP API of its own.",
        "docs/http-carriers.md",
        (
            "carriers:",
            '  twilio: {kind: api, system_id: AC123, password: "${TWILIO_TOKEN}",',
            '    api: {preset: twilio, public_url: "https://relay.example.org"}}',
        ),
    ),
    Recipe(
        "Notifications of each step: taken by a carrier, on its way, and the final state.",
        "docs/http-api.md",
        (
            'accounts: {acme: {api_key: "${ACME_API_KEY}", notify: progress,',
            '    notification_url: "https://acme.example.com/sms/notifications"}}',
        ),
    ),
    Recipe(
        "A quota, and a price for each message, paid in advance.",
        "docs/charging.md",
        (
            'prices: {retail: {currency: EUR, by_prefix: {"": 0.09, "44": 0.035}}}',
            'accounts: {acme: {api_key: "${ACME_API_KEY}", quota: {daily: 10000, time_zone: Europe/London},',
            "    prices: retail, prepaid: true}}",
        ),
    ),
    Recipe(
        "A carrier that delivers too little is tried last, until it delivers again.",
        "docs/carriers.md",
        (
            "routes:",
            '  - {prefix: "44", carriers: [tier1, tier2], quality: {delivered_share: 0.7, messages: 200}}',
        ),
    ),
)
