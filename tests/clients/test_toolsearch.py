"""Tool search and the other tools that the server runs, through the door and with the SDK."""

import contextlib
import time
from typing import Any

import pytest

from antiphon.engines.fake import FakeEngine
from antiphon.features.messages.rounds import MAX_ROUNDS
from antiphon.features.messages.toolsearch import by_pattern, by_words
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Piece, Prompt, Stop
from antiphon.turn.tools.offer import OfferedTool
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import World, ask

REGEX = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
BM25 = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def tool(name: str, description: str = "", **properties: str) -> dict[str, Any]:
    about = {key: {"type": "string", "description": said} for key, said in properties.items()}
    schema = {"type": "object", "properties": about, "required": list(about)}
    return {"name": name, "description": description, "input_schema": schema, "defer_loading": True}


MAIL = tool("send_mail", "Send a text to somebody.", to="An address", body="The text")
WEATHER = tool("get_weather", "The sky over a city.", city="Its name")


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def offered(name: str, description: str = "", **properties: str) -> OfferedTool:
    one = tool(name, description, **properties)
    return OfferedTool(name, description, one["input_schema"])


def said(text: str) -> list[Piece]:
    """The whole output of an engine, in one burst."""
    return [Piece(text, 1, stop=Stop("end"))]


CATALOG = [
    offered("get_user_data", "Who somebody is.", user_id="The person's number"),
    offered("get_weather_data", "Rain and sun.", city="A town"),
    offered("listOpenIssues", "Issues of a repository that are open.", owner="Whose it is"),
    offered("query_database", "Run a query.", sql="The statement"),
    offered("slack_send", "Post to Slack.", channel="Where to"),
    offered("send_mail", "Write to somebody.", to="An address"),
]


def names(tools: list[OfferedTool]) -> list[str]:
    return [each.name for each in tools]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("weather", ["get_weather_data"]),
        ("get_.*_data", ["get_user_data", "get_weather_data"]),
        ("database.*query|query.*database", ["query_database"]),
        ("Slack", ["slack_send"]),
        ("(?i)SLACK", ["slack_send"]),
        ("SLACK", []),
        ("^send", ["send_mail"]),
        (r"\bsend\b", ["slack_send", "send_mail"]),
        (r"(?i)OPEN\w+", ["listOpenIssues"]),
        ("statement", ["query_database"]),
        ("channel", ["slack_send"]),
        ("send|Write", ["slack_send", "send_mail"]),
        ("Rain|mail", ["send_mail", "get_weather_data"]),
        (".", ["get_user_data", "get_weather_data", "listOpenIssues", "query_database", "slack_send"]),
        ("nothing", []),
    ],
)
def test_a_pattern_finds_names_first_then_what_is_said_of_tools_and_arguments(pattern: str, found: list[str]):
    assert names(by_pattern(pattern, CATALOG)) == found


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "((a{0,90}){0,9}){0,9}b", "a*" * 90 + "b"])
def test_no_pattern_takes_long(pattern: str):
    catalog = [offered(f"t{number}", "a" * 5000) for number in range(20)]
    started_at = time.monotonic()
    with contextlib.suppress(ValueError):
        by_pattern(pattern, catalog)
    assert time.monotonic() - started_at < 5


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("what is the weather in a town", "get_weather_data"),
        ("send a mail to somebody", "send_mail"),
        ("open issues", "listOpenIssues"),
        ("SQL statement", "query_database"),
        ("post to a channel", "slack_send"),
    ],
)
def test_words_find_the_tool_that_shares_the_rarest(query: str, first: str):
    assert names(by_words(query, CATALOG))[0] == first


def test_words_find_five_at_most_and_nothing_that_shares_none():
    assert len(by_words("the a of to is", [*CATALOG, *CATALOG])) == 5
    assert by_words("zebra", CATALOG) == []
    assert by_words("zebra", []) == []
    assert by_words("", [offered("_")]) == []


async def test_what_a_search_has_found_is_called_in_the_same_reply():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask("text", model="tool-caller", tools=[REGEX, MAIL, WEATHER]))
    kinds = [block.type for block in message.content]
    assert kinds == ["server_tool_use", "tool_search_tool_result", "tool_use"]
    search, found, use = message.content
    assert search.type == "server_tool_use"
    assert search.id.startswith("srvtoolu_")
    assert (search.name, search.input) == ("tool_search_tool_regex", {"query": "text"})
    assert found.type == "tool_search_tool_result"
    assert found.tool_use_id == search.id
    assert found.content.type == "tool_search_tool_search_result"
    assert [reference.tool_name for reference in found.content.tool_references] == ["send_mail"]
    assert use.type == "tool_use"
    assert (use.name, message.stop_reason) == ("send_mail", "tool_use")
    assert message.usage.server_tool_use is not None
    counts = {"web_search_requests": 0, "web_fetch_requests": 0, "tool_search_requests": 1}
    assert message.usage.server_tool_use.to_dict() == counts


async def test_a_stream_accumulates_to_the_same_search():
    async with World() as world, world.sdk() as client:
        request: Any = ask("text", model="tool-caller", tools=[REGEX, MAIL])
        whole = await client.messages.create(**request)
        async with client.messages.stream(**request) as stream:
            streamed = await stream.get_final_message()
    assert [block.type for block in streamed.content] == [block.type for block in whole.content]
    assert streamed.usage.server_tool_use == whole.usage.server_tool_use
    assert streamed.content[0].to_dict()["input"] == {"query": "text"}


async def test_the_reply_is_sent_back_and_answered():
    async with World() as world, world.sdk() as client:
        request: Any = ask("text", model="tool-caller", tools=[REGEX, MAIL])
        first = await client.messages.create(**request)
        answer = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "It is sent."}
        history = [*request["messages"], {"role": "assistant", "content": first.content}]
        second = await client.messages.create(
            **request | {"messages": [*history, {"role": "user", "content": [answer]}]}
        )
    assert [block.to_dict()["text"] for block in second.content] == ["It is sent."]
    assert second.usage.server_tool_use is None


class KeepingEngine(FakeEngine):
    """The scripted engine, and every prompt it was given."""

    prompts: list[tuple[str, ...]]

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        prompt = await super().prepare(model, chat)
        self.prompts = [*getattr(self, "prompts", []), prompt.payload[0]]
        return prompt


async def test_the_next_request_begins_with_the_very_prompt_of_this_reply():
    world = World()
    engine = KeepingEngine(world.clock)
    world._engine = engine
    request: Any = ask("text", model="tool-caller", tools=[REGEX, MAIL, WEATHER])
    async with world, world.sdk() as client:
        first = await client.messages.create(**request)
        answer = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "ok"}
        history = [*request["messages"], {"role": "assistant", "content": first.content}]
        await client.messages.create(**request | {"messages": [*history, {"role": "user", "content": [answer]}]})
    _, in_reply, sent_back = engine.prompts
    assert sent_back[: len(in_reply) - 1] == in_reply[:-1]


@pytest.mark.parametrize(
    "output",
    [
        call("tool_search_tool_bm25", '{"query" :  "mail"}'),
        call("tool_search_tool_bm25", '{"query" :  "zebra"}'),
        call("web_fetch", '{"url": "https://a.example"}'),
        "Let me look.\n" + call("tool_search_tool_bm25", '{"query": "mail"}'),
        "  Well, " + call("tool_search_tool_bm25", '{"query": "mail"}'),
        "<think>\nHm.\n</think>\n\nSo\n" + call("tool_search_tool_bm25", '{"query": "mail"}'),
    ],
    ids=["found", "nothing found", "unavailable", "after a line", "after spaces", "after thinking"],
)
async def test_what_the_model_has_read_in_a_reply_it_reads_again_when_that_comes_back(output: str):
    engine = ScriptedEngine(window=100_000)
    engine.feed(said(output), said("Done."), said("ok"))
    request: Any = ask(model="scripted", tools=[BM25, FETCH, MAIL], thinking={"type": "adaptive"})
    async with World(engine) as world, world.sdk() as client:
        first = await client.messages.create(**request)
        history = [*request["messages"], {"role": "assistant", "content": first.content}]
        await client.messages.create(**request | {"messages": [*history, {"role": "user", "content": "And?"}]})
    in_reply, sent_back = engine.chats[1].turns, engine.chats[2].turns
    assert sent_back[: len(in_reply)] == in_reply
    assert [turn.role for turn in in_reply] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("tool", "query", "words"),
    [
        (REGEX, "(", "`query` is no regular expression that can be searched for."),
        (REGEX, "(?=a)", "`query` is no regular expression that can be searched for."),
        (REGEX, "a" * 201, "`query` may have at most 200 characters."),
        (BM25, "a" * 501, "`query` may have at most 500 characters."),
        (BM25, " ", "`query` must be a text that is not empty."),
    ],
)
async def test_a_query_that_cannot_be_searched_for_is_an_error_that_the_model_reads(tool: Any, query: str, words: str):
    engine = ScriptedEngine()
    engine.feed(said(call(tool["name"], f'{{"query": "{query}"}}')), said("Oh."))
    async with World(engine) as world, world.sdk() as client:
        message = await client.messages.create(**ask(model="scripted", tools=[tool, MAIL]))
    (result,) = [block for block in message.content if block.type == "tool_search_tool_result"]
    assert result.content.type == "tool_search_tool_result_error"
    assert (result.content.error_code, result.content.error_message) == ("invalid_tool_input", words)
    assert engine.chats[-1].turns[-1].text == f"Error: invalid_tool_input: {words}"
    assert message.content[-1].to_dict()["text"] == "Oh."
    assert (message.stop_reason, message.usage.server_tool_use) == ("end_turn", None)


async def test_a_tool_that_no_search_has_found_cannot_be_called():
    engine = ScriptedEngine()
    engine.feed(said(call("send_mail", '{"to": "a", "body": "b"}')))
    async with World(engine) as world, world.sdk() as client:
        message = await client.messages.create(**ask(model="scripted", tools=[REGEX, MAIL]))
    assert [block.type for block in message.content] == ["text"]


@pytest.mark.parametrize("tool", [SEARCH, FETCH, CODE], ids=lambda tool: tool["name"])
async def test_a_server_tool_that_is_not_there_says_so_in_its_own_block(tool: dict[str, Any]):
    async with World() as world, world.sdk() as client:
        request: Any = ask(model="tool-caller", tools=[tool])
        message = await client.messages.create(**request)
        use, result, text = message.content
        assert use.type == "server_tool_use"
        assert (use.name, use.caller and use.caller.type) == (tool["name"], "direct")
        assert result.to_dict() == {
            "type": f"{tool['name']}_tool_result",
            "tool_use_id": use.id,
            "content": {"type": f"{tool['name']}_tool_result_error", "error_code": "unavailable"},
        }
        assert type(result).__name__.lower() == f"{tool['name'].replace('_', '')}toolresultblock"
        assert (text.type, message.stop_reason, message.usage.server_tool_use) == ("text", "end_turn", None)
        again = [*request["messages"], {"role": "assistant", "content": message.content}]
        again.append({"role": "user", "content": "And?"})
        assert (await client.messages.create(**request | {"messages": again})).stop_reason == "end_turn"


async def test_a_reply_that_searches_on_and_on_pauses_and_can_be_continued():
    engine = ScriptedEngine(window=100_000)
    for _ in range(MAX_ROUNDS):
        engine.feed(said(call("tool_search_tool_bm25", '{"query": "mail"}')))
    async with World(engine) as world, world.sdk() as client:
        request: Any = ask(model="scripted", tools=[BM25, MAIL])
        paused = await client.messages.create(**request)
        engine.feed(said("Done."))
        history = [*request["messages"], {"role": "assistant", "content": paused.content}]
        message = await client.messages.create(**request | {"messages": history})
    assert (paused.stop_reason, len(paused.content)) == ("pause_turn", 2 * MAX_ROUNDS)
    assert [block.to_dict()["text"] for block in message.content] == ["Done."]
