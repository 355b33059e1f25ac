"""The client tools that have a type instead of a schema: what the model has to be told of them.

Source: the API's documentation, "Bash tool", "Text editor tool", "Memory tool", "Computer use tool"; words are ours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from antiphon.wire.fields import JsonObject


def _object(properties: Mapping[str, JsonObject], required: Sequence[str]) -> JsonObject:
    return {"type": "object", "properties": dict(properties), "required": list(required), "additionalProperties": False}


def _text(description: str) -> JsonObject:
    return {"type": "string", "description": description}


def _one_of(names: str, description: str) -> JsonObject:
    return {"type": "string", "enum": names.split(), "description": description}


_WHOLE = {"type": "integer"}
_POINT = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0},
    "minItems": 2,
    "maxItems": 2,
    "description": "x and y in pixels from the upper left corner",
}

_BASH = _object(
    {
        "command": _text("The command to run; not needed for a restart"),
        "restart": {"type": "boolean", "description": "True to start the shell anew"},
    },
    [],
)
_EDITS = {
    "path": _text("The absolute path of the file or folder"),
    "file_text": _text("For create: the whole text of the new file"),
    "old_str": _text("For str_replace: the text to replace; it must occur exactly once"),
    "new_str": _text("For str_replace: the new text; for insert: the text to insert"),
    "insert_line": {**_WHOLE, "description": "For insert: the number of the line after which the text is put"},
    "view_range": {
        "type": "array",
        "items": _WHOLE,
        "minItems": 2,
        "maxItems": 2,
        "description": "For view: the first and the last line to show, counted from 1; -1 is the end",
    },
}
_MEMORY = _object(
    {
        "command": _one_of("view create str_replace insert delete rename", "What to do"),
        "path": _text("The path, below /memories"),
        "view_range": _EDITS["view_range"],
        "file_text": _text("For create: the whole text of the file"),
        "old_str": _text("For str_replace: the text to replace"),
        "new_str": _text("For str_replace: the new text"),
        "insert_line": _EDITS["insert_line"],
        "insert_text": _text("For insert: the text to insert"),
        "old_path": _text("For rename: the path as it is"),
        "new_path": _text("For rename: the path as it is to be"),
    },
    ["command"],
)
_FIRST_ACTIONS = (
    "key type mouse_move left_click left_click_drag right_click middle_click double_click screenshot cursor_position"
)
_ACTIONS: dict[str, str] = {
    "computer_20241022": _FIRST_ACTIONS,
    "computer_20250124": f"{_FIRST_ACTIONS} left_mouse_down left_mouse_up scroll hold_key wait triple_click",
    "computer_20251124": f"{_FIRST_ACTIONS} left_mouse_down left_mouse_up scroll hold_key wait triple_click zoom",
}


def _computer(kind: str) -> JsonObject:
    properties: dict[str, JsonObject] = {
        "action": _one_of(_ACTIONS[kind], "What to do"),
        "coordinate": _POINT,
        "text": _text("The text to type, or the keys to press, as in ctrl+s"),
    }
    if kind != "computer_20241022":
        properties |= {
            "start_coordinate": _POINT,
            "duration": {"type": "number", "description": "Seconds, for hold_key and wait"},
            "scroll_direction": _one_of("up down left right", "For scroll"),
            "scroll_amount": {**_WHOLE, "description": "For scroll: how many clicks of the wheel"},
        }
    if kind == "computer_20251124":
        properties["region"] = {
            **_POINT,
            "minItems": 4,
            "maxItems": 4,
            "description": "For zoom: left, upper, right and lower edge in pixels",
        }
    return _object(properties, ["action"])


def _editor(commands: str) -> Callable[[str], JsonObject]:
    return lambda _: _object({"command": _one_of(commands, "What to do"), **_EDITS}, ["command", "path"])


_SCHEMAS: Mapping[str, tuple[Callable[[str], JsonObject], str]] = {
    "bash": (lambda _: _BASH, "Run a command in a shell that keeps its state between calls."),
    "str_replace_editor": (
        _editor("view create str_replace insert undo_edit"),
        "View, create and edit text files.",
    ),
    "str_replace_based_edit_tool": (
        _editor("view create str_replace insert"),
        "View, create and edit text files.",
    ),
    "memory": (lambda _: _MEMORY, "Keep notes in files below /memories; look there before you begin."),
    "computer": (_computer, "Use a computer with a screen, a mouse and a keyboard."),
}


def describe(tool: Any) -> tuple[str, JsonObject]:
    """(description, schema) of a typed client tool of the wire."""
    schema, description = _SCHEMAS[tool.name]
    if tool.name == "computer":
        description += f" Its screen has {tool.display_width_px} by {tool.display_height_px} pixels."
    return description, schema(tool.type)
