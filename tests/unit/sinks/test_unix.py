"""Unix sockets, and what all outputs share that write to a connection."""

import asyncio
import socket
from pathlib import Path

import pytest

from busted.sinks.channel import Item, Unavailable
from busted.sinks.delivery import Delivery
from busted.sinks.unix import UnixChannel, UnixSettings
from tests.unit.sinks.peers import (
    QUICK,
    balance,
    event_json,
    items,
    put,
    running,
    stream_server,
    until,
)


class Reader:
    """Reads so many lines in all, then leaves."""

    def __init__(self) -> None:
        self.data = b""
        self.wanted = 3

    async def __call__(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while self.data.count(b"\n") < self.wanted and (data := await reader.read(65536)):
            self.data += data


def test_events_go_to_whoever_listens_now(tmp_path: Path) -> None:
    path, reader = tmp_path / "events.sock", Reader()
    delivery = Delivery("unix", UnixChannel(str(path), UnixSettings()), QUICK)

    async def run() -> None:
        put(delivery, range(3))
        async with running(delivery):
            async with stream_server(reader, path):
                await until(lambda: delivery.figures().delivered == 3)
            path.unlink()
            put(delivery, range(3, 5))
            reader.wanted = 5
            async with stream_server(reader, path):
                await until(lambda: reader.data.count(b"\n") == 5)

    asyncio.run(run())
    assert reader.data.splitlines() == [event_json(n) for n in range(5)]
    assert balance(delivery) == (5, 5)


def test_a_reader_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "events.sock"

    async def run() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            channel = UnixChannel(str(path), UnixSettings(timeout=0.2))
            with pytest.raises(Unavailable, match="takes nothing for"):
                await channel.send([Item("large", 0, event_json(1, 4 << 20))])
            await channel.close()

    asyncio.run(run())


def test_nobody_there_is_no_success(tmp_path: Path) -> None:
    async def run() -> None:
        channel = UnixChannel(str(tmp_path / "away"), UnixSettings())
        with pytest.raises(Unavailable, match="No such file"):
            await channel.send(items(1))

    asyncio.run(run())
