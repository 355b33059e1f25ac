"""References inside a schema. What lies outside is never fetched."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from antiphon.turn.schema.kinds import as_list, as_object

MISSING = object()
"""What a reference means that leads nowhere: not None, which is JSON too."""
_MAX_NODES = 50_000


def resolved(root: object, ref: str) -> object:
    """The part of `root` that `ref` names: `#`, `#/a/b`, or an anchor; MISSING if there is none, or it is elsewhere."""
    base, _, fragment = ref.partition("#")
    if base and _id_of(as_object(root) or {}) != base:
        return _by_id(root, base) if not fragment else MISSING
    if not fragment:
        return root
    return _by_pointer(root, fragment) if fragment.startswith("/") else _by_anchor(root, fragment)


def _id_of(schema: dict[str, object]) -> object:
    return schema.get("$id", schema.get("id"))


def _by_pointer(root: object, pointer: str) -> object:
    found = root
    for step in unquote(pointer).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        items = as_list(found)
        if items is None:
            found = (as_object(found) or {}).get(name, MISSING)
        else:
            found = items[int(name)] if name.isdecimal() and len(name) < 7 and int(name) < len(items) else MISSING
    return found


def _by_anchor(root: object, name: str) -> object:
    return next((part for part in parts_of(root) if name in (part.get("$anchor"), part.get("$dynamicAnchor"))), MISSING)


def _by_id(root: object, base: str) -> object:
    return next((part for part in parts_of(root) if _id_of(part) == base), MISSING)


def parts_of(root: object) -> Iterator[dict[str, object]]:
    """All objects in `root`, whatever they mean; the first 50,000 values are looked at."""
    todo, num_seen = [root], 0
    while todo and num_seen < _MAX_NODES:
        value = todo.pop()
        num_seen += 1
        part = as_object(value)
        if part is not None:
            yield part
        todo += part.values() if part is not None else as_list(value) or ()
