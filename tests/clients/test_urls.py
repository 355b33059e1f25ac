"""Images and documents by URL, through the official SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.fixtures.images import encoded, halves, said
from tests.fixtures.looking import Looking
from tests.fixtures.pdfs import lines, pdf
from tests.fixtures.web import reply, site
from tests.fixtures.world import World, ask

OPEN = {"private": True}
PAGES = {
    "/a.png": reply(encoded(halves())),
    "/a.pdf": reply(pdf([lines(["From the web."])])),
    "/page": reply(b"<html>no image</html>", Content_Type="image/png"),
    "/large": b"HTTP/1.1 200 OK\r\nContent-Length: 10485761\r\n\r\n",
    "/inner": reply(status=302, Location="http://169.254.169.254/"),
}
LOST = "Unable to download the file. Please verify the URL and try again."
PLACE = "messages.0.content.0.image.source.base64"


def image_at(url: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


async def test_an_image_and_a_pdf_are_fetched_and_shown():
    engine = Looking()
    async with World(engine=engine, fetch=OPEN) as world, world.sdk() as client, site(PAGES) as web:
        document = {"type": "document", "source": {"type": "url", "url": web.url("/a.pdf")}}
        content: Any = [image_at(web.url("/a.png")), document, said("what?")]
        counted = await client.messages.count_tokens(model="echo", messages=ask(content)["messages"])
        message = await client.messages.create(**ask(content))
    image, page = engine.pictures
    assert (image.width, image.height) == (60, 40)
    assert page.height > page.width
    assert "From the web." in engine.text
    assert counted.input_tokens == message.usage.input_tokens


async def test_the_same_url_in_two_places_is_fetched_once():
    engine = Looking()
    async with World(engine=engine, fetch=OPEN) as world, world.sdk() as client, site(PAGES) as web:
        await client.messages.create(**ask([image_at(web.url("/a.png")), image_at(web.url("/a.png"))]))
    assert len(web.asked) == 1
    assert len(engine.pictures) == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", LOST),
        ("/inner", LOST),
        ("/page", f"{PLACE}.data: The file format is invalid or unsupported"),
        ("/large", f"{PLACE}: image exceeds 10 MB maximum: 10485761 bytes > 10485760 bytes"),
    ],
)
async def test_what_cannot_be_had_is_told_in_the_apis_words(path: str, words: str):
    async with World(fetch=OPEN) as world, world.sdk() as client, site(PAGES) as web:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(**ask([image_at(web.url(path))]))
    assert caught.value.body["error"]["message"] == words  # type: ignore[index]


SHUT = [{}, OPEN | {"deny": ["127.0.0.0/8"]}, OPEN | {"allow": ["a.example"]}]


@pytest.mark.parametrize("fetch", SHUT)
async def test_this_machine_is_asked_only_where_settings_say_so(fetch: dict[str, Any]):
    async with World(fetch=fetch) as world, world.sdk() as client, site(PAGES) as web:
        with pytest.raises(anthropic.BadRequestError, match="Unable to download the file"):
            await client.messages.create(**ask([image_at(web.url("/a.png"))]))
    assert web.asked == []
