"""What the server counts, for Prometheus."""

import platform
from collections.abc import Callable, Iterable
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from antiphon import __version__
from antiphon.core.clock import Clock
from antiphon.core.errors import Kind
from antiphon.telemetry import names
from antiphon.telemetry.names import Metric
from antiphon.wire.events import Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Timing:
    """When a call of a model began, and when its first token was there."""

    __slots__ = ("_clock", "began_at", "first_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.began_at = clock.monotonic()
        self.first_at: float | None = None

    def note_output(self) -> None:
        """To be told of each burst: the first one counts."""
        if self.first_at is None:
            self.first_at = self._clock.monotonic()

    def since_first_s(self) -> float:
        return 0.0 if self.first_at is None else self._clock.monotonic() - self.first_at


class Metrics:
    """One registry per server. What happens is counted here; what a part of the server knows of itself is read from
    it when somebody asks (`watch`), and costs nothing until then. A label's child is looked up once and kept.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # a second series beside each counter, of which nobody asks
        self.registry = CollectorRegistry()
        self._requests = _counter(names.REQUESTS, self.registry)
        self._request_seconds = _histogram(names.REQUEST_SECONDS, self.registry)
        errors = _counter(names.ERRORS, self.registry)
        self._errors = {kind: errors.labels(kind.name.lower()) for kind in Kind}
        self._tokens = _counter(names.TOKENS, self.registry)
        self._cache_lost = _counter(names.CACHE_LOST, self.registry)
        self._first_token = _histogram(names.FIRST_TOKEN_SECONDS, self.registry)
        self._next_token = _histogram(names.NEXT_TOKEN_SECONDS, self.registry)
        self._limits_hit = _counter(names.LIMITS_HIT, self.registry)
        self._batch_items = _counter(names.BATCH_ITEMS, self.registry)
        self._watched = _Watched()
        self.registry.register(self._watched)
        ProcessCollector(registry=self.registry)
        build = Gauge(names.BUILD_INFO.name, names.BUILD_INFO.help, names.BUILD_INFO.labels, registry=self.registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._by_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._by_model: dict[str, _ModelChildren] = {}

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """`route` is "" for an unknown path; `status` is 0 where nothing was answered."""
        children = self._by_route.get((route, status))
        if children is None:
            name = route or "unknown"
            children = (self._requests.labels(name, str(status or "none")), self._request_seconds.labels(name))
            self._by_route[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def count_error(self, kind: Kind) -> None:
        self._errors[kind].inc()

    def count_limit(self, party: str, limit: str) -> None:
        """A 429: `party` is whose limit it was (`organization`, `workspace`, `key`), `limit` its unit in words."""
        self._limits_hit.labels(party, limit.replace(" ", "_")).inc()

    def count_tokens(self, model: str, usage: Usage) -> None:
        """`model` is a model's label, never a name as a client has written it."""
        children = self._children(model)
        children.input.inc(usage.input_tokens)
        children.output.inc(usage.output_tokens)
        if usage.cache_read:
            children.cache_read.inc(usage.cache_read)
        if num_written := usage.cache_creation_5m + usage.cache_creation_1h:
            children.cache_creation.inc(num_written)

    def count_lost(self, model: str, num_tokens: int) -> None:
        """Tokens that a call was to read from the cache, and that were not there any more."""
        if num_tokens:
            self._cache_lost.labels(model).inc(num_tokens)

    def count_pace(self, model: str, timing: Timing, num_output: int) -> None:
        """How fast a streamed reply came. One that has ended before its first token is left out."""
        if timing.first_at is None:
            return
        children = self._children(model)
        children.first_token.observe(timing.first_at - timing.began_at)
        if num_output > 1:
            children.next_token.observe(timing.since_first_s() / (num_output - 1))

    def count_batch_items(self, outcome: str, num_items: int) -> None:
        """Requests of batches that have come to an end: `outcome` is the type of their results."""
        if num_items:
            self._batch_items.labels(outcome).inc(num_items)

    def _children(self, model: str) -> "_ModelChildren":
        children = self._by_model.get(model)
        if children is None:
            children = _ModelChildren(
                self._tokens.labels(model, "input"),
                self._tokens.labels(model, "output"),
                self._tokens.labels(model, "cache_read"),
                self._tokens.labels(model, "cache_creation"),
                self._first_token.labels(model),
                self._next_token.labels(model),
            )
            self._by_model[model] = children
        return children

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Ask `read` for the value of `metric`, a gauge or a counter without labels, whenever somebody looks."""
        self._watched.reads[metric] = read

    def render(self) -> bytes:
        """The text format of Prometheus, as CONTENT_TYPE says."""
        return generate_latest(self.registry)


class _ModelChildren(NamedTuple):
    """The counters of one model, bound to its labels."""

    input: Counter
    output: Counter
    cache_read: Counter
    cache_creation: Counter
    first_token: Histogram
    next_token: Histogram


class _Watched(Collector):
    def __init__(self) -> None:
        self.reads: dict[Metric, Callable[[], float]] = {}

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        for metric, read in self.reads.items():
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            yield family(metric.name, metric.help, value=read())


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry)
