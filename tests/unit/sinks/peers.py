"""Peers of outputs that do as a test says, and deliveries that run in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from busted.sinks.channel import ALL_TAKEN, Item, Sent
from busted.sinks.delivery import Delivery, Limits

DEADLINE = 30.0
# Batches do not wait, and neither does another try for long.
QUICK = Limits(batch_seconds=0.01, retry_seconds=0.01, most_retry_seconds=0.02)


def event_json(number: int, size: int = 0) -> bytes:
    return msgspec.json.encode({"id": f"event-{number}", "text": "x" * size})


def items(*numbers: int) -> list[Item]:
    return [Item(f"event-{n}", 1.7e9, event_json(n)) for n in numbers]


def put(delivery: Delivery, numbers: Iterable[int], size: int = 0) -> None:
    for number in numbers:
        delivery.put(f"event-{number}", event_json(number, size))


class Scripted:
    """A channel that answers with the next of `answers`, then takes everything."""

    def __init__(self, answers: Iterable[Sent | Exception] = ()) -> None:
        self.answers = list(answers)
        self.batches: list[list[str]] = []
        self.taken: list[str] = []
        self.closed = False

    async def send(self, batch: Sequence[Item]) -> Sent:
        ids = [item.id for item in batch]
        self.batches.append(ids)
        answer = self.answers.pop(0) if self.answers else ALL_TAKEN
        if isinstance(answer, Exception):
            raise answer
        self.taken += [id for position, id in enumerate(ids) if position not in answer.again]
        return answer

    async def close(self) -> None:
        self.closed = True


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(delivery: Delivery) -> AsyncIterator[None]:
    """Run a delivery; on the way out it is stopped and delivers what is left."""
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        tasks.create_task(delivery.run())
        yield
        delivery.stop()


def balance(delivery: Delivery) -> tuple[int, int]:
    """Both sides of the promise: what came in, and what became of it."""
    figures = delivery.figures()
    came = figures.found + figures.produced
    return came, figures.delivered + figures.waiting + sum(figures.lost.values())


class HttpServer:
    """A web server on loopback: keeps requests, answers as `answer` says."""

    def __init__(self, answer: Callable[[web.Request, bytes], web.Response]) -> None:
        self.answer = answer
        self.requests: list[tuple[web.Request, bytes]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request, body))
        return self.answer(request, body)


@contextlib.asynccontextmanager
async def http_server(
    answer: Callable[[web.Request, bytes], web.Response], **site: object
) -> AsyncIterator[HttpServer]:
    server = HttpServer(answer)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, **site).start()  # type: ignore[arg-type]
        scheme = "https" if site else "http"
        server.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def stream_server(serve: Serve, path: Path | None = None) -> AsyncIterator[int]:
    """A server on loopback, or at a path, that does `serve` with each client; gives its port."""
    clients: set[asyncio.Task[None]] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        clients.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    if path:
        server: asyncio.Server = await asyncio.start_unix_server(client, path)
    else:
        server = await asyncio.start_server(client, "127.0.0.1", 0)
    try:
        yield 0 if path else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*clients, return_exceptions=True)


def spool_file(directory: Path) -> Path:
    return directory / "spool" / "test.db"


def fill(disk: Path) -> Path:
    """Take all the room that a disk has, and return the file that has it."""
    ballast = disk / "ballast"
    with pytest.raises(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast
