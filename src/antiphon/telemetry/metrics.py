"""What the server counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from antiphon.wire.events import Usage

_LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """One registry per server. A label's child is looked up once and kept."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("antiphon_requests", "Answered requests", ["route", "status"], registry=self.registry)
        self._tokens = Counter(
            "antiphon_tokens", "Tokens of finished calls", ["model", "direction"], registry=self.registry
        )
        self._seconds = Histogram(
            "antiphon_request_seconds",
            "From a request's head to its last byte",
            ["route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._by_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._by_model: dict[str, tuple[Counter, Counter]] = {}

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """`route` is "" for an unknown path; `status` is 0 where nothing was answered."""
        children = self._by_route.get((route, status))
        if children is None:
            name = route or "unknown"
            children = (self._requests.labels(name, str(status or "none")), self._seconds.labels(name))
            self._by_route[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def count_tokens(self, model: str, usage: Usage) -> None:
        children = self._by_model.get(model)
        if children is None:
            children = (self._tokens.labels(model, "input"), self._tokens.labels(model, "output"))
            self._by_model[model] = children
        children[0].inc(usage.input_tokens)
        children[1].inc(usage.output_tokens)

    def watch_open_calls(self, count: Callable[[], int]) -> None:
        gauge = Gauge("antiphon_open_calls", "Calls being answered", registry=self.registry)
        gauge.set_function(count)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
