"""Images through the official SDK: what a model that sees is shown, what another is told, what is refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import anthropic
import pytest
from PIL import Image

from antiphon.media.load import Loaded
from antiphon.turn.attachments import Picture
from antiphon.turn.pixels import num_tokens
from antiphon.wire.content import ImageBlock
from antiphon.wire.media import Place
from tests.fixtures.images import TYPES, block_of, encoded, halves, png, said, sign
from tests.fixtures.looking import Looking
from tests.fixtures.pdfs import lines, pdf
from tests.fixtures.world import World, ask, text_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


def opened(picture: Picture) -> Image.Image:
    image = Image.open(BytesIO(picture.data))
    assert image.size == (picture.width, picture.height)
    assert (image.mode, TYPES[str(image.format)]) == ("RGB", picture.media_type)
    return image


def is_like(colour: Any, other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 24 for a, b in zip(colour, other, strict=True))


async def shown(*content: dict[str, Any], **fields: Any) -> list[Picture]:
    """What a model that sees is shown of these blocks."""
    engine = Looking()
    async with World(engine=engine) as world, world.sdk() as client:
        await client.messages.create(**ask(list(content), **fields))
    return engine.pictures


async def refused(*content: dict[str, Any], **fields: Any) -> anthropic.BadRequestError:
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(**ask(list(content), **fields))
    return caught.value


def message_of(error: Any) -> str:
    return error.body["error"]["message"]


@pytest.mark.parametrize("kind", TYPES)
async def test_each_format_is_shown_upright_as_png_or_jpeg(kind: str):
    (picture,) = await shown(block_of(encoded(halves(), kind), TYPES[kind]), said("what is it?"))
    image = opened(picture)
    assert picture.media_type in ("image/png", "image/jpeg")
    assert is_like(image.getpixel((30, 5)), RED)
    assert is_like(image.getpixel((30, 35)), BLUE)


async def test_echo_answers_with_the_text_beside_an_image():
    async with World() as world, world.sdk() as client:
        beside = await client.messages.create(**ask([png(halves()), said("what is it?")]))
        alone = await client.messages.create(**ask([png(halves())]))
    assert (text_of(beside), text_of(alone)) == ("what is it?", "ok")


async def test_an_image_costs_the_same_in_the_count_and_in_the_usage():
    image = png(Image.new("RGB", (300, 200)))
    async with World() as world, world.sdk() as client:
        counted = await client.messages.count_tokens(model="echo", messages=ask([image, said("hi")])["messages"])
        message = await client.messages.create(**ask([image, said("hi")]))
        without = await client.messages.create(**ask("hi"))
    assert counted.input_tokens == message.usage.input_tokens
    assert message.usage.input_tokens - without.usage.input_tokens == num_tokens(300, 200)


async def test_an_image_in_a_tool_result_and_one_in_a_document_are_shown():
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [said("seen:"), png(halves())]}
    document = {"type": "document", "source": {"type": "content", "content": [said("a"), png(halves("lime"))]}}
    engine = Looking()
    messages = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, document, said("and now?")]},
    ]
    async with World(engine=engine) as world, world.sdk() as client:
        tools = [{"name": "look", "input_schema": {"type": "object"}}]
        request: dict[str, Any] = ask(tools=tools) | {"messages": messages}
        await client.messages.create(**request)
    first, second = map(opened, engine.pictures)
    assert is_like(first.getpixel((30, 5)), RED)
    assert is_like(second.getpixel((30, 5)), (0, 255, 0))
    turns = [turn for turn in engine.chats[-1].turns if turn.pictures]
    assert [turn.role for turn in turns] == ["tool", "user"]
    assert all(turn.text.count(engine.chats[-1].mark) == 1 for turn in turns)


@pytest.mark.parametrize(
    ("size", "fitting"), [((4000, 3000), (1270, 952)), ((1568, 100), (1568, 100)), ((1569, 100), (1568, 100))]
)
async def test_a_large_image_is_scaled_down_as_the_api_does(size: tuple[int, int], fitting: tuple[int, int]):
    (picture,) = await shown(png(Image.new("RGB", size)))
    assert (picture.width, picture.height) == fitting


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_an_image_is_shown_as_its_exif_says(orientation: int):
    upright = halves(size=(60, 40))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright.transpose(undo) if undo is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    (picture,) = await shown(block_of(encoded(stored, "JPEG", exif=exif, quality=95), "image/jpeg"))
    image = opened(picture)
    assert image.size == (60, 40)
    assert is_like(image.getpixel((30, 5)), RED)


async def test_the_first_frame_of_an_animation_is_shown():
    frames = [halves("red", "red"), halves("blue", "blue")]
    (picture,) = await shown(
        block_of(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100), "image/gif")
    )
    assert is_like(opened(picture).getpixel((30, 20)), RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
async def test_what_is_transparent_is_white(mode: str):
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    (picture,) = await shown(png(clear if mode == "RGBA" else clear.convert(mode)))
    assert opened(picture).getpixel((20, 20)) == (255, 255, 255)


async def test_four_colours_of_print_and_sixteen_bits_of_grey_are_shown():
    cmyk = block_of(encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"), "image/jpeg")
    grey = png(Image.new("I;16", (40, 40), 0x8080))
    first, second = map(opened, await shown(cmyk, grey))
    assert is_like(first.getpixel((20, 20)), (255, 0, 0))
    assert is_like(second.getpixel((20, 20)), (128, 128, 128))


async def test_a_lying_media_type_is_told_in_the_apis_words():
    error = await refused(said("see"), block_of(encoded(halves(), "JPEG"), "image/png"))
    words = "The image was specified using the image/png media type, but the image appears to be a image/jpeg image"
    assert message_of(error) == f"messages.0.content.1.image.source.base64: {words}"


PLACE = "messages.0.content.0.image.source.base64"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", f"{PLACE}: image cannot be empty"),
        ("?", f"{PLACE}: invalid base64 data"),
        ("AAAA", "Could not process image"),
        ("A" * (10 * 1024 * 1024 + 4), f"{PLACE}: image exceeds 10 MB maximum: 10485764 bytes > 10485760 bytes"),
    ],
)
async def test_what_is_no_image_is_told_in_the_apis_words(data: str, words: str):
    source = {"type": "base64", "media_type": "image/png", "data": data}
    assert message_of(await refused({"type": "image", "source": source})) == words


async def test_a_truncated_image_cannot_be_processed():
    data = encoded(sign("hello"))
    assert message_of(await refused(block_of(data[: len(data) // 2]))) == "Could not process image"


async def test_more_than_8000_pixels_are_refused_and_all_such_images_named():
    wide = png(Image.new("RGB", (8001, 10)))
    error = await refused(wide, png(halves()), png(Image.new("RGB", (10, 8002))))
    limit = "At least one of the image dimensions exceed max allowed size: 8000 pixels"
    assert message_of(error) == f"{PLACE}.data: {limit}"
    assert error.body["error"]["details"] == {  # type: ignore[index]
        "error_code": "image_dimensions_too_large",
        "max_side_length_pixels": 8000,
        "paths": [f"{PLACE}.data", "messages.0.content.2.image.source.base64.data"],
    }


async def test_of_more_than_twenty_images_each_side_has_2000_pixels_at_most():
    wide, small = png(Image.new("RGB", (2001, 10))), png(halves())
    assert len(await shown(wide, *[small] * 19)) == 20
    error = await refused(wide, *[small] * 20)
    limit = "At least one of the image dimensions exceed max allowed size for many-image requests: 2000 pixels"
    assert message_of(error) == f"{PLACE}.data: {limit}"


async def test_more_than_a_hundred_images_are_too_many():
    assert len(await shown(*[png(halves())] * 100)) == 100
    assert message_of(await refused(*[png(halves())] * 101)) == "too many images and documents: 101 + 0 > 100"


async def test_who_would_rather_not_have_an_image_scaled_down_is_told_what_fits():
    image = Image.new("RGB", (2000, 1000))
    fields = {"transformations": {"oversized_image": "error"}}
    message = message_of(await refused(png(image, **fields)))
    assert message.startswith(f"{PLACE}: The image is 2000x1000 pixels")
    (picture,) = await shown(png(image, transformations={"oversized_image": "downsize"}))
    assert f"{picture.width}x{picture.height}" in message
    assert len(await shown(png(image.resize((picture.width, picture.height)), **fields))) == 1


async def test_a_model_that_cannot_see_is_told_the_size_the_colours_and_the_text():
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**ask([png(sign("HELLO 42")), said("what?")], model="json"))
    text = text_of(message)
    assert 'width=\\"640\\" height=\\"160\\"' in text
    assert "white (" in text
    assert "HELLO 42" in text
    assert "You cannot see this image" in text


async def test_a_model_that_cannot_see_may_be_kept_from_images():
    async with World(vision="refuse") as world, world.sdk() as client:
        assert text_of(await client.messages.create(**ask([png(halves()), said("what?")]))) == "what?"
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(**ask([png(halves())], model="lorem"))
    assert message_of(caught.value) == "messages.0.content.0: 'lorem' does not support image input."


async def test_models_say_whether_they_see():
    async with World() as world, world.sdk() as client:
        models = [await client.models.retrieve(name) for name in ("echo", "lorem")]
    assert [model.capabilities and model.capabilities.image_input.supported for model in models] == [True, False]


async def test_a_file_that_is_not_there_is_the_apis_404():
    async with World() as world, world.sdk() as client:
        with pytest.raises(anthropic.NotFoundError, match="File `file_1` not found"):
            await client.messages.create(**ask([{"type": "image", "source": {"type": "file", "file_id": "file_1"}}]))


async def test_an_uploaded_image_and_an_uploaded_document_are_shown_by_their_ids():
    engine = Looking()
    async with World(engine=engine) as world, world.sdk() as client:
        image = await client.files.upload(file=("a.png", encoded(halves()), "image/png"))
        paper = await client.files.upload(file=("a.pdf", pdf([lines(["Uploaded."])]), "application/pdf"))
        notes = await client.files.upload(file=("a.txt", b"Plain notes.", "text/plain"))
        content = [{"type": "image", "source": {"type": "file", "file_id": image.id}}]
        content += [{"type": "document", "source": {"type": "file", "file_id": file.id}} for file in (paper, notes)]
        await client.messages.create(**ask(content))
    first, _ = engine.pictures
    assert is_like(opened(first).getpixel((30, 5)), RED)
    assert "Uploaded." in engine.text
    assert "Plain notes." in engine.text


async def test_the_same_bytes_again_cost_no_job():
    async with World() as world, world.sdk() as client:
        (jobs, _) = world.app.media.sandboxes
        for _ in range(3):
            await client.messages.create(**ask([png(halves()), png(halves())]))
        assert jobs.num_jobs == 1
        pictures = world.app.media.reads.pictures
        place = Place(ImageBlock.model_validate(png(halves())), "messages.0.content.0")
        loaded = Loaded(encoded(halves()), "digest", media_type="image/png")
        for workspace_id in ("a", "b", "a"):
            await pictures.read(workspace_id, place, loaded, 8000)
        assert jobs.num_jobs == 3
