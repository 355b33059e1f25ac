"""What the server counts, for Prometheus."""

import platform
from collections.abc import Callable, Iterable
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from antiphon import __version__
from antiphon.core.clock import Clock
from antiphon.core.errors import Kind
from antiphon.telemetry import names
from antiphon.telemetry.names import Metric
from antiphon.telemetry.tally import Count, Counts, Spread, Spreads
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
        self.registry = CollectorRegistry()
        self._requests = Counts(names.REQUESTS, self.registry)
        self._request_seconds = Spreads(names.REQUEST_SECONDS, self.registry)
        errors = Counts(names.ERRORS, self.registry)
        self._errors = {kind: errors.of(kind.name.lower()) for kind in Kind}
        self._tokens = Counts(names.TOKENS, self.registry)
        self._cache_lost = Counts(names.CACHE_LOST, self.registry)
        self._first_token = Spreads(names.FIRST_TOKEN_SECONDS, self.registry)
        self._next_token = Spreads(names.NEXT_TOKEN_SECONDS, self.registry)
        self._limits_hit = Counts(names.LIMITS_HIT, self.registry)
        self._batch_items = Counts(names.BATCH_ITEMS, self.registry)
        self._watched = _Watched()
        self.registry.register(self._watched)
        ProcessCollector(registry=self.registry)
        build = Gauge(names.BUILD_INFO.name, names.BUILD_INFO.help, names.BUILD_INFO.labels, registry=self.registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._by_route: dict[tuple[str, int], tuple[Count, Spread]] = {}
        self._by_model: dict[str, _ModelChildren] = {}

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """`route` is "" for an unknown path; `status` is 0 where nothing was answered."""
        children = self._by_route.get((route, status))
        if children is None:
            name = route or "unknown"
            children = (self._requests.of(name, str(status or "none")), self._request_seconds.of(name))
            self._by_route[route, status] = children
        children[0].value += 1
        children[1].observe(seconds)

    def count_error(self, kind: Kind) -> None:
        self._errors[kind].value += 1

    def count_limit(self, party: str, limit: str) -> None:
        """A 429: `party` is whose limit it was (`organization`, `workspace`, `key`), `limit` its unit in words."""
        self._limits_hit.of(party, limit.replace(" ", "_")).value += 1

    def count_tokens(self, model: str, usage: Usage) -> None:
        """`model` is a model's label, never a name as a client has written it."""
        children = self._children(model)
        children.input.value += usage.input_tokens
        children.output.value += usage.output_tokens
        if usage.cache_read:
            children.cache_read.value += usage.cache_read
        if num_written := usage.cache_creation_5m + usage.cache_creation_1h:
            children.cache_creation.value += num_written

    def count_lost(self, model: str, num_tokens: int) -> None:
        """Tokens that a call was to read from the cache, and that were not there any more."""
        if num_tokens:
            self._cache_lost.of(model).value += num_tokens

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
            self._batch_items.of(outcome).value += num_items

    def _children(self, model: str) -> "_ModelChildren":
        children = self._by_model.get(model)
        if children is None:
            children = _ModelChildren(
                self._tokens.of(model, "input"),
                self._tokens.of(model, "output"),
                self._tokens.of(model, "cache_read"),
                self._tokens.of(model, "cache_creation"),
                self._first_token.of(model),
                self._next_token.of(model),
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

    input: Count
    output: Count
    cache_read: Count
    cache_creation: Count
    first_token: Spread
    next_token: Spread


class _Watched(Collector):
    def __init__(self) -> None:
        self.reads: dict[Metric, Callable[[], float]] = {}

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        for metric, read in self.reads.items():
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            yield family(metric.name, metric.help, value=read())
