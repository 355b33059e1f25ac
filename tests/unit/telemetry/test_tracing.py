"""Tracing, where it is off and where its extra is missing. `otel.py` has the rest."""

import subprocess
import sys

import pytest

from antiphon.core.errors import OperatorError
from antiphon.telemetry import tracing


def test_without_an_endpoint_there_is_no_tracer():
    assert tracing.open_tracer(None) is None


def test_without_an_endpoint_opentelemetry_is_not_imported():
    program = (
        "import sys; from antiphon.app import create_app; from antiphon.telemetry.tracing import open_tracer; "
        "open_tracer(None); sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_without_the_extra_an_endpoint_is_the_operators_mistake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(OperatorError, match=r"pip install 'antiphon\[otel\]'"):
        tracing.open_tracer("http://127.0.0.1:4318")
