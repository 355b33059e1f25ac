"""How calls, results and tools are written, for models to read and to continue."""

# ruff: noqa: RUF001 - the wide bars are DeepSeek's own

import json
from collections.abc import Iterable
from typing import NamedTuple

from antiphon.wire.fields import JsonObject


class Shape(NamedTuple):
    """A call as its format writes it: what stands before its name, between name and arguments, and after them.

    Appended to a prompt, `prefix` leaves a model nothing to do but to call; what it then writes ends with `after`.
    `joint` stands between a call's arguments and the next call's name, where that is not `after` and `before`.
    """

    before: str
    between: str
    after: str
    joint: str = ""

    def call(self, name: str, arguments: str) -> str:
        """`arguments` is the JSON text of an object."""
        return f"{self.before}{name}{self.between}{arguments}{self.after}"

    def prefix(self, name: str | None) -> str:
        """The beginning of a call: of this tool, up to its arguments; of any tool, up to its name."""
        return self.before if name is None else f"{self.before}{name}{self.between}"

    @property
    def then(self) -> str:
        """What stands between the arguments of one call and the name of the next."""
        return self.joint or f"{self.after}\n{self.before}"


HERMES = Shape('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>")
LLAMA = Shape('{"name": "', '", "parameters": ', "}")
_IN_A_LIST = '}, {"name": "'
MISTRAL = Shape('[TOOL_CALLS][{"name": "', '", "arguments": ', "}]", _IN_A_LIST)
MISTRAL_NAMED = Shape("[TOOL_CALLS]", "[ARGS]", "", "[TOOL_CALLS]")
PHI = Shape('<|tool_call|>[{"name": "', '", "arguments": ', "}]<|/tool_call|>", _IN_A_LIST)
GRANITE = Shape('<|tool_call|>[{"name": "', '", "arguments": ', "}]", _IN_A_LIST)
NEMOTRON = Shape('<TOOLCALL>[{"name": "', '", "arguments": ', "}]</TOOLCALL>", _IN_A_LIST)
COMMAND = Shape(
    '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "',
    '", "parameters": ',
    "}\n]<|END_ACTION|>",
    '},\n    {"tool_call_id": "0", "tool_name": "',
)
ACTION = Shape(
    'Action: ```json\n[\n    {\n        "tool_name": "',
    '",\n        "parameters": ',
    "\n    }\n]```",
    '\n    },\n    {\n        "tool_name": "',
)
DEEPSEEK = Shape(
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    "\n```json\n",
    "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
)
DEEPSEEK_SHORT = Shape(
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "<｜tool▁call▁end｜><｜tool▁call▁begin｜>",
)
KIMI = Shape(
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.",
    ":0<|tool_call_argument_begin|>",
    "<|tool_call_end|><|tool_calls_section_end|>",
    "<|tool_call_end|><|tool_call_begin|>functions.",
)
HARMONY = Shape(
    "<|channel|>commentary to=functions.",
    " <|constrain|>json<|message|>",
    "<|call|>",
    "<|call|><|start|>assistant<|channel|>commentary to=functions.",
)

_TOOLS = """\
# Tools

You may call tools to help the user. Each line between the tags is one tool, with the JSON Schema of its parameters:
<tools>
{tools}
</tools>

If a tool can do what the user asks, or knows what the user asks for, call it. To call a tool, write its name and its \
arguments as JSON between tags, like this:
<tool_call>
{{"name": "...", "arguments": {{...}}}}
</tool_call>
Then stop: its result will be given to you between <tool_response> tags. If no tool fits, answer without one."""


def write_tools(tools: Iterable[tuple[str, str, JsonObject]]) -> str:
    """The system text that makes tools known to a model whose template does not: (name, description, schema) each.

    The same tools give the same bytes.
    """
    lines = [_line({"name": name, "description": text, "parameters": schema}) for name, text, schema in tools]
    return _TOOLS.format(tools="\n".join(lines))


def write_result(name: str, text: str, *, is_error: bool) -> str:
    """A tool's result, in a user's turn, for such a model."""
    return f'<tool_response name="{name}">\n{"Error: " if is_error else ""}{text}\n</tool_response>'


def _line(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False)
