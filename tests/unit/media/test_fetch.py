"""Fetching what a stranger names: where it may lead, how much of it is taken."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from antiphon.media import fetch
from antiphon.media.addresses import Address, Rules, rules_of
from antiphon.media.fetch import Fetcher, TooLong, Unreachable
from tests.fixtures.certificates import certificate_of
from tests.fixtures.web import reply, serving, site

OPEN = rules_of([], [], is_private_open=True)
CLOSED = Rules()


class Names:
    """A resolver that tells each name's addresses in turn: a new answer for every question."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        return list(map(ip_address, self._answers.pop(0)))


async def test_a_file_is_fetched():
    async with site({"/a.png?x=1&y=%20": reply(b"content")}) as web:
        assert await Fetcher(OPEN).fetch(web.url("/a.png?x=1&y=%20"), 100) == b"content"
    assert "Accept-Encoding: identity" in web.asked[0]
    assert f"Host: 127.0.0.1:{web.port}" in web.asked[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_not_asked_by_whatever_name(host: str):
    async with site({"/": reply(b"secret")}) as web:
        with pytest.raises(Unreachable, match="may not be asked"):
            await Fetcher(CLOSED).fetch(web.url("/", host), 100)
    assert web.asked == []


async def test_a_name_that_means_another_address_a_moment_later_gains_nothing():
    """DNS rebinding: the address that was judged is the one that is connected to, and the name is asked once."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with site({"/": reply(b"judged")}) as web:
        assert await Fetcher(OPEN, names).fetch(web.url("/", "rebinding.example"), 100) == b"judged"
    assert names.asked == ["rebinding.example"]
    assert f"Host: rebinding.example:{web.port}" in web.asked[0]


async def test_a_name_with_one_inner_address_is_not_asked():
    names = Names(["8.8.8.8", "127.0.0.1"])
    with pytest.raises(Unreachable, match="may not be asked"):
        await Fetcher(CLOSED, names).fetch("http://mixed.example/", 100)


async def test_each_redirect_is_judged_anew():
    names = Names(["127.0.0.1"])
    pages = {"/a": reply(status=302, Location="http://169.254.169.254/latest/meta-data/")}
    async with site(pages) as web:
        with pytest.raises(Unreachable, match=r"169\.254\.169\.254 is at an address"):
            await Fetcher(OPEN, names).fetch(web.url("/a", "name.example"), 100)


async def test_a_redirect_is_followed_by_a_relative_path_too():
    pages = {"/a/b": reply(status=301, Location="../c"), "/c": reply(b"there")}
    async with site(pages) as web:
        assert await Fetcher(OPEN).fetch(web.url("/a/b"), 100) == b"there"


async def test_a_redirect_to_a_file_or_for_ever_leads_nowhere():
    pages = {"/a": reply(status=302, Location="/a"), "/b": reply(status=302, Location="file:///etc/passwd")}
    async with site(pages) as web:
        with pytest.raises(Unreachable, match="too many"):
            await Fetcher(OPEN).fetch(web.url("/a"), 100)
        with pytest.raises(Unreachable, match="not an http"):
            await Fetcher(OPEN).fetch(web.url("/b"), 100)
    assert len(web.asked) < 8


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "gopher://127.0.0.1/a",
        "data:image/png;base64,AAAA",
        "http://",
        "http://user:word@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "http://\u2488/",
        "//127.0.0.1/",
        "",
        "http://127.0.0.1/" + "a" * 9000,
    ],
)
async def test_what_is_no_web_address_is_unreachable(url: str):
    with pytest.raises(Unreachable):
        await Fetcher(OPEN).fetch(url, 100)


async def test_a_line_break_in_a_url_does_not_reach_the_wire():
    async with site({}) as web:
        with pytest.raises(Unreachable):
            await Fetcher(OPEN).fetch(web.url("/a HTTP/1.1\r\nX-Evil: yes\r\n\r\n"), 100)
    assert not any("\r\nX-Evil" in head for head in web.asked)


async def test_what_is_announced_as_too_long_is_not_even_read():
    async with site({"/": b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"}) as web:
        with pytest.raises(TooLong) as caught:
            await Fetcher(OPEN).fetch(web.url("/"), 100)
    assert caught.value.num_bytes == 101


@pytest.mark.parametrize("has_length", [False, True])
async def test_what_does_not_end_is_cut_while_it_comes(has_length: bool):
    """A server that lies about the length, or tells none, and sends without end."""
    num_sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num_sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if has_length else b"\r\n"))
        chunk = b"a" * 4096
        while num_sent < 50_000_000:
            writer.write(b"1000\r\n" + chunk + b"\r\n" if has_length else chunk)
            await writer.drain()
            num_sent += len(chunk)

    async with serving(answer) as port:
        with pytest.raises(TooLong):
            await Fetcher(OPEN).fetch(f"http://127.0.0.1:{port}/", 10_000)
    assert num_sent < 20_000_000


@pytest.mark.parametrize(
    "answer",
    [
        reply(status=404),
        reply(status=500),
        reply(b"x", Content_Encoding="gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_good_reply_is_unreachable(answer: bytes):
    async with site({"/": answer}) as web:
        with pytest.raises(Unreachable):
            await Fetcher(OPEN).fetch(web.url("/"), 100)


async def test_a_head_without_end_is_left():
    async with site({"/": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 50_000}) as web:
        with pytest.raises(Unreachable):
            await Fetcher(OPEN).fetch(web.url("/"), 100)


async def test_a_reply_without_a_length_ends_with_its_connection():
    async with site({"/": b"HTTP/1.1 200 OK\r\n\r\nall of it"}) as web:
        assert await Fetcher(OPEN).fetch(web.url("/"), 100) == b"all of it"


async def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch, "TOTAL_S", 0.2)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(say_nothing) as port:
        with pytest.raises(Unreachable, match="TimeoutError"):
            await Fetcher(OPEN).fetch(f"http://127.0.0.1:{port}/", 100)


async def test_https_is_checked_against_the_name_though_the_address_is_pinned():
    authority, server_side = certificate_of("right.example")
    trusting = ssl.create_default_context(cadata=authority)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"over tls"))
        await writer.drain()

    async with serving(answer, ssl=server_side) as port:
        fetcher = Fetcher(OPEN, Names(["127.0.0.1"], ["127.0.0.1"]), trusting)
        assert await fetcher.fetch(f"https://right.example:{port}/", 100) == b"over tls"
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await fetcher.fetch(f"https://wrong.example:{port}/", 100)
