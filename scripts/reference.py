"""Write docs/reference/ from the code, or with --check fail where it is not what the code says."""

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from antiphon.core.errors import Kind
from antiphon.settings import Settings
from antiphon.telemetry.names import METRICS, Metric

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_NOTE = "<!-- Written by `make fmt` from the code; do not edit. -->\n"


def settings() -> str:
    rows = ["# Settings", "", _NOTE]
    rows += ["From flags, then variables, then the TOML file given with `--config`.", ""]
    rows += ["| setting | variable | default | what it does |", "|---|---|---|---|"]
    rows += _settings(Settings, "", "ANTIPHON_")
    return "\n".join(rows) + "\n"


def _settings(model: type[BaseModel], stem: str, variable: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(inner := field.annotation, type) and issubclass(inner, BaseModel):
            yield from _settings(inner, f"{stem}{name}.", f"{variable}{name.upper()}__")
        else:
            yield f"| `{stem}{name}` | `{variable}{name.upper()}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "`~/.local/share/antiphon`"
    return "" if field.default in (None, PydanticUndefined) else f"`{field.default}`"


def errors() -> str:
    rows = ["# Errors", "", _NOTE, "| status | `error.type` |", "|---|---|"]
    rows += [f"| {kind.status} | `{kind.type}` |" for kind in Kind]
    return "\n".join(rows) + "\n"


_METRICS = """\
`GET /metrics` answers in the text format of Prometheus. It is open while the server listens on loopback; else, and for
a call that a proxy has passed on, it takes an admin key, in `x-api-key` or as a bearer token. With the setting
`metrics_port` it is also served on that port of the same host, without a key: let only your scraper reach it.

No label holds a client's own word. Each process counts for itself and begins at zero: scrape every one. What Prometheus
calls `process_*` (CPU, memory, open files) is there too.
"""


def metrics() -> str:
    rows = ["# Metrics", "", _NOTE, _METRICS, "| metric | kind | labels | what it counts |", "|---|---|---|---|"]
    return "\n".join([*rows, *map(_metric, METRICS)]) + "\n"


def _metric(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


PAGES = {"settings.md": settings, "errors.md": errors, "metrics.md": metrics}


def stale() -> list[str]:
    """The pages that are not what the code says."""
    return [name for name, write in PAGES.items() if not _same(FOLDER / name, write())]


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def main() -> None:
    if "--check" in sys.argv:
        if names := stale():
            raise SystemExit(f"docs/reference/{names[0]} is not what the code says: run `make fmt`.")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write())


if __name__ == "__main__":
    main()
