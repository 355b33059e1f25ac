"""Write docs/reference/ from the code, or with --check fail where it is not what the code says."""

import sys
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from antiphon.core.errors import Kind
from antiphon.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_NOTE = "<!-- Written by `make fmt` from the code; do not edit. -->\n"


def settings() -> str:
    rows = ["# Settings", "", _NOTE]
    rows += ["From flags, then variables, then the TOML file given with `--config`.", ""]
    rows += ["| setting | variable | default | what it does |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name}` | `ANTIPHON_{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "`~/.local/share/antiphon`"
    return "" if field.default in (None, PydanticUndefined) else f"`{field.default}`"


def errors() -> str:
    rows = ["# Errors", "", _NOTE, "| status | `error.type` |", "|---|---|"]
    rows += [f"| {kind.status} | `{kind.type}` |" for kind in Kind]
    return "\n".join(rows) + "\n"


PAGES = {"settings.md": settings, "errors.md": errors}


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
