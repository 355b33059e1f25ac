"""How calls, results and tools are written, for models to read and to continue."""

# ruff: noqa: RUF001 - the wide bars are DeepSeek's own

import json
from collections.abc import Iterable
from typing import NamedTuple

from antiphon.wire.fields import JsonObject


class Shape(NamedTuple):
    """A call as its format writes it: what stands before its name, between name and arguments, and after them.

    Appended to a prompt, `prefix` leaves a model nothing to do but to call; what it then writes ends with `after`.
    """

    before: str
    between: str
    after: str

    def call(self, name: str, arguments: str) -> str:
        """`arguments` is the JSON text of an object."""
        return f"{self.before}{name}{self.between}{arguments}{self.after}"

    def prefix(self, name: str | None) -> str:
        """The beginning of a call: of this tool, up to its arguments; of any tool, up to its name."""
        return self.before if name is None else f"{self.before}{name}{self.between}"


HERMES = Shape('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>")
LLAMA = Shape('{"name": "', '", "parameters": ', "}")
MISTRAL = Shape('[TOOL_CALLS][{"name": "', '", "arguments": ', "}]")
MISTRAL_NAMED = Shape("[TOOL_CALLS]", "[ARGS]", "")
PHI = Shape('<|tool_call|>[{"name": "', '", "arguments": ', "}]<|/tool_call|>")
GRANITE = Shape('<|tool_call|>[{"name": "', '", "arguments": ', "}]")
NEMOTRON = Shape('<TOOLCALL>[{"name": "', '", "arguments": ', "}]</TOOLCALL>")
COMMAND = Shape(
    '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "', '", "parameters": ', "}\n]<|END_ACTION|>"
)
ACTION = Shape('Action: ```json\n[\n    {\n        "tool_name": "', '",\n        "parameters": ', "\n    }\n]```")
DEEPSEEK = Shape(
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    "\n```json\n",
    "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
)
DEEPSEEK_SHORT = Shape(
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)
KIMI = Shape(
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.",
    ":0<|tool_call_argument_begin|>",
    "<|tool_call_end|><|tool_calls_section_end|>",
)
HARMONY = Shape("<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", "<|call|>")

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
