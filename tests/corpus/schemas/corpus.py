"""Schemas in the shapes that real agents send, and some that were made to break a converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


class Case(NamedTuple):
    name: str
    source_kind: str
    schema: Any


def cases() -> list[Case]:
    """All of them, named after their file: `github/get_issue`."""
    paths = sorted(Path(__file__).parent.glob("*.json"))
    return [
        Case(f"{path.stem}/{row['name']}", row["source_kind"], row["schema"])
        for path in paths
        for row in json.loads(path.read_text())
    ]
