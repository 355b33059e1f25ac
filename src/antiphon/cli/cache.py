"""`antiphon cache`: which computed prompts there are."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.settings import load_settings

if TYPE_CHECKING:
    from antiphon.engines.saved import Entry


def cache(
    kv_dir: Annotated[Path | None, typer.Option(help="The folder of the server's own --kv-dir, if it has one.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the computed prompts that the built-in engine has, in its slots and beside them."""
    from antiphon.engines.keeping import folders_of
    from antiphon.engines.saved import read_entries, read_slots

    with plain_errors():
        folders = folders_of(load_settings(config, kv_dir=kv_dir, data_dir=data_dir))
    told = next((state for folder in folders if (state := read_slots(folder))), None) or {}
    entries = [_entry(entry) for folder in folders for entry in read_entries(folder)]
    found = {key: told.get(key, 0) for key in ("num_calls", "num_prompt", "num_reused")}
    tell(found | {"slots": told.get("slots", []), "entries": entries}, _words(told, entries), as_json=as_json)


def _entry(entry: "Entry") -> dict[str, Any]:
    return {
        "name": entry.name,
        "workspace_id": entry.salt,
        "num_tokens": len(entry.tokens) // 4,
        "num_bytes": entry.num_bytes,
        "keep": entry.keep,
        "used_at": entry.used_at,
        "num_hits": entry.num_hits,
    }


def _words(told: dict[str, Any], entries: list[dict[str, Any]]) -> str:
    rows = [["WHERE", "WORKSPACE", "TOKENS", "MIB", "KEPT", "USED", "HITS"]]
    for slot in told.get("slots", []):
        where = f"slot {slot['slot']}" + (" (busy)" if slot["is_busy"] else "")
        rows.append([where, slot["salt"], str(slot["num_tokens"]), "", slot["keep"], _ago(slot["used_at"]), ""])
    for entry in entries:
        mib, hits = f"{entry['num_bytes'] / 2**20:.1f}", str(entry["num_hits"])
        what = [entry["workspace_id"], str(entry["num_tokens"]), mib, entry["keep"], _ago(entry["used_at"]), hits]
        rows.append([entry["name"][:8], *what])
    return f"{table(rows)}\n{_sum(told, entries)}"


def _sum(told: dict[str, Any], entries: list[dict[str, Any]]) -> str:
    mib = sum(entry["num_bytes"] for entry in entries) / 2**20
    moved = f"{len(entries)} prompts are kept beside the slots, in {mib:.1f} MiB."
    if not told.get("num_prompt"):
        return moved
    share = told["num_reused"] / told["num_prompt"]
    return f"{moved} Of {told['num_prompt']} tokens in {told['num_calls']} calls {share:.0%} were not computed again."


def _ago(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
