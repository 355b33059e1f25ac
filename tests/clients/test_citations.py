"""Citations over the official SDK: every kind of location, whole and streamed, and replies that come back."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.images import document_of
from tests.fixtures.pdfs import lines, pdf
from tests.fixtures.world import World, ask

GRASS = "The grass is green. The sky is blue."
ON = {"enabled": True}


def text_document(text: str = GRASS, **fields: Any) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, "citations": ON} | fields


def blocks_document(*texts: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text} for text in texts]
    return {"type": "document", "source": {"type": "content", "content": content}, "citations": ON} | fields


def search_result(*texts: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text} for text in texts]
    return {"type": "search_result", "source": "kb/1", "title": "Sky", "content": content, "citations": ON} | fields


def citing(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return ask([*blocks, {"type": "text", "text": "What colours are there?"}], **{"model": "citer"} | fields)


def cited(message: anthropic.types.Message) -> list[dict[str, Any]]:
    return [
        citation.to_dict() for block in message.content if block.type == "text" for citation in block.citations or []
    ]


async def test_a_text_is_cited_by_its_characters():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**citing(text_document(title="On grass", context="a leaflet")))
    (block,) = message.content
    assert block.type == "text"
    assert block.text == "The grass is green."
    (citation,) = cited(message)
    assert citation == {
        "type": "char_location",
        "cited_text": "The grass is green.",
        "document_index": 0,
        "document_title": "On grass",
        "start_char_index": 0,
        "end_char_index": 19,
        "file_id": None,
    }


@pytest.mark.parametrize("is_uploaded", [False, True])
async def test_a_pdf_is_cited_by_its_pages(is_uploaded: bool):
    data = pdf([[], lines(["The grass is green.", "It grows."]), lines(["The sky is blue."])])
    async with World() as world, world.sdk() as client:
        file_id = (await client.files.upload(file=("a.pdf", data))).id if is_uploaded else None
        block = document_of(data, title="Colours", citations=ON)
        if file_id:
            block["source"] = {"type": "file", "file_id": file_id}
        message = await client.messages.create(**citing(block))
    (citation,) = cited(message)
    assert citation == {
        "type": "page_location",
        "cited_text": "The grass is green.",
        "document_index": 0,
        "document_title": "Colours",
        "start_page_number": 2,
        "end_page_number": 3,
        "file_id": file_id,
    }


async def test_a_text_file_is_cited_by_its_characters():
    async with World() as world, world.sdk() as client:
        file = await client.files.upload(file=("grass.txt", GRASS.encode()))
        block = text_document(source={"type": "file", "file_id": file.id})
        message = await client.messages.create(**citing(block))
    (citation,) = cited(message)
    assert (citation["type"], citation["file_id"]) == ("char_location", file.id)
    assert citation["cited_text"] == GRASS[citation["start_char_index"] : citation["end_char_index"]]


async def test_a_document_of_blocks_is_cited_by_its_blocks():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**citing(blocks_document("One. Two.", "Three.")))
    (citation,) = cited(message)
    assert citation["type"] == "content_block_location"
    assert (citation["start_block_index"], citation["end_block_index"]) == (0, 1)
    assert citation["cited_text"] == "One. Two.", "a block is never cut"


@pytest.mark.parametrize("is_of_a_tool", [False, True])
async def test_a_search_result_is_cited_by_its_blocks(is_of_a_tool: bool):
    found = search_result("The sky is blue.", "At night it is black.")
    body = citing(found)
    if is_of_a_tool:
        use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [found]}
        body["tools"] = [{"name": "look", "input_schema": {"type": "object"}}]
        body["messages"] = [
            {"role": "user", "content": "Look it up."},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**body)
    (citation,) = cited(message)
    assert citation == {
        "type": "search_result_location",
        "cited_text": "The sky is blue.",
        "source": "kb/1",
        "title": "Sky",
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
    }


async def test_documents_and_search_results_are_counted_each_for_itself():
    async with World() as world, world.sdk() as client:
        sources = [text_document("One."), search_result("Two."), blocks_document("Three."), search_result("Four.")]
        message = await client.messages.create(**citing(*sources))
    found = [(one["type"], one.get("document_index", one.get("search_result_index"))) for one in cited(message)]
    assert found == [
        ("char_location", 0),
        ("search_result_location", 0),
        ("content_block_location", 1),
        ("search_result_location", 1),
    ]
    assert [one["cited_text"] for one in cited(message)] == ["One.", "Two.", "Three.", "Four."]


async def test_a_stream_brings_each_citation_as_a_delta_and_folds_to_the_same_message():
    body = citing(text_document(), search_result("The sky is blue.", "x"))
    async with World() as world, world.sdk() as client:
        whole = await client.messages.create(**body)
        async with client.messages.stream(**body) as stream:
            events = [event async for event in stream]
            message = await stream.get_final_message()
        raw = await world.stream(body)
    assert [block.to_dict() for block in message.content] == [block.to_dict() for block in whole.content]
    told = [event.citation.to_dict() for event in events if event.type == "citation"]
    assert told == cited(whole)
    deltas = [event["delta"] for event in raw if event["type"] == "content_block_delta"]
    assert [delta["citation"] for delta in deltas if delta["type"] == "citations_delta"] == told
    starts = [event["content_block"] for event in raw if event["type"] == "content_block_start"]
    assert all(start == {"type": "text", "text": "", "citations": []} for start in starts)


async def test_without_citations_nothing_is_cited_and_no_mark_is_read():
    engine = ScriptedEngine()
    engine.say("Green. [s1]")
    body = citing(text_document(citations={"enabled": False}), model="scripted")
    async with World(engine) as world, world.sdk() as client:
        message = await client.messages.create(**body)
    assert message.content[0].to_dict() == {"type": "text", "text": "Green. [s1]"}


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (
            [text_document(), text_document(citations={"enabled": False})],
            "messages: citations must be enabled on all or none of the documents within a request",
        ),
        (
            [search_result("a"), search_result("b", citations={"enabled": False})],
            "messages: citations must be enabled on all or none of the search results within a request",
        ),
    ],
)
async def test_sources_that_disagree_are_refused_in_the_apis_words(blocks: list[dict[str, Any]], words: str):
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.BadRequestError, match=words):
            await client.messages.create(**citing(*blocks))


async def test_a_citation_of_nothing_is_never_made():
    engine = ScriptedEngine()
    engine.say("Green [s1", "].", " Red [s9]. Blue [s2-3]. Both [s1-2].")
    async with World(engine) as world, world.sdk() as client:
        message = await client.messages.create(**citing(text_document(), model="scripted"))
    assert "".join(block.text for block in message.content if block.type == "text") == "Green. Red. Blue. Both."
    assert [one["cited_text"] for one in cited(message)] == ["The grass is green.", GRASS]


async def test_what_is_cited_is_not_billed():
    """Of a reply only what the model has written is output, and of one that comes back only its words are input."""
    engine = ScriptedEngine()
    long = text_document("word " * 390 + "end.")
    engine.say("It", " is", " long.", " [s1]")
    async with World(engine) as world, world.sdk() as client:
        message = await client.messages.create(**citing(long, model="scripted"))
    assert len(cited(message)[0]["cited_text"]) == 1954
    assert message.usage.output_tokens == 4
    async with World() as world, world.sdk() as client:
        body = citing(long)
        before = await client.messages.count_tokens(model="citer", messages=body["messages"])
        turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": "Go on."}]
        after = await client.messages.count_tokens(model="citer", messages=[*body["messages"], *turns])
    assert after.input_tokens - before.input_tokens < 60


@pytest.mark.parametrize("strict", [False, True])
async def test_a_reply_with_citations_comes_back_as_the_model_wrote_it(strict: bool):
    engine = ScriptedEngine()
    said = "Grass is green. [s1] The sky is not. [s2][s3]"
    engine.say(said)
    engine.say("Yes. [s3]")
    body = citing(text_document(), search_result("The sky is blue."), model="scripted")
    async with World(engine, strict=strict) as world, world.sdk() as client:
        first = await client.messages.create(**body)
        content = [block.to_dict() for block in first.content]
        body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": "Sure?"}]
        second = await client.messages.create(**body)
    before, after = engine.chats
    assert after.turns[: len(before.turns)] == before.turns, "the prompt's cache holds"
    assert after.turns[len(before.turns)].text == said
    assert [one["type"] for one in cited(second)] == ["search_result_location"]


async def test_a_document_in_a_later_turn_goes_on_with_the_numbers():
    engine = ScriptedEngine()
    engine.say("Both. [s2][s3]")
    body = citing(text_document(), model="scripted")
    later = [text_document("Snow is white.", title="Snow"), {"type": "text", "text": "And now?"}]
    body["messages"] += [{"role": "assistant", "content": "Green."}, {"role": "user", "content": later}]
    async with World(engine) as world, world.sdk() as client:
        message = await client.messages.create(**body)
    found = [(one["document_index"], one["document_title"], one["cited_text"]) for one in cited(message)]
    assert found == [(0, None, "The sky is blue."), (1, "Snow", "Snow is white.")]


async def test_a_format_with_citations_is_refused():
    form = {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}}
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.BadRequestError, match="citations may not be enabled with a format"):
            await client.messages.create(**citing(text_document(), output_config=form))


async def test_models_say_that_they_cite():
    async with World() as world, world.sdk() as client:
        model = await client.models.retrieve("citer")
    assert model.capabilities
    assert model.capabilities.citations.supported
