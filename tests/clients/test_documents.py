"""PDFs through the official SDK: their text and their pages, how many there may be, and what is no PDF."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import anthropic
import pytest
from PIL import Image

from antiphon.turn.attachments import Picture
from tests.fixtures.images import document_of, png, said, sign
from tests.fixtures.looking import Looking
from tests.fixtures.pdfs import A4, Drawing, Page, Text, lines, pdf
from tests.fixtures.world import World, ask, text_of

CORPUS = Path(__file__).parents[1] / "corpus" / "pdfs"
LEFT = ["The left column begins here", "and goes on with more words", "until its last line ends."]
RIGHT = ["The right column is another", "one that has its own words", "and ends on its own, too."]
TABLE = [["Fruit", "Price", "Number"], ["Apple", "1.20", "4"], ["Pear", "0.80", "12"]]


def scan(text: str) -> Page:
    """A page that is nothing but a picture of its text."""
    return [Drawing(0, 0, *A4, sign(text, size=(827, 1169), colour="black"))]


def pages_in(text: str) -> list[str]:
    """The pages of the one document that a model was shown."""
    _, *pages = text.split('<page number="')
    return [page.partition('">\n')[2].rpartition("</page>")[0].removesuffix("\n") for page in pages]


async def shown(
    data: bytes, model: str = "lorem", window: int | None = None, **fields: Any
) -> tuple[list[str], list[Picture]]:
    """The text of each page as the model reads it, and the pictures."""
    engine = Looking(window)
    async with World(engine=engine) as world, world.sdk() as client:
        content = [document_of(data, **fields), said("what does it say?")]
        await client.messages.create(**ask(content, model=model, max_tokens=1))
    return pages_in(engine.text), engine.pictures


async def refusal(*content: dict[str, Any]) -> str:
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(**ask(list(content)))
    return caught.value.body["error"]["message"]  # type: ignore[index]


async def test_the_text_of_each_page_is_read():
    pages, pictures = await shown(pdf([lines(["Hello.", "It is (really) fine."]), [], lines(["Page three."])]))
    assert pages == ["Hello.\nIt is (really) fine.", "", "Page three."]
    assert pictures == []


async def test_a_model_that_sees_is_shown_the_pages_too():
    red = Drawing(100, 100, 200, 200, Image.new("RGB", (50, 50), "red"))
    pages, pictures = await shown(pdf([[*lines(["Hello."]), red], lines(["Bye."])]), model="echo")
    assert [page.split("\n")[0] for page in pages] == ["Hello.", "Bye."]
    assert len(pictures) == 2
    assert all(max(picture.width, picture.height) > 1200 for picture in pictures)


@pytest.mark.parametrize("is_mixed", [False, True])
async def test_columns_are_read_one_after_the_other(is_mixed: bool):
    left, right = lines(LEFT), lines(RIGHT, x=320)
    columns = list(chain(*zip(left, right, strict=True))) if is_mixed else [*left, *right]
    heading = Text(60, 800, "A heading over both of the columns, from the left one to the right one")
    pages, _ = await shown(pdf([[heading, *columns]]))
    assert pages == ["\n".join([heading.text, *LEFT, *RIGHT])]


async def test_a_table_is_read_row_by_row():
    cells = [Text(60 + 120 * x, 700 - 20 * y, text) for y, row in enumerate(TABLE) for x, text in enumerate(row)]
    pages, _ = await shown(pdf([cells]))
    assert pages == ["\n".join("  ".join(row) for row in TABLE)]


async def test_the_text_of_a_scanned_page_is_read_from_its_picture():
    pages, pictures = await shown(pdf([scan("INVOICE 4711"), lines(["Hello."])]))
    assert pages == ["INVOICE 4711", "Hello."]
    assert pictures == []


async def test_a_file_without_a_password_is_read_though_it_is_encrypted():
    pages, _ = await shown(pdf([lines(["Not so secret."])], password=""))
    assert pages == ["Not so secret."]


async def test_a_password_is_told_in_the_apis_words():
    message = await refusal(document_of(pdf([lines(["Secret."])], password="x")))
    assert message == "messages.0.content.0.pdf.source.base64.data: The PDF specified is password protected."


@pytest.mark.parametrize("data", [b"<html>no PDF</html>", b"%PDF-1.4\nnonsense", pdf([])])
async def test_what_is_no_pdf_is_told_in_the_apis_words(data: bytes):
    message = await refusal(said("see"), document_of(data))
    assert message == "messages.0.content.1.pdf.source.base64.data: The PDF specified was not valid."


async def test_an_empty_one_and_bad_base64_are_told_in_the_apis_words():
    assert await refusal(document_of(b"")) == "messages.0.content.0.pdf.source.base64: PDF cannot be empty"
    bad = {"type": "base64", "media_type": "application/pdf", "data": "?"}
    message = await refusal({"type": "document", "source": bad})
    assert message == "messages.0.content.0.pdf.source.base64: invalid base64 data"


async def test_the_number_of_pages_depends_on_the_window():
    data = pdf([lines([f"This is page {number}."]) for number in range(300)])
    message = await refusal(document_of(data))
    assert message == "messages.0.content.0.pdf.source.base64.data: A maximum of 100 PDF pages may be provided."
    pages, _ = await shown(data, window=1_000_000)
    assert pages == [f"This is page {number}." for number in range(300)]


async def test_pages_of_all_documents_and_images_are_counted_together():
    data = [pdf([lines([f"File {name}."])] * 60) for name in "ab"]
    message = await refusal(*map(document_of, data))
    assert message.endswith(".data: A maximum of 100 PDF pages may be provided.")
    images = [png(Image.new("RGB", (8, 8)))] * 50
    assert await refusal(document_of(data[0]), *images) == "Too much media: 60 document pages + 50 images > 100"


async def test_a_document_that_does_not_fit_is_refused_and_never_cut():
    data = pdf([lines(["word " * 20] * 50)] * 5)
    engine = Looking(4000)
    async with World(engine=engine) as world, world.sdk() as client:
        with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 4000 maximum"):
            await client.messages.create(**ask([document_of(data)], model="lorem", max_tokens=1))


async def test_a_page_is_cited_by_its_number():
    data = pdf([lines(["Foxes are red."]), lines(["Grass is green. It grows."])])
    async with World() as world, world.sdk() as client:
        document = document_of(data, citations={"enabled": True}, title="Colours")
        message = await client.messages.create(**ask([document, said("what?")], model="citer"))
    (block,) = message.content
    assert block.type == "text"
    assert block.citations
    told = block.citations[0].to_dict()
    assert {key: told[key] for key in ("type", "cited_text", "document_title")} == {
        "type": "page_location",
        "cited_text": "Foxes are red.",
        "document_title": "Colours",
    }
    assert (told["start_page_number"], told["end_page_number"]) == (1, 2)


async def test_a_document_in_a_tool_result_is_read_and_counted_alike():
    call = {"type": "tool_use", "id": "toolu_1", "name": "fetch", "input": {}}
    content = [document_of(pdf([lines(["From a tool."])]), context="it was fetched")]
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content}
    messages: Any = [
        {"role": "user", "content": "fetch"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    tools: Any = [{"name": "fetch", "input_schema": {"type": "object"}}]
    engine = Looking()
    async with World(engine=engine) as world, world.sdk() as client:
        counted = await client.messages.count_tokens(model="lorem", messages=messages, tools=tools)
        message = await client.messages.create(model="lorem", max_tokens=1, messages=messages, tools=tools)
    assert counted.input_tokens == message.usage.input_tokens
    (turn,) = [turn for turn in engine.chats[-1].turns if turn.role == "tool"]
    assert "<context>it was fetched</context>" in turn.text
    assert pages_in(turn.text) == ["From a tool."]


REAL = {
    "crazyones": "The round pegs in the square holes.\nThe ones who see things differently.",
    "multilang": "Russian:\nПривет, мир\nChinese (traditional):\n你好世界",
    "libreoffice-form": "Example for a Form\nGender:\nNationality:",
}


@pytest.mark.parametrize("name", REAL)
async def test_files_of_the_real_world_are_read(name: str):
    pages, _ = await shown((CORPUS / f"{name}.pdf").read_bytes())
    assert REAL[name] in pages[0]


async def test_a_file_that_aes_keeps_shut_is_refused():
    message = await refusal(document_of((CORPUS / "r6-user-password.pdf").read_bytes()))
    assert message.endswith("The PDF specified is password protected.")


async def test_echo_repeats_a_document():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask([document_of(pdf([lines(["Hello."])]))]))
    assert "Hello." in text_of(message)
