"""Which format a model writes: one row each, found by what its chat template says."""

# ruff: noqa: RUF001 - the wide bars are DeepSeek's own

import re
from typing import NamedTuple

from antiphon.turn.formats import tags, written
from antiphon.turn.formats.tags import CALLS, THINK, Tag, noise, thinking
from antiphon.turn.formats.written import HERMES, Shape


class Format(NamedTuple):
    """`markers` all stand in the templates of its models."""

    name: str
    markers: tuple[str, ...] = ()
    shape: Shape = HERMES
    """How a call of this format is written; where its arguments are not JSON, a form that its models read as well."""
    thinking: tuple[Tag, ...] = THINK
    calls: tuple[Tag, ...] = ()
    """What opens a call in this format alone, besides `tags.CALLS`."""
    always: tuple[Tag, ...] = ()
    """What is read even if no tools are offered."""
    knows_tools: bool = True
    """Whether the template shows offered tools to the model. If not, `written.write_tools` does."""
    answer: str = ""
    """What ends thinking and begins the answer, where thinking is not in tags."""

    @property
    def closing(self) -> str:
        """What ends thinking before its time."""
        return self.answer or self.thinking[0].closer + "\n\n"

    @property
    def words(self) -> str:
        """All that is looked for in what its models write, and all that they are made to write."""
        tags = (*self.thinking, *self.always, *self.calls, *CALLS)
        openers = [word for tag in tags for word in (tag.opener, tag.closer)]
        return "\n".join((*self.markers, *self.shape, self.answer, *openers))

    def thinks(self, template: str) -> bool:
        """Whether a model with this template has a place for thinking."""
        return bool(self.answer) or any(tag.opener.strip() in template for tag in self.thinking)


FORMATS = (
    Format(
        "harmony",
        ("<|channel|>", "<|message|>"),
        written.HARMONY,
        (),
        always=tags.CHANNELS,
        answer="<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    Format(
        "kimi-k3",
        ("<|open|>", "<|sep|>"),
        thinking=(thinking("<|open|>think<|sep|>", "<|close|>think<|sep|>"),),
        always=tuple(
            noise(f"<|{side}|>{part}<|sep|>") for part in ("response", "tools", "message") for side in ("open", "close")
        ),
    ),
    Format("kimi", ("<|tool_calls_section_begin|>",), written.KIMI),
    Format("deepseek-3.2", ("｜DSML｜",)),
    Format("deepseek-3.1", ("<｜tool▁calls▁begin｜>", "+ '<｜tool▁sep｜>' +"), written.DEEPSEEK_SHORT),
    Format("deepseek", ("<｜tool▁calls▁begin｜>",), written.DEEPSEEK),
    Format("gemma-4", ("<|tool_call>", '<|"|>'), thinking=(thinking("<|channel>thought\n", "<channel|>"),)),
    Format("minimax", ("<minimax:tool_call>",)),
    Format("seed", ("<seed:tool_call>",), thinking=(thinking("<seed:think>", "</seed:think>"),)),
    Format("qwen3-coder", ("<function=", "<parameter=")),
    Format("glm", ("<arg_key>",)),
    Format(
        "mistral-named",
        ("[TOOL_CALLS]", "[ARGS]"),
        written.MISTRAL_NAMED,
        (thinking("[THINK]", "[/THINK]"), *THINK),
    ),
    Format("mistral", ("[TOOL_CALLS]",), written.MISTRAL, (thinking("[THINK]", "[/THINK]"), *THINK)),
    Format(
        "command-r7b",
        ("<|START_ACTION|>",),
        written.COMMAND,
        (thinking("<|START_THINKING|>", "<|END_THINKING|>"),),
        always=(noise("<|START_RESPONSE|>"), noise("<|END_RESPONSE|>")),
    ),
    Format("command-r", ("Action:", "```json"), written.ACTION, calls=(tags.ACTION,)),
    Format("lfm2", ("<|tool_call_start|>",), calls=(tags.PYTHON_LIST,)),
    Format("llama-4", ("<|python_start|>",), calls=(tags.PYTHON_LIST,)),
    Format("llama-3", ("<|start_header_id|>", "tools"), written.LLAMA, calls=(tags.PYTHON_LIST,)),
    Format("phi", ("<|tool_call|>", "<|/tool_call|>"), written.PHI),
    Format("granite", ("<|tool_call|>",), written.GRANITE),
    Format("nemotron", ("<TOOLCALL>",), written.NEMOTRON),
    Format("hermes", ("<tool_call>",)),
    Format("gemma", ("<start_of_turn>",), calls=(tags.PYTHON_LIST, *tags.PYTHON_FENCES), knows_tools=False),
)
"""The first row whose markers a template holds is its own."""

GENERAL = Format("general")
"""For a template that takes tools and says nothing of how they are called."""
UNTAUGHT = Format("untaught", knows_tools=False)
"""For a template that ignores tools."""

_TOOLS = re.compile(r"\btools\b")


def format_of(template: str) -> Format:
    """The format of a model, by its chat template."""
    for row in FORMATS:
        if all(marker in template for marker in row.markers):
            return row
    return GENERAL if _TOOLS.search(template) else UNTAUGHT


def is_thinking_open(row: Format, prompt: str) -> bool:
    """Whether a rendered prompt ends within thinking, so that the model's text begins there."""
    return prompt.rstrip().endswith(tuple(tag.opener.rstrip() for tag in row.thinking))
