"""The metrics."""

from antiphon.telemetry.metrics import Metrics


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
