"""JSON as text: the same bytes for the same value, also for numbers that no machine word holds."""

import json
from typing import Any

import orjson


def json_text(value: Any, *, sorts_keys: bool = False) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sorts_keys else None).decode()
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sorts_keys)
