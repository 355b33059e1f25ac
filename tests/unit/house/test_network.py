"""The suite's own fence: loopback is open, everything else is shut."""

import asyncio
import socket

import pytest


def test_names_outside_are_not_looked_up():
    with pytest.raises(RuntimeError, match=r"a test reached for api\.example\.com: only loopback"):
        socket.getaddrinfo("api.example.com", 443)


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"])
def test_addresses_outside_are_not_connected_to(address: str):
    with socket.socket() as client:
        with pytest.raises(RuntimeError, match="only loopback"):
            client.connect((address, 80))
        with pytest.raises(RuntimeError, match="only loopback"):
            client.connect_ex((address, 80))


async def test_asyncio_is_fenced_in_too():
    with pytest.raises(RuntimeError, match="only loopback"):
        await asyncio.open_connection("192.0.2.1", 80)
    with pytest.raises(RuntimeError, match="only loopback"):
        await asyncio.open_connection("api.example.com", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_open(host: str):
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, host, 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(host, port)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
