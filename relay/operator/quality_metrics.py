"""The metrics of the quality of carriers.

The values of the labels come from the configuration and from the list of country codes, and `limits.quality_groups`
bounds the number of groups.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from relay.quality.quality_watch import QualityWatch
from relay.values.ended_counts import DELIVERED, FAILED, FIRST_CLASS, TOOK_SECONDS, UNANSWERED

_RESULTS = (("delivered", DELIVERED), ("failed", FAILED), ("unanswered", UNANSWERED))
_BOUNDS = (*map(repr, TOOK_SECONDS), "+Inf")


def quality_metrics(watch: QualityWatch) -> Iterator[Metric]:
    """Makes the metrics. The counts outlive a restart, but start again for a group without a message for a week."""
    groups = watch.quality.groups
    ended = CounterMetricFamily(
        "relay_quality_messages",
        "Ended messages that a carrier took: delivered, failed, or unanswered (no receipt came). `country` is the "
        "country code of the number.",
        labels=("carrier", "country", "account", "result"),
    )
    took: dict[tuple[str, str], list[int]] = {}
    for group, counts in groups.items():
        for result, index in _RESULTS:
            ended.add_metric((group.carrier, group.country, group.account, result), counts[index])
        classes = took.setdefault((group.carrier, group.country), [0] * len(_BOUNDS))
        for index, count in enumerate(counts[FIRST_CLASS:]):
            classes[index] += count
    yield ended
    times = HistogramMetricFamily(
        "relay_quality_receipt_seconds",
        "Time from the moment when a carrier took a message to the receipt that said it was delivered.",
        labels=("carrier", "country"),
    )
    for (carrier, country), classes in took.items():
        seen = 0
        labels = {"carrier": carrier, "country": country}
        for bound, count in zip(_BOUNDS, classes, strict=True):
            seen += count
            times.add_sample("relay_quality_receipt_seconds_bucket", {**labels, "le": bound}, seen)
        times.add_sample("relay_quality_receipt_seconds_count", labels, seen)
    yield times
    yield GaugeMetricFamily(
        "relay_quality_groups",
        "Groups of carrier, country code and account that are counted; limits.quality_groups bounds them.",
        value=len(groups),
    )
    avoided = GaugeMetricFamily(
        "relay_quality_avoided", "1 while a route avoids a carrier (`quality`).", labels=("carrier", "route")
    )
    for each in watch.avoided:
        avoided.add_metric((each.carrier, each.route), 1)
    yield avoided
