"""Checks of accounts' quotas that go beyond the type of each value."""

from collections.abc import Iterator

from relay.config.model import Config
from relay.config.time_zones import time_zone
from relay.config.yaml_reader import Path


def check_charging(config: Config) -> Iterator[tuple[Path, str]]:
    """Finds problems of accounts' quotas."""
    for name, account in config.accounts.items():
        try:
            time_zone(account.quota.time_zone)
        except ValueError as problem:
            yield ("accounts", name, "quota", "time_zone"), str(problem)
