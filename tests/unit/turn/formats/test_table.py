"""Which format a chat template belongs to, and where a prompt leaves a model."""

import pytest

from antiphon.turn.formats.table import FORMATS, format_of, is_thinking_open
from antiphon.turn.formats.tags import CALLS
from tests.unit.turn.formats.samples import NAMED

HERMES = """{%- if tools %}{{- '<|im_start|>system\\n# Tools <tools>' }}{%- for tool in tools %}{{- tool | tojson }}
{%- endfor %}{{- '</tools> return <tool_call>\\n{\\"name\\": <function-name>}\\n</tool_call>' }}{%- endif %}"""
UNTAUGHT = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']}}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (HERMES, "hermes"),
        (UNTAUGHT, "untaught"),
        ("{% if tools %}{{ tools | tojson }}{% endif %}", "general"),
        ("{{ '<tool_call>\\n<function=' + name + '>\\n<parameter=' }}", "qwen3-coder"),
        ("<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>", "glm"),
        ("{{ '[TOOL_CALLS][' }}", "mistral"),
        ("{{ '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}", "mistral-named"),
        ("<|start_header_id|>ipython {% if tools %}<|python_tag|>", "llama-3"),
        ("<|start_header_id|>{{ message.role }}", "untaught"),
        ("<|header_start|> {% if tools %}<|python_start|>", "llama-4"),
        ("<start_of_turn>{{ role }}", "gemma"),
        ("'<|tool_call>call:' + name + '{' ~ '<|\"|>'", "gemma-4"),
        ("'<|tool_call_start|>[' + calls + ']<|tool_call_end|>'", "lfm2"),
        ("'<｜tool▁call▁begin｜>function<｜tool▁sep｜>' '<｜tool▁calls▁begin｜>'", "deepseek"),
        ("'<｜tool▁calls▁begin｜>' + name + '<｜tool▁sep｜>' + arguments", "deepseek-3.1"),
        ('{%- set dsml_token = "｜DSML｜" -%} <think>', "deepseek-3.2"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "harmony"),
        ("<|tool_calls_section_begin|>", "kimi"),
        ("{{- '<|open|>' + tag -}}{{- '<|sep|>' -}}", "kimi-k3"),
        ("<minimax:tool_call>", "minimax"),
        ("<seed:tool_call>\n<function=", "seed"),
        ("<|START_ACTION|>[", "command-r7b"),
        ("Action: ```json", "command-r"),
        ("<|tool_call|>[] <|/tool_call|>", "phi"),
        ("<|tool_call|> list of function calls", "granite"),
        ("<TOOLCALL>[", "nemotron"),
    ],
)
def test_a_format_is_known_by_its_template(template: str, name: str):
    assert format_of(template).name == name


def test_only_a_template_that_takes_tools_shows_them():
    assert format_of(HERMES).knows_tools
    assert not format_of(UNTAUGHT).knows_tools
    assert not format_of("<start_of_turn>").knows_tools


def test_formats_have_names_of_their_own_and_markers():
    assert len({row.name for row in FORMATS}) == len(FORMATS)
    assert all(row.markers for row in FORMATS)


def test_each_opener_has_one_row():
    assert len({tag.opener for tag in CALLS}) == len(CALLS)


@pytest.mark.parametrize(
    ("form", "prompt", "is_open"),
    [
        ("hermes", "<|im_start|>assistant\n<think>\n", True),
        ("hermes", "<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("hermes", "What is <think>?<|im_end|>\n<|im_start|>assistant\n", False),
        ("kimi-k3", "<|open|>think<|sep|>", True),
        ("gemma-4", "<|channel>thought\n<channel|>", False),
        ("harmony", "<|start|>assistant", False),
    ],
)
def test_a_prompt_may_leave_a_model_in_its_thoughts(form: str, prompt: str, *, is_open: bool):
    assert is_thinking_open(NAMED[form], prompt) is is_open
