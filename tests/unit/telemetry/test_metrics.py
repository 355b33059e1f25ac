"""The metrics."""

import re

import prometheus_client
import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import Kind
from antiphon.telemetry import names
from antiphon.telemetry.metrics import Metrics, Timing
from antiphon.wire.events import Usage


def value(metrics: Metrics, series: str) -> float | None:
    """The value of `series`, written as in the text format; None where there is none."""
    found = re.search(rf"^{re.escape(series)} (.+)$", metrics.render().decode(), re.MULTILINE)
    return float(found[1]) if found else None


def test_what_has_no_route_and_no_status_has_labels_all_the_same():
    metrics = Metrics()
    metrics.count_request("", 404, 0.1)
    metrics.count_request("/v1/messages", 0, 0.1)
    metrics.count_request("/v1/messages", 0, 0.1)
    text = metrics.render().decode()
    assert 'antiphon_requests_total{route="unknown",status="404"} 1.0' in text
    assert 'antiphon_requests_total{route="/v1/messages",status="none"} 2.0' in text
    assert 'antiphon_request_seconds_count{route="unknown"} 1.0' in text
    assert 'status="0"' not in text
    assert 'route=""' not in text


def test_tokens_are_counted_by_direction():
    metrics = Metrics()
    metrics.count_tokens("m", Usage(10, 3, cache_creation_5m=20, cache_creation_1h=5, cache_read=40))
    metrics.count_tokens("m", Usage(1, 1))
    for direction, num in {"input": 11, "output": 4, "cache_creation": 25, "cache_read": 40}.items():
        assert value(metrics, f'antiphon_tokens_total{{direction="{direction}",model="m"}}') == num


def test_the_pace_of_a_reply_is_its_first_token_and_the_mean_of_the_others():
    metrics, clock = Metrics(), ManualClock()
    timing = Timing(clock)
    clock.advance(0.3)
    timing.note_output()
    clock.advance(2)
    timing.note_output()
    metrics.count_pace("m", timing, 11)
    assert value(metrics, 'antiphon_time_to_first_token_seconds_sum{model="m"}') == pytest.approx(0.3)
    assert value(metrics, 'antiphon_time_per_output_token_seconds_sum{model="m"}') == pytest.approx(0.2)


def test_a_reply_of_one_token_has_no_pace_and_one_of_none_no_first_token():
    metrics, clock = Metrics(), ManualClock()
    metrics.count_pace("m", Timing(clock), 1)
    timing = Timing(clock)
    timing.note_output()
    metrics.count_pace("m", timing, 1)
    assert value(metrics, 'antiphon_time_to_first_token_seconds_count{model="m"}') == 1
    assert value(metrics, 'antiphon_time_per_output_token_seconds_count{model="m"}') == 0


def test_errors_are_counted_by_kind_from_zero_on():
    metrics = Metrics()
    metrics.count_error(Kind.OVERLOADED)
    assert value(metrics, 'antiphon_errors_total{kind="overloaded"}') == 1
    for kind in set(Kind) - {Kind.OVERLOADED}:
        assert value(metrics, f'antiphon_errors_total{{kind="{kind.name.lower()}"}}') == 0


def test_limits_are_counted_by_party_and_unit():
    metrics = Metrics()
    metrics.count_limit("workspace", "output tokens per minute")
    assert value(metrics, 'antiphon_limits_hit_total{limit="output_tokens_per_minute",party="workspace"}') == 1


def test_what_is_watched_is_asked_anew_each_time():
    metrics, readings = Metrics(), iter([3, 4, 5, 6])
    metrics.watch(names.QUEUE_WAITING, lambda: next(readings))
    assert [value(metrics, "antiphon_queue_waiting"), value(metrics, "antiphon_queue_waiting")] == [3, 4]
    metrics.watch(names.QUEUE_REFUSED, lambda: 7)
    assert value(metrics, "antiphon_queue_refused_total") == 7
    assert "# TYPE antiphon_queue_refused_total counter" in metrics.render().decode()


def test_a_second_request_looks_up_no_label(monkeypatch: pytest.MonkeyPatch):
    metrics, clock = Metrics(), ManualClock()

    def count() -> None:
        timing = Timing(clock)
        timing.note_output()
        metrics.count_request("/v1/messages", 200, 0.1)
        metrics.count_tokens("m", Usage(1, 2, 3, 4, 5))
        metrics.count_pace("m", timing, 2)
        metrics.count_error(Kind.OVERLOADED)

    count()
    for kind in (prometheus_client.Counter, prometheus_client.Histogram):
        monkeypatch.setattr(kind, "labels", None)
    count()
    assert value(metrics, 'antiphon_requests_total{route="/v1/messages",status="200"}') == 2


@pytest.mark.parametrize("metric", names.METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: names.Metric):
    assert re.fullmatch(r"antiphon_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_seconds") == (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help.endswith(".")


def test_the_table_is_whole():
    assert {metric for metric in vars(names).values() if isinstance(metric, names.Metric)} == set(names.METRICS)
