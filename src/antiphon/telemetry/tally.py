"""Counters and histograms on the path of a request: plain arithmetic, which the library reads when somebody looks.

prometheus_client's own take a lock and several calls for each observation. These are for one thread.
"""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from antiphon.telemetry.names import Metric


class Count:
    """A counter with its labels: add to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Spread:
    """A histogram with its labels."""

    __slots__ = ("_bounds", "nums", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.nums = [0] * (len(bounds) + 1)
        """Observations in each bucket by itself; the last one has no bound."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.nums[bisect_left(self._bounds, value)] += 1
        self.total += value


class Counts(Collector):
    """All counters of one metric, by their labels."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def of(self, *labels: str) -> Count:
        return self._known.setdefault(labels, Count())

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for labels, count in self._known.items():
            family.add_metric(labels, count.value)
        yield family


class Spreads(Collector):
    """All histograms of one metric, by their labels."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], Spread] = {}
        self._bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
        registry.register(self)

    def of(self, *labels: str) -> Spread:
        return self._known.setdefault(labels, Spread(self._metric.buckets))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for labels, spread in self._known.items():
            buckets = list(zip(self._bounds, map(float, accumulate(spread.nums)), strict=True))
            family.add_metric(labels, buckets, spread.total)
        yield family
