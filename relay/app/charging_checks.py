"""Checks of accounts' quotas and prices that go beyond the type of each value."""

from collections.abc import Iterator

from relay.config.model import Config
from relay.config.time_zones import time_zone
from relay.config.yaml_reader import Path, did_you_mean
from relay.values.amounts import amount_of


def check_charging(config: Config) -> Iterator[tuple[Path, str]]:
    """Finds problems of quotas and prices."""
    for name, account in config.accounts.items():
        path: Path = ("accounts", name)
        try:
            time_zone(account.quota.time_zone)
        except ValueError as problem:
            yield (*path, "quota", "time_zone"), str(problem)
        if account.prices and account.prices not in config.prices:
            hint = did_you_mean(account.prices, list(config.prices))
            yield (*path, "prices"), f"there is no table {account.prices!r} in prices{hint}"
        for key in ("prepaid", "refund"):
            if getattr(account, key) and not account.prices:
                yield (*path, key), "has no effect without prices: name a table, or leave it out"
        if amount_of(account.low_balance) and not account.prepaid:
            yield (*path, "low_balance"), "has no effect without prepaid: true"
    for name, table in config.prices.items():
        for prefix in table.by_prefix:
            if not (prefix.isascii() and (prefix.isdigit() or not prefix)):
                yield (
                    ("prices", name, "by_prefix", prefix),
                    "expected the digits with which numbers begin, without a plus",
                )
        if not table.by_prefix:
            yield ("prices", name, "by_prefix"), "must not be empty: every message would be refused"
