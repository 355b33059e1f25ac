"""What was measured, as a table of ratios and as JSON."""

import datetime
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

_PACKAGES = ("aiohttp", "orjson", "prometheus_client", "pydantic", "starlette", "uvicorn", "uvloop", "xllamacpp")
_MAX_DRIFT = 0.10
_MIN_HEADROOM = 5.0
_HEADER = "| row | what | unit | {} | {} | target | |"


@dataclass(frozen=True)
class Limit:
    """What the figure of a line has to be."""

    value: float
    is_least: bool = False

    def holds(self, figure: float) -> bool:
        return figure >= self.value if self.is_least else figure <= self.value

    def __str__(self) -> str:
        return f"{'>=' if self.is_least else '<='} {self.value:g}"


@dataclass
class Line:
    """One line of the table: values by target, each a list with one value per round, and the figure that is judged."""

    row: str
    what: str
    unit: str
    values: Mapping[str, Sequence[float]]
    figure: Sequence[float] = ()
    figure_unit: str = "x"
    figure_of: str = "ours/bare"
    limit: Limit | None = None
    notes: list[str] = field(default_factory=list)
    is_void: bool = False

    @property
    def verdict(self) -> str:
        if self.limit is None or not self.figure:
            return "printed"
        held = "holds" if self.limit.holds(statistics.median(self.figure)) else "MISSED"
        return f"{held} (void)" if self.is_void else held

    def check_control(self, control: Sequence[float]) -> None:
        """Note it where the mock alone was not steady: then the machine was not."""
        middle = statistics.median(control)
        drift = max(abs(value - middle) for value in control) / middle
        if drift > _MAX_DRIFT:
            self._void(f"the direct control drifted by {drift:.0%}")

    def check_headroom(self, direct: Sequence[float], gateway: Sequence[float]) -> None:
        """Note it where the mock and the generator are not far faster than the gateway between them."""
        headroom = statistics.median(direct) / statistics.median(gateway)
        self.notes.append(f"headroom of the mock {headroom:.1f}x")
        if headroom < _MIN_HEADROOM:
            self._void(f"which is less than {_MIN_HEADROOM:g}x")

    def _void(self, why: str) -> None:
        self.is_void = True
        self.notes.append(f"void: {why}")


def over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio of each round."""
    return [a / b if b else float("inf") for a, b in zip(above, below, strict=True)]


def minus(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(above, below, strict=True)]


def percentile(values: Sequence[float], part: float) -> float:
    if not values:
        raise SystemExit("bench: nothing was answered, so there is nothing to measure")
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def environment() -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def load_and_steal() -> dict[str, float]:
    """The load average, and the part of all processor time since boot that the host took away."""
    times = [int(number) for number in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return {"load": os.getloadavg()[0], "stolen": times[7], "total": sum(times)}


def steal_between(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    return (after["stolen"] - before["stolen"]) / max(after["total"] - before["total"], 1)


def render(lines: Sequence[Line], facts: Mapping[str, Any]) -> str:
    """The table in Markdown: medians, and the figure as median [least-most] over the rounds."""
    names = list(dict.fromkeys(name for line in lines for name in line.values))
    header = _HEADER.format(" | ".join(names), "figure")
    table = [header, "|" + "---|" * (header.count("|") - 1)]
    for line in lines:
        cells = [_number(statistics.median(line.values[name])) if line.values.get(name) else "" for name in names]
        target = str(line.limit) if line.limit else ""
        row = [line.row, line.what, line.unit, *cells, figure_of(line), target, line.verdict]
        table.append(f"| {' | '.join(row)} |")
    notes = [f"- {line.row}, {line.what}: {'; '.join(line.notes)}" for line in lines if line.notes]
    return "\n".join([_heading(facts), "", *table, "", *notes, ""])


def _heading(facts: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"`{facts['command']}`, {facts['date']}, {facts['cpu']} ({facts['cores']} cores), "
        f"load {facts['load_before']:.2f} before and {facts['load_after']:.2f} after, steal {facts['steal']:.1%}; "
        f"Python {facts['python']}, {versions}"
    )


def figure_of(line: Line) -> str:
    if not line.figure:
        return ""
    middle, least, most = statistics.median(line.figure), min(line.figure), max(line.figure)
    spread = f" [{_number(least)}-{_number(most)}]" if len(line.figure) > 1 else ""
    return f"{line.figure_of} {_number(middle)} {line.figure_unit}{spread}"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def store(lines: Sequence[Line], facts: Mapping[str, Any], text: str, folder: Path) -> Path:
    """Write DATE.json and DATE.md; a second run of a day takes the place of the first."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{facts['date'][:10]}.json"
    rows = [{**_as_dict(line), "verdict": line.verdict} for line in lines]
    path.write_bytes(orjson.dumps({**facts, "rows": rows}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    path.with_suffix(".md").write_text(text)
    return path


def _as_dict(line: Line) -> dict[str, Any]:
    figure = {
        "of": line.figure_of,
        "unit": line.figure_unit,
        "rounds": list(line.figure),
        "target": str(line.limit or ""),
    }
    values = {name: list(rounds) for name, rounds in line.values.items()}
    return {
        "row": line.row,
        "what": line.what,
        "unit": line.unit,
        "values": values,
        "figure": figure,
        "notes": line.notes,
    }
