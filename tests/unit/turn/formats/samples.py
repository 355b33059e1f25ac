"""Replies as models write them, each with what they hold."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from antiphon.turn.formats.outputs import CallArgs, CallEnd, CallStart, Out, Text, Thinking
from antiphon.turn.formats.recogniser import Recogniser
from antiphon.turn.formats.table import FORMATS, GENERAL, UNTAUGHT, Format

TOOLS: dict[str, dict[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "is_deep": {"type": "boolean"},
            "where": {"type": "object"},
        },
        "required": ["city"],
    },
    "now": {"type": "object", "properties": {}},
    "write_file": {"type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string"}}},
}
NAMED: dict[str, Format] = {row.name: row for row in (*FORMATS, GENERAL, UNTAUGHT)}


class Call(NamedTuple):
    """A call with its arguments' JSON text in one piece."""

    name: str
    arguments: str = "{}"
    is_complete: bool = True


class Sample(NamedTuple):
    form: str
    text: str
    found: tuple[Text | Thinking | Call, ...]


def outputs(
    text: str | Iterable[str],
    form: str = "general",
    *,
    tools: dict[str, dict[str, Any]] = TOOLS,
    is_cut: bool = False,
    is_thinking: bool = False,
    eager: Collection[str] = (),
    **more: Any,
) -> Iterator[Out]:
    """All that a recogniser says of a reply that comes in these parts."""
    recogniser = Recogniser(tools, NAMED[form], is_thinking=is_thinking, eager=eager, **more)
    for part in [text] if isinstance(text, str) else text:
        yield from recogniser.feed(part)
    yield from recogniser.finish(is_cut=is_cut)


def folded(outs: Iterable[Out]) -> list[Text | Thinking | Call]:
    """Neighbours joined, calls in one piece. Fails where calls are not closed or hold anything but arguments."""
    found: list[Text | Thinking | Call] = []
    name, fragments = "", list[str]()
    for out in outs:
        match out:
            case CallStart():
                assert not name
                name, fragments = out.name, []
            case CallArgs():
                assert name
                fragments.append(out.fragment)
            case CallEnd():
                assert name
                found.append(Call(name, "".join(fragments), out.is_complete))
                name = ""
            case Text() | Thinking():
                assert not name
                if found and type(found[-1]) is type(out):
                    out = type(out)(found.pop()[0] + out[0])
                found.append(out)
    assert not name
    return found


def read(text: str | Iterable[str], form: str = "general", **more: Any) -> list[Text | Thinking | Call]:
    return folded(outputs(text, form, **more))


ARGS = '{"city": "Paris", "days": 2}'
WEATHER = Call("get_weather", ARGS)
NOW = Call("now")
BOTH = (WEATHER, NOW)

SAMPLES: tuple[Sample, ...] = (
    # Hermes, Qwen
    Sample("hermes", f'<tool_call>\n{{"name": "get_weather", "arguments": {ARGS}}}\n</tool_call>', (WEATHER,)),
    Sample(
        "hermes",
        f'One moment.\n\n<tool_call>\n{{"name": "get_weather", "arguments": {ARGS}}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n',
        (Text("One moment."), *BOTH),
    ),
    Sample("hermes", f'<tool_call>{{"arguments": {ARGS}, "name": "get_weather"}}</tool_call>', (WEATHER,)),
    Sample("hermes", f'{{{{"name": "get_weather", "arguments": {ARGS}}}', (WEATHER,)),
    Sample("hermes", f'{{{{"name": "get_weather", "arguments": {ARGS}}}}}\nDone.', (WEATHER, Text("\nDone."))),
    Sample(
        "hermes", f'Now:\n```json\n{{{{"name": "get_weather", "arguments": {ARGS}}}}}\n```', (Text("Now:"), WEATHER)
    ),
    Sample("hermes", f'<tool_call>\n{{{{"name": "get_weather", "arguments": {ARGS}}}}}\n</tool_call>', (WEATHER,)),
    Sample("hermes", f'<tool_call>\n{{{{"name": "get_weather", "arguments": {ARGS}}}\n</tool_call>', (WEATHER,)),
    Sample("hermes", f'<tool_call>{{"name": "get_weather", "parameters": {ARGS}}}</tool_call>', (WEATHER,)),
    Sample(
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\", \\"days\\": 2}"}</tool_call>',
        (WEATHER,),
    ),
    Sample("hermes", '<tool_call>{"name": "now"}</tool_call><tool_call>{"name": "now"}</tool_call>', (NOW, NOW)),
    Sample("hermes", '<tool_call>{"name": "now", "arguments": null}</tool_call>', (NOW,)),
    Sample("hermes", '<tool_call>{"name": "now", "arguments": ""}}</tool_call>', (NOW,)),
    Sample("hermes", f'<tool_call>{{"name": "get_weather", "arguments": {ARGS}</tool_call> So', (WEATHER, Text(" So"))),
    Sample("hermes", f'<tool_call>[{{"name": "get_weather", "arguments": {ARGS}}}, {{"name": "now"}}]', BOTH),
    Sample(
        "hermes",
        f'```xml\n<tool_call>\n{{"name": "get_weather", "arguments": {ARGS}}}\n</tool_call>\n```\nThere.',
        (WEATHER, Text("\nThere.")),
    ),
    Sample(
        "hermes",
        "<tool_call>\n{'name': 'get_weather', 'arguments': {'city': \"l'Isle\", 'is_deep': True,}}\n</tool_call>",
        (Call("get_weather", '{"city": "l\'Isle", "is_deep": true}'),),
    ),
    Sample(
        "hermes",
        '<tool_call>{"name": "write_file", "arguments": {"path": "\\d+", "content": "a\nb\\\'c"}}</tool_call>',
        (Call("write_file", '{"path": "\\\\d+", "content": "a\\nb\'c"}'),),
    ),
    Sample(
        "hermes",
        '<tool_call>{"name": "nope", "arguments": {}}</tool_call>',
        (Text('<tool_call>{"name": "nope", "arguments": {}}</tool_call>'),),
    ),
    # JSON that nothing marks as a call
    Sample("general", f'{{"name": "get_weather", "arguments": {ARGS}}}', (WEATHER,)),
    Sample("general", f'Right:\n  {{"name": "get_weather", "parameters": {ARGS}}}\n', (Text("Right:"), WEATHER)),
    Sample("general", f'```json\n{{"name": "get_weather", "arguments": {ARGS}}}\n```', (WEATHER,)),
    Sample(
        "general",
        f'So:\n```\n{{"name": "get_weather", "arguments": {ARGS}}}\n```\nand\n{{"name": "now", "arguments": {{}}}}',
        (Text("So:"), WEATHER, Text("\nand"), NOW),
    ),
    Sample("general", f'{{"function": {{"name": "get_weather", "arguments": {ARGS}}}}}', (WEATHER,)),
    Sample(
        "general",
        f'{{"type": "function", "function": {{"name": "get_weather", "arguments": {ARGS}}}, "id": "a"}}',
        (WEATHER,),
    ),
    Sample("general", f'{{"tool": "get_weather", "input": {ARGS}}}', (WEATHER,)),
    Sample("general", f'{{"tool": "get_weather", "args": {ARGS}}}', (WEATHER,)),
    Sample("general", f'{{"type": "tool_use", "id": "x", "name": "get_weather", "input": {ARGS}}}', (WEATHER,)),
    Sample(
        "general",
        f'{{"tool_calls": [{{"function": {{"name": "get_weather", "arguments": {ARGS}}}}}, {{"name": "now"}}]}}',
        BOTH,
    ),
    Sample("general", f'[{{"name": "get_weather", "arguments": {ARGS}}},\n{{"name": "now"}}]', BOTH),
    Sample("general", '{"name": "functions.now", "arguments": {}}', (NOW,)),
    Sample("general", f'<tool_response>{{"name": "get_weather", "arguments": {ARGS}}}', (WEATHER,)),
    Sample("general", f'<tools>{{"name": "get_weather", "arguments": {ARGS}}}</tools>', (WEATHER,)),
    Sample(
        "hermes",  # as Qwen2.5-Coder 0.5B writes it
        '```json\n{\n  "name": "get_weather",\n  "arguments": {\n    "city": "São Paulo"\n  }\n}\n```',
        (Call("get_weather", '{\n    "city": "São Paulo"\n  }'),),
    ),
    # Mistral
    Sample("mistral", f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {ARGS}}}, {{"name": "now"}}]', BOTH),
    Sample("mistral-named", f"[TOOL_CALLS]get_weather[ARGS]{ARGS}[TOOL_CALLS]now[ARGS]{{}}", BOTH),
    Sample("mistral-named", f"[TOOL_CALLS]get_weather[CALL_ID]aB3[ARGS]{ARGS}", (WEATHER,)),
    Sample("mistral-named", f"[THINK]hm[/THINK][TOOL_CALLS]get_weather{ARGS}", (Thinking("hm"), WEATHER)),
    # Llama, Gemma, LFM2
    Sample("llama-3", f'<|python_tag|>{{"name": "get_weather", "parameters": {ARGS}}}', (WEATHER,)),
    Sample("llama-3", f"<function=get_weather>{ARGS}</function>", (WEATHER,)),
    Sample("llama-4", '[get_weather(city="Paris", days=2), now()]', BOTH),
    Sample("llama-4", "<|python_start|>[now()]<|python_end|>", (NOW,)),
    Sample(
        "llama-4",
        "[get_weather(city='Paris', is_deep=False, where={'a': [1, None]})]",
        (Call("get_weather", '{"city": "Paris", "is_deep": false, "where": {"a": [1, null]}}'),),
    ),
    Sample("gemma", '```tool_code\nget_weather(city="Paris", days=2)\nnow()\n```', BOTH),
    Sample("lfm2", '<|tool_call_start|>[get_weather(city="Paris", days=2), now()]<|tool_call_end|>', BOTH),
    Sample(
        "gemma-4",
        '<|channel>thought\nhm\n<channel|><|tool_call>call:get_weather{city:<|"|>Pa"ris<|"|>,days:2}<tool_call|>',
        (Thinking("hm"), Call("get_weather", '{"city":"Pa\\"ris","days":2}')),
    ),
    # Arguments between tags
    Sample(
        "qwen3-coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
        "</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
        BOTH,
    ),
    Sample(
        "qwen3-coder",
        '<tool_call>\n<function=write_file>\n<parameter=path>\n7\n</parameter>\n<parameter=content>\n{"a": 1}\n\n'
        "</parameter>\n</function>\n</tool_call>",
        (Call("write_file", '{"path": "7", "content": "{\\"a\\": 1}\\n"}'),),
    ),
    Sample(
        "qwen3-coder",
        "<function=get_weather>\n<parameter=is_deep>\nTrue\n</parameter>\n<parameter=where>\n{'a': 1}\n</parameter>\n"
        "<parameter=days>\nmany\n</parameter>\n</function>",
        (Call("get_weather", '{"is_deep": true, "where": {"a": 1}, "days": "many"}'),),
    ),
    Sample(
        "general",
        '<function_calls>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n'
        '<parameter name="days">2</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</function_calls>',
        BOTH,
    ),
    Sample(
        "minimax",
        '<think>\nhm\n</think>\n\n<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris'
        '</parameter>\n<parameter name="days">2</parameter>\n</invoke>\n</minimax:tool_call>',
        (Thinking("hm"), WEATHER),
    ),
    Sample(
        "seed",
        "<seed:think>hm</seed:think><seed:tool_call>\n<function=get_weather>\n<parameter=city>Paris</parameter>\n"
        "<parameter=days>2</parameter>\n</function>\n</seed:tool_call>",
        (Thinking("hm"), WEATHER),
    ),
    Sample(
        "glm",
        "\n<think></think>\nSo\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>",
        (Text("So"), *BOTH),
    ),
    Sample(
        "deepseek-3.2",
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">'
        'Paris</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        (WEATHER,),
    ),
    Sample(
        "kimi-k3",
        "hm<|close|>think<|sep|><|open|>response<|sep|>Right.<|close|>response<|sep|><|open|>tools<|sep|>"
        '<|open|>call tool="get_weather" index="1"<|sep|><|open|>argument key="city" type="string"<|sep|>Paris'
        '<|close|>argument<|sep|><|open|>argument key="days" type="number"<|sep|>2<|close|>argument<|sep|>'
        "<|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>",
        (Text("hm<|close|>think<|sep|>Right."), WEATHER),
    ),
    # A name and JSON between tokens
    Sample(
        "deepseek",
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{ARGS}\n```"
        "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
        BOTH,
    ),
    Sample(
        "deepseek-3.1",
        f"Well.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{ARGS}<｜tool▁call▁end｜>"
        "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        (Text("Well."), *BOTH),
    ),
    Sample(
        "kimi",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
        f"{ARGS}<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{{}}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        BOTH,
    ),
    Sample(
        "harmony",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>Let me see."
        "<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        f"{ARGS}<|call|>",
        (Thinking("hm"), Text("Let me see."), WEATHER),
    ),
    Sample(
        "harmony",
        f"<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{ARGS}",
        (WEATHER,),
    ),
    Sample(
        "harmony",
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hello {you}.<|return|>",
        (Thinking("ab"), Text("Hello {you}.")),
    ),
    # Lists of their own
    Sample("phi", f'<|tool_call|>[{{"name": "get_weather", "arguments": {ARGS}}}]<|/tool_call|>', (WEATHER,)),
    Sample("granite", f'<|tool_call|>[{{"name": "get_weather", "arguments": {ARGS}}}, {{"name": "now"}}]', BOTH),
    Sample("nemotron", f'<TOOLCALL>[{{"name": "get_weather", "arguments": {ARGS}}}]</TOOLCALL>', (WEATHER,)),
    Sample("general", f'functools[{{"name": "get_weather", "arguments": {ARGS}}}]', (WEATHER,)),
    Sample(
        "command-r7b",
        '<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[\n    {"tool_call_id": "0", '
        f'"tool_name": "get_weather", "parameters": {ARGS}}}\n]<|END_ACTION|>',
        (Thinking("hm"), WEATHER),
    ),
    Sample("command-r7b", "<|START_RESPONSE|>Hello.<|END_RESPONSE|>", (Text("Hello."),)),
    Sample("command-r", f'Action: ```json\n[\n {{"tool_name": "get_weather", "parameters": {ARGS}}}\n]```', (WEATHER,)),
    # Thinking
    Sample(
        "general",
        '<think>\nIs {"name": "now"} a <tool_call>?\n</think>\n\nNo.',
        (Thinking('Is {"name": "now"} a <tool_call>?'), Text("No.")),
    ),
    Sample("general", "<thinking>hm</thinking>Hi", (Thinking("hm"), Text("Hi"))),
    Sample(
        "general",
        '<think>a</think><tool_call>{"name": "now"}</tool_call><think>b</think>c',
        (Thinking("a"), NOW, Thinking("b"), Text("c")),
    ),
    Sample("general", "<think>\n\n</think>\n\nHi", (Text("Hi"),)),
    Sample("general", "The tag <think> begins a thought.", (Text("The tag <think> begins a thought."),)),
)
"""A tool is called as `get_weather` with ARGS, and then maybe `now`, wherever the format allows it."""

NO_CALLS: tuple[str, ...] = (
    "{{name}} and {{ city }}",
    '{{"name": "sing", "arguments": {}}} {{',
    "Hello.",
    " \n",
    "\n\nHello \n",
    '{"name": "Ann", "age": 5}\n',
    'A person:\n```json\n{\n  "name": "Ann",\n  "tags": ["a", "b"]\n}\n```\nThat is all.',
    '[{"name": "Ann"}, {"name": "Bob"}]',
    '{"name": "Ann", "arguments": {"name": "now", "arguments": {}}}',
    '{"example":\n{"name": "now", "arguments": {}}\n}',
    'Write {"name": "now", "arguments": {}} to call it.',
    '{"name": "now", "description": "Tells the time.", "parameters": {"type": "object", "properties": {}}}',
    '[{"name": "now", "parameters": {"type": "object", "properties": {}}}]',
    '{"type": "function", "function": {"name": "now", "description": "The time", "parameters": {}}}',
    "`<tool_call>` opens a call, `</tool_call>` closes it.",
    "<tool_call>\nNAME\n</tool_call>",
    "<tool_call> now is the time.",
    '<tool_call>\n{"name": "function_name", "arguments": {...}}\n</tool_call>',
    '<tool_call>\n{"name": oops',
    "<tool_call>now but not so</tool_call>",
    "<function=nope>{}</function>",
    "Write `<function=now>` to call it.",
    '`<invoke name="now">` opens a call.',
    '<invoke name="nope"><parameter name="a">b</parameter></invoke>',
    "[TOOL_CALLS] is a token.",
    "[now()] is a list, [this](link) a link, and now() a call in Python.",
    "```python\nnow()\n```",
    "{ color: red }\n.a { color: blue }",
    "{x | x > 3}",
    "if (a) {\n  [1, 2].map(f)\n}\n",
    "a < b, <b>bold</b>, <func, <tool",
    "```json\n",
    "{",
    "[",
    "{}",
    "[]\n",
    "```",
    '{"name": "get_weather"}',
    '{"name": "now", "arguments": 5}',
    '{"name": "now", "arguments": "later"}',
    "Action: none",
    "<tool_response>\n22 degrees\n</tool_response>",
    '<tool_response>{"name": "Ann", "age": 5}</tool_response>',
)
"""Replies that call nothing."""
