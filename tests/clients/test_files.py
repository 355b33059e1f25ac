"""The Files API over the official SDK (2.x) and over HTTP as other clients speak it."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.scope import Scope
from antiphon.features.files.service import Upload
from tests.fixtures.images import encoded, said, sign
from tests.fixtures.looking import Looking
from tests.fixtures.pdfs import lines, pdf
from tests.fixtures.world import ADMIN_KEY, API_KEY, HEADERS, World, ask

KEY = {"x-api-key": API_KEY, "anthropic-version": "2026-10-21"}
TEXT = b"The grass is green. The sky is blue."


def kept(world: World) -> list[Path]:
    """The files that lie in the data folder: blobs and drafts."""
    return [path for path in (world.app.settings.data_dir / "files").rglob("*") if path.is_file()]


async def test_a_file_is_uploaded_listed_read_and_deleted():
    async with World() as world, world.sdk() as client:
        made = await client.files.upload(file=("grass.txt", TEXT, "text/plain"))
        found = await client.files.retrieve_metadata(made.id)
        listed = [file.id async for file in client.files.list()]
        (blob,) = kept(world)
        data = blob.read_bytes()
        deleted = await client.files.delete(made.id)
        with pytest.raises(anthropic.NotFoundError, match=f"File `{made.id}` not found."):
            await client.files.retrieve_metadata(made.id)
        assert kept(world) == []
    assert (made.filename, made.mime_type, made.size_bytes) == ("grass.txt", "text/plain", len(TEXT))
    assert (made.type, made.downloadable, made.expires_at) == ("file", False, None)
    assert found == made
    assert listed == [made.id]
    assert data == TEXT
    assert deleted.to_dict() == {"id": made.id, "type": "file_deleted"}


async def test_what_a_file_is_and_is_called():
    cases: list[tuple[Any, str, str]] = [
        (TEXT, "unnamed.txt", "text/plain"),
        (io.BytesIO(b"%PDF-1.7 ..."), "unnamed.pdf", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n...", "unnamed.png", "image/png"),
        (b"\xff\xfe\x00...", "unnamed", "application/octet-stream"),
        (("reports\\2026/a.csv", b"1,2"), "a.csv", "text/csv"),
        (("Grüße.pdf", b"x", "application/pdf"), "Grüße.pdf", "application/pdf"),
    ]
    async with World() as world, world.sdk() as client:
        for file, name, kind in cases:
            made = await client.files.upload(file=file)
            assert (made.filename, made.mime_type) == (name, kind)


async def test_lists_go_over_pages_newest_first():
    async with World() as world, world.sdk() as client:
        ids = [(await client.files.upload(file=(f"{n}.txt", TEXT))).id for n in range(5)]
        first = await client.files.list(limit=2)
        paged = [file.id async for file in client.files.list(limit=2)]
        by_id = await client.files.list(ids=[ids[3], "file_01nobodys", ids[0], ids[3]])
    assert first.next_page
    assert first.next_page.startswith("page_")
    assert [file.id for file in first.data] == ids[:-3:-1]
    assert paged == ids[::-1]
    assert [file.id for file in by_id.data] == [ids[3], ids[0]]
    assert by_id.next_page is None


async def test_the_betas_shape_pages_by_ids_in_both_directions():
    async with World() as world, world.sdk(default_headers={"anthropic-beta": "files-api-2025-04-14"}) as client:
        ids = [(await client.files.upload(file=(f"{n}.txt", TEXT))).id for n in range(4)]
        head = KEY | {"anthropic-beta": "files-api-2025-04-14"}

        async def page(query: str) -> dict[str, Any]:
            async with world.http.get(f"/v1/files?{query}", headers=head) as reply:
                assert reply.status == 200, await reply.text()
                return await reply.json()

        newest = await page("limit=2")
        older = await page(f"limit=2&after_id={newest['last_id']}")
        newer = await page(f"limit=1&before_id={older['first_id']}")
        of_a_session = await page("scope_id=sesn_01x")
    assert [file["id"] for file in newest["data"]] == ids[:1:-1]
    assert (newest["has_more"], newest["first_id"], newest["last_id"]) == (True, ids[3], ids[2])
    assert [file["id"] for file in older["data"]] == [ids[1], ids[0]]
    assert not older["has_more"]
    assert [file["id"] for file in newer["data"]] == [ids[2]]
    assert newer["has_more"]
    assert newest["data"][0]["scope"] is None
    assert of_a_session["data"] == []


async def test_the_sdks_beta_files_and_the_beta_header_are_understood():
    async with World() as world, world.sdk() as client:
        made = await client.beta.files.upload(file=("a.txt", TEXT), betas=["files-api-2025-04-14"])
        assert "scope" in made.model_fields_set
        found = await client.beta.files.retrieve_metadata(made.id)
        listed = [file.id async for file in client.beta.files.list()]
        deleted = await client.beta.files.delete(made.id)
    assert "scope" not in found.model_fields_set, "without the header it is today's shape"
    assert listed == [made.id]
    assert deleted.type == "file_deleted"


async def test_a_file_is_given_out_only_where_it_may_be():
    async with World() as world, world.sdk() as client:
        made = await client.files.upload(file=("grass.txt", TEXT))
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.files.download(made.id)
    assert caught.value.error_code == "file_not_downloadable"  # type: ignore[attr-defined]
    async with World(uploads_are_downloadable=True) as world, world.sdk() as client:
        made = await client.files.upload(file=("a.bin", bytes(range(256)) * 10_000, "image/png"))
        content = await client.files.download(made.id)
        assert await content.read() == bytes(range(256)) * 10_000
        assert content.headers["content-type"] == "image/png"
        assert content.headers["content-disposition"].startswith("attachment")


async def test_another_workspaces_files_are_unknown():
    """Of the same organization; tests/clients/test_isolation.py looks at others."""
    async with World() as world, world.sdk() as client, world.sdk(api_key=ADMIN_KEY) as admin:
        place = await admin.organization.workspaces.create(name="The other")
        wish = {"name": "theirs", "workspace_id": place.id}
        _, made = await world.post("/antiphon/api_keys", wish, **{"x-api-key": ADMIN_KEY})
        async with world.sdk(api_key=made["key"]) as other:
            theirs = await other.files.upload(file=("theirs.txt", TEXT))
            assert [file.id async for file in other.files.list()] == [theirs.id]
        for ask in (client.files.retrieve_metadata, client.files.download, client.files.delete):
            with pytest.raises(anthropic.NotFoundError, match=f"File `{theirs.id}` not found."):
                await ask(theirs.id)
        assert [file async for file in client.files.list()] == []
        assert (await client.files.list(ids=[theirs.id])).data == []
        for parameter in ("after_id", "before_id"):
            path = f"/v1/files?{parameter}={theirs.id}"
            async with world.http.get(path, headers=KEY | {"anthropic-beta": "files-api-2025-04-14"}) as reply:
                assert reply.status == 400
                assert f"{parameter}: {theirs.id} was not found" in await reply.text()
        assert len(kept(world)) == 1


async def test_an_expired_file_says_so_and_its_bytes_go():
    clock = ManualClock()
    async with World(clock=clock, uploads_are_downloadable=True) as world, world.sdk() as client:
        made = await client.files.upload(file=("grass.txt", TEXT), expires_in_seconds=3600)
        assert made.expires_at
        assert (made.expires_at - made.created_at).total_seconds() == 3600
        clock.advance(3599)
        assert await (await client.files.download(made.id)).read() == TEXT
        clock.advance(1)
        for ask in (client.files.download, client.files.retrieve_metadata):
            with pytest.raises(anthropic.NotFoundError) as caught:
                await ask(made.id)
            assert caught.value.error_code == "file_expired"  # type: ignore[attr-defined]
        assert [file async for file in client.files.list()] == []
        await world.app.files.sweep()
        assert kept(world) == []


async def test_a_wrong_form_is_told_in_the_apis_words():
    cases = [
        ({"other": "x"}, "file: Field required"),
        ({"expires_in_seconds": "5"}, "expires_in_seconds: Input should be greater than or equal to 3600"),
        ({"expires_in_seconds": "9999999"}, "expires_in_seconds: Input should be less than or equal to 7776000"),
        ({"expires_in_seconds": "x"}, "expires_in_seconds: Input should be a valid integer, unable to parse"),
    ]
    async with World() as world:
        for fields, words in cases:
            assert (await refused_form(world, fields)).startswith(words)
        assert kept(world) == []
    async with World(strict=True) as world:
        assert await refused_form(world, {"purpose": "x"}) == "purpose: Extra inputs are not permitted"


async def refused_form(world: World, fields: dict[str, str]) -> str:
    """What the form is told; but for one with `other` it has a file."""
    form = aiohttp.FormData(fields)
    form.add_field("more" if "other" in fields else "file", TEXT, filename="a.txt")
    async with world.http.post("/v1/files", headers=KEY, data=form) as reply:
        assert reply.status == 400
        return (await reply.json())["error"]["message"]


async def test_a_name_that_no_disk_likes_is_refused():
    async with World() as world:
        for name in ("a:b.txt", "what?.txt", "x" * 256, "tab\t.txt"):
            body = multipart(f'form-data; name="file"; filename="{name}"', TEXT)
            status, reply = await world.post("/v1/files", body, **CONTENT_TYPE)
            assert status == 400
            assert reply["error"]["message"].startswith("file: the filename must have 1-255 characters")


CONTENT_TYPE = {"content-type": "multipart/form-data; boundary=XX"}


def multipart(disposition: str, data: bytes, more: str = "") -> bytes:
    head = f"--XX\r\nContent-Disposition: {disposition}\r\n{more}\r\n"
    return head.encode() + data + b"\r\n--XX--\r\n"


async def test_a_part_without_a_filename_is_a_file():
    body = multipart('form-data; name="file"', TEXT, "Content-Type: application/octet-stream\r\n")
    async with World() as world:
        status, made = await world.post("/v1/files", body, **CONTENT_TYPE)
    assert status == 200, made
    assert (made["filename"], made["size_bytes"]) == ("unnamed.txt", len(TEXT))


async def test_what_is_no_form_is_refused_and_leaves_nothing():
    form = CONTENT_TYPE["content-type"]
    cases = [
        (b"{}", "application/json", "content-type: a file is uploaded as multipart/form-data"),
        (b"", "multipart/form-data", "content-type: multipart/form-data needs a boundary"),
        (b"--YY\r\n\r\n", form, "The request body is not a valid multipart/form-data form."),
        (multipart('form-data; name="file"', TEXT)[:-6], form, "The request body is not a valid"),
    ]
    async with World() as world:
        for body, content_type, words in cases:
            status, reply = await world.post("/v1/files", body, **{"content-type": content_type})
            assert (status, reply["error"]["type"]) == (400, "invalid_request_error")
            assert reply["error"]["message"].startswith(words)
        assert kept(world) == []


async def test_a_file_that_is_too_large_is_413_and_leaves_nothing():
    async with World(max_file_bytes=1000) as world, world.sdk() as client:
        await client.files.upload(file=("a.bin", b"x" * 1000))
        with pytest.raises(anthropic.ContentTooLargeError):
            await client.files.upload(file=("a.bin", b"x" * 1001))
        with pytest.raises(anthropic.ContentTooLargeError):
            await client.files.upload(file=("a.bin", b"x" * 3_000_000))
        assert len(kept(world)) == 1


async def test_an_organization_has_only_so_much_room():
    async with World(max_files_bytes=3000) as world, world.sdk() as client:
        made = [await client.files.upload(file=(f"{n}.bin", bytes([n]) * 1000)) for n in range(3)]
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.files.upload(file=("4.bin", b"x"))
        assert caught.value.error_code == "storage_quota_exceeded"  # type: ignore[attr-defined]
        await client.files.delete(made[0].id)
        await client.files.upload(file=("4.bin", b"x"))


async def test_of_uploads_at_once_only_those_that_fit_are_kept():
    async with World(max_files_bytes=3500) as world, world.sdk() as client:
        outcomes = await asyncio.gather(
            *[client.files.upload(file=("a.bin", b"x" * 1000)) for _ in range(8)], return_exceptions=True
        )
        assert len([file async for file in client.files.list()]) == 3
        assert len(kept(world)) == 1, "the same bytes are kept once"
    assert sum(isinstance(outcome, anthropic.BadRequestError) for outcome in outcomes) == 5


async def test_the_same_bytes_stay_until_the_last_file_of_them_is_deleted():
    async with World(uploads_are_downloadable=True) as world, world.sdk() as client:
        one, other = [await client.files.upload(file=(name, TEXT)) for name in ("a", "b")]
        await client.files.delete(one.id)
        assert await (await client.files.download(other.id)).read() == TEXT
        await client.files.delete(other.id)
        assert kept(world) == []


async def test_a_message_names_files_by_id():
    engine = Looking()
    async with World(engine=engine) as world, world.sdk() as client:
        text = await client.files.upload(file=("grass.txt", TEXT, "text/plain"))
        paper = await client.files.upload(file=("sky.pdf", pdf([lines(["The sky is blue."])])))
        photo = await client.files.upload(file=("sign.png", encoded(sign("EXIT"))))
        blocks = [of_file("document", text.id), of_file("document", paper.id), of_file("image", photo.id)]
        body = ask([*blocks, said("What is there?")], model="echo", max_tokens=1)
        await client.messages.create(**body)
        counted = await client.messages.count_tokens(model="echo", messages=body["messages"])
    assert "The grass is green." in engine.text
    assert '<page number="1">\nThe sky is blue.' in engine.text
    assert engine.pictures[-1].width == 640
    assert counted.input_tokens > 0


@pytest.mark.parametrize("kind", ["document", "image"])
async def test_a_file_that_is_gone_expired_or_another_workspaces_is_none_for_a_message(kind: str):
    clock = ManualClock()
    async with World(clock=clock) as world, world.sdk() as client:
        gone = await client.files.upload(file=("a.pdf", b"%PDF-1.7"))
        await client.files.delete(gone.id)
        old = await client.files.upload(file=("a.pdf", b"%PDF-1.7"), expires_in_seconds=3600)
        clock.advance(3600)
        home = world.app.directory.home
        elsewhere = Scope(home.organization_id, "wrkspc_01TheOther")
        async with world.app.files.draft() as draft:
            theirs = await world.app.files.add(elsewhere, draft, Upload("a.pdf", "application/pdf"))
        for file_id, words in ((gone.id, "not found"), (old.id, "has expired"), (theirs.id, "not found")):
            with pytest.raises(anthropic.NotFoundError, match=f"File `{file_id}` {words}."):
                await client.messages.create(**ask([of_file(kind, file_id), said("?")]))


async def test_a_file_of_another_kind_is_refused():
    async with World() as world, world.sdk() as client:
        made = await client.files.upload(file=("a.zip", b"PK\x03\x04 and so on"))
        for kind in ("document", "image"):
            with pytest.raises(anthropic.BadRequestError):
                await client.messages.create(**ask([of_file(kind, made.id), said("?")]))


def of_file(kind: str, file_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "file_id": file_id}} | fields


async def test_a_client_that_leaves_in_mid_upload_leaves_nothing():
    async with World() as world:
        _, writer = await asyncio.open_connection(*world.url.removeprefix("http://").split(":"))
        head = "".join(f"{name}: {value}\r\n" for name, value in (HEADERS | CONTENT_TYPE).items())
        writer.write(f"POST /v1/files HTTP/1.1\r\nhost: x\r\n{head}content-length: 5000000\r\n\r\n".encode())
        writer.write(multipart('form-data; name="file"; filename="a"', b"x" * 3_000_000)[:-8])
        await writer.drain()
        while sum(path.stat().st_size for path in kept(world)) < 1_000_000:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while kept(world):
            await asyncio.sleep(0.01)
        async with world.sdk() as client:
            assert [file async for file in client.files.list()] == []


async def test_an_upload_may_take_longer_than_other_bodies_while_it_comes_along():
    async with World(body_timeout_s=0.4) as world:
        assert await trickle(world, pause_s=0.12, num_parts=5) == 200
        assert await trickle(world, pause_s=0.6, num_parts=2) == 400
        while len(kept(world)) > 1:  # the answer came first
            await asyncio.sleep(0.01)
    async with World(body_timeout_s=0.4, upload_timeout_s=0.3) as world:
        assert await trickle(world, pause_s=0.12, num_parts=4) == 400
        assert kept(world) == []


async def trickle(world: World, pause_s: float, num_parts: int) -> int:
    body = multipart('form-data; name="file"; filename="a"', b"x" * 1000)

    async def parts():
        for n in range(num_parts):
            await asyncio.sleep(pause_s)
            yield body[n * len(body) // num_parts : (n + 1) * len(body) // num_parts]

    async with world.http.post("/v1/files", headers=HEADERS | CONTENT_TYPE, data=parts()) as reply:
        await reply.read()
        return reply.status
