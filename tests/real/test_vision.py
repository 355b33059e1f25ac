"""Small models, each with a projector of our own, look at pictures that are drawn here, through the whole server."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any

import pytest
from anthropic import Anthropic
from PIL import Image

from tests.fixtures.drawn import ALL, Drawn
from tests.fixtures.images import block_of, document_of, said
from tests.fixtures.pdfs import A4, Drawing, lines, pdf
from tests.fixtures.serving import Served, serving
from tests.fixtures.web import answering
from tests.fixtures.world import text_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
QUESTION = said("Name the color, the shape and the digit in the picture.")
BEGUN: Any = {"role": "assistant", "content": "The color is"}
"""A model of this size begins with something else otherwise."""
GREEDY: dict[str, Any] = {"extra_headers": {"anthropic-version": "2023-06-01"}, "extra_body": {"temperature": 0}}
FEW = ALL[4::11]  # of all colours, shapes and digits
PAIRS = (
    (Drawn("red", "circle", "7"), Drawn("blue", "square", "2")),
    (Drawn("green", "circle", "1"), Drawn("red", "circle", "3")),
    (Drawn("yellow", "square", "5"), Drawn("blue", "triangle", "5")),
)

Ask = Callable[[Anthropic, Drawn], list[dict[str, Any]]]
"""The messages that show a picture and ask for it."""


SMOLLM2 = pytest.param(("smollm2", "smollm2_good_projector"), id="smollm2", marks=pytest.mark.slow)
QWEN05 = pytest.param(("qwen05", "qwen05_projector"), id="qwen05", marks=pytest.mark.full)


@pytest.fixture(scope="module", params=[SMOLLM2, QWEN05])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("vision")
    model, projector = [str(request.getfixturevalue(name)) for name in request.param]
    arguments = ["--model", model, "--mmproj", projector]
    with serving(folder, *arguments, ANTIPHON_WINDOW="2048", ANTIPHON_FETCH__PRIVATE="true") as served:
        yield served


class Site(BaseHTTPRequestHandler):
    """`/red/circle/7.png` and all the others."""

    def do_GET(self) -> None:
        data = Drawn(*self.path.removesuffix(".png").split("/")[1:]).png()
        self.send_response(200)
        self.send_header("content-type", "image/png")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with answering(Site) as url:
        yield url


def user(*content: dict[str, Any]) -> Any:
    return {"role": "user", "content": list(content)}


def by_base64(_: Anthropic, drawn: Drawn) -> list[dict[str, Any]]:
    return [user(block_of(drawn.png()), QUESTION)]


def by_file_id(client: Anthropic, drawn: Drawn) -> list[dict[str, Any]]:
    file = client.files.upload(file=("it.png", drawn.png(), "image/png"))
    return [user({"type": "image", "source": {"type": "file", "file_id": file.id}}, QUESTION)]


def by_tool_result(_: Anthropic, drawn: Drawn) -> list[dict[str, Any]]:
    call = {"type": "tool_use", "id": "toolu_1", "name": "take_picture", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [block_of(drawn.png())]}
    return [user(said("Take a picture.")), {"role": "assistant", "content": [call]}, user(result, QUESTION)]


def by_pdf_page(_: Anthropic, drawn: Drawn) -> list[dict[str, Any]]:
    """The picture fills a page of its own, as a scan does."""
    image = Image.open(BytesIO(drawn.png((595, 595))))
    return [user(document_of(pdf([[Drawing(0, 0, *A4, image)]])), QUESTION)]


def in_a_document(_: Anthropic, drawn: Drawn) -> list[dict[str, Any]]:
    source = {"type": "content", "content": [said("A picture:"), block_of(drawn.png())]}
    return [user({"type": "document", "source": source}, QUESTION)]


def wrong(server: Served, ask: Ask, drawings: Sequence[Drawn]) -> dict[Drawn, str]:
    """What the model says of those that it does not name right. Each count of tokens is held against the usage."""
    with server.sdk() as client, ThreadPoolExecutor(4) as pool:

        def reply_to(drawn: Drawn) -> str:
            messages: Any = [*ask(client, drawn), BEGUN]
            counted = client.messages.count_tokens(model="claude-x", messages=messages)
            message = client.messages.create(model="claude-x", max_tokens=24, messages=messages, **GREEDY)
            assert counted.input_tokens == message.usage.input_tokens
            return text_of(message)

        replies = dict(zip(drawings, pool.map(reply_to, drawings), strict=True))
    return {drawn: reply for drawn, reply in replies.items() if not drawn.is_named_in(reply)}


def test_a_hundred_pictures_are_named_right_nine_times_in_ten(server: Served):
    missed = wrong(server, by_base64, ALL)
    assert len(ALL) >= 100
    assert len(missed) <= len(ALL) / 10, missed


@pytest.mark.parametrize("ask", [by_file_id, by_tool_result, in_a_document])
def test_however_a_picture_comes_it_is_seen(server: Served, ask: Ask):
    missed = wrong(server, ask, FEW)
    assert len(missed) <= len(FEW) / 10, missed


@pytest.mark.parametrize("server", [QWEN05], indirect=True)
def test_the_page_of_a_pdf_is_seen(server: Served):
    """SmolLM2 is shown it too, but the markup of a document is more than it can read past."""
    missed = wrong(server, by_pdf_page, FEW)
    assert len(missed) <= len(FEW) / 10, missed


def test_a_picture_is_fetched_from_a_server_that_the_settings_allow(server: Served, site: str):
    def by_url(_: Anthropic, drawn: Drawn) -> list[dict[str, Any]]:
        source = {"type": "url", "url": f"{site}/{drawn.colour}/{drawn.shape}/{drawn.digit}.png"}
        return [user({"type": "image", "source": source}, QUESTION)]

    missed = wrong(server, by_url, FEW)
    assert len(missed) <= len(FEW) / 10, missed


def test_pictures_are_told_apart_by_their_place(server: Served):
    """Three pairs in both orders; one of the six may be wrong."""
    question, begun = said("Name the colors of the two images, in their order."), "The first image color is"

    def is_told(client: Anthropic, *drawings: Drawn) -> bool:
        shown = [block_of(drawn.png()) for drawn in drawings]
        messages: Any = [user(*shown, question), {"role": "assistant", "content": begun}]
        message = client.messages.create(model="claude-x", max_tokens=24, messages=messages, **GREEDY)
        places = [text_of(message).find(drawn.colour) for drawn in drawings]
        return -1 < places[0] < places[1]

    with server.sdk() as client:
        told = [is_told(client, *order) for pair in PAIRS for order in (pair, pair[::-1])]
    assert sum(told) >= 5, told


def test_a_picture_that_the_cache_has_is_not_computed_again(server: Served):
    system: Any = [{"type": "text", "text": "Look closely. " * 200, "cache_control": {"type": "ephemeral"}}]
    block: Any = block_of(ALL[5].png()) | {"cache_control": {"type": "ephemeral"}}
    ask: Any = {"model": "claude-x", "max_tokens": 4, "system": system} | GREEDY
    with server.sdk() as client:
        used = [
            client.messages.create(**ask, messages=[user(block, said(text))]).usage
            for text in ("What is it?", "And which colour?")
        ]
    written, read = used
    assert written.cache_creation_input_tokens
    assert read.cache_read_input_tokens == written.cache_creation_input_tokens
    assert read.cache_creation_input_tokens == 0


def test_the_model_says_that_it_sees(server: Served):
    with server.sdk() as client:
        (model,) = client.models.list()
    assert model.capabilities
    assert model.capabilities.image_input.supported


def test_a_picture_that_is_none_is_refused_before_the_engine_has_seen_it(server: Served):
    broken = b64encode(ALL[0].png()[:300]).decode()
    source = {"type": "base64", "media_type": "image/png", "data": broken}
    body: Any = [user({"type": "image", "source": source}, QUESTION)]
    before = engine_log(server)
    with server.sdk() as client, pytest.raises(Exception, match="Could not process image"):
        client.messages.create(model="claude-x", max_tokens=8, messages=body)
    assert engine_log(server) == before


def engine_log(server: Served) -> bytes:
    return (server.log.parent / "logs" / "engine.log").read_bytes()


def test_pages_have_their_text_beside_them(server: Served):
    image = Image.open(BytesIO(ALL[1].png((595, 842))))
    document = document_of(pdf([lines(["The secret word is river."]), [Drawing(0, 0, *A4, image)]]))
    with server.sdk() as client:
        begun = {"role": "assistant", "content": "The secret word is"}
        messages: Any = [user(document, said("What is the secret word?")), begun]
        message = client.messages.create(model="claude-x", max_tokens=20, messages=messages, **GREEDY)
    assert "river" in text_of(message).lower()
