"""The Python server: LLM answers at a provider's pace, and all that other servers send.

`python -m tests.ml.traffic.server --cert-dir DIR` listens on the port of each scenario of `aiohttp`
and prints `ready`. The dialects are spelled by the fake provider of tests/e2e.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider import google
from tests.e2e.provider.anthropic import anthropic_answer, anthropic_events
from tests.e2e.provider.openai_chat import openai_answer, openai_stream
from tests.e2e.provider.replies import Reply
from tests.e2e.provider.sending import data_event, named_event
from tests.ml.traffic.profiles import PROFILES, Profile
from tests.ml.traffic.scenarios import BEHIND, PORTS, Scenario

CHANCE = random.Random(5)
WORDS = "The quick brown fox jumps over a lazy dog, while models answer word by word. " * 80
# Characters of an answer, at least and at most; five are a token, as `replies.pieces` cuts.
SHORTEST, LONGEST = 100, 4000


def scenario(request: web.Request) -> Scenario:
    """Return the scenario that the port of the connection stands for."""
    assert request.transport is not None
    return PORTS[request.transport.get_extra_info("sockname")[1] - BEHIND]


def answer() -> Reply:
    """Return an answer of some length: most are a few sentences, some are pages."""
    length = int(min(max(CHANCE.lognormvariate(6.7, 0.8), SHORTEST), LONGEST))
    return Reply("", "model", WORDS[:length], (), Tokens(100, length // 5, 0))


async def paced(
    request: web.Request, profile: Profile, events: Iterator[bytes]
) -> web.StreamResponse:
    """Send the pieces of an answer as a model makes them."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await asyncio.sleep(profile.wait(CHANCE))
    await response.prepare(request)
    pieces = list(events)
    due = asyncio.get_running_loop().time()
    for i in range(0, len(pieces), profile.together):
        await response.write(b"".join(pieces[i : i + profile.together]))
        due += profile.pause(CHANCE)
        await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0))
    return response


def events(request: web.Request, reply: Reply) -> Iterator[bytes]:
    """Spell a streamed answer in the dialect of the path."""
    if request.path.endswith("/messages"):
        return (f"{named_event(event)}\n\n".encode() for event in anthropic_events(reply))
    if "Generate" in request.path:
        return (f"{data_event(chunk)}\r\n\r\n".encode() for chunk in google.chunks(reply))
    return (f"{event}\n\n".encode() for event in openai_stream(reply, True))


async def llm(request: web.Request) -> web.StreamResponse:
    """Answer a prompt: streamed, or whole when all of it is there."""
    profile = PROFILES[scenario(request).profile]
    body = await request.json()
    reply = answer()
    if body.get("stream") or "stream" in request.path:
        return await paced(request, profile, events(request, reply))
    await asyncio.sleep(profile.wait(CHANCE) + reply.tokens.output / profile.rate)
    spell = anthropic_answer if request.path.endswith("/messages") else openai_answer
    return web.json_response(spell(reply))


async def rest(request: web.Request) -> web.Response:
    """Answer as a REST service: some fields or a list of them, after a query of a database."""
    await request.read()
    await asyncio.sleep(CHANCE.expovariate(1 / 0.06))
    rows = int(CHANCE.lognormvariate(1.5, 1.5)) + 1
    return web.json_response([{"id": i, "name": "widget", "price": 9.5} for i in range(rows)])


async def blob(request: web.Request) -> web.Response:
    """Send so many bytes in one go: a file, a part of a video, a picture of a page."""
    return web.Response(body=CHANCE.randbytes(min(int(request.match_info["size"]), 1 << 24)))


async def page(request: web.Request) -> web.Response:
    """Send a page, whose pictures and scripts the client asks for next."""
    await asyncio.sleep(CHANCE.expovariate(1 / 0.1))
    sizes = [int(CHANCE.lognormvariate(9.5, 1.2)) for _ in range(CHANCE.randint(3, 25))]
    links = "".join(f'<img src="/blob/{size}">' for size in sizes)
    return web.Response(text=f"<html>{links}{WORDS}</html>", content_type="text/html")


async def upload(request: web.Request) -> web.Response:
    """Take a file."""
    data = await request.read()
    return web.json_response({"bytes": len(data)})


async def poll(request: web.Request) -> web.Response:
    """Answer when something happened: long polling."""
    await asyncio.sleep(CHANCE.uniform(0.5, 6))
    return web.json_response({"events": [{"id": CHANCE.randint(1, 1000), "text": WORDS[:60]}]})


async def endless(request: web.Request) -> web.StreamResponse:
    """Send lines until the client has enough: prices, logs, sound."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    kind = scenario(request).kind
    rate = CHANCE.uniform(1, 8)
    for _ in range(2000):
        if kind == "radio":
            await response.write(CHANCE.randbytes(4000))  # 128 kbit/s
            await asyncio.sleep(0.25)
        elif kind == "log_tail":
            # Something happens, and leaves several lines; then nothing does for a while.
            for _ in range(CHANCE.randint(1, 12)):
                await response.write(
                    f"2026-01-01 INFO {WORDS[: CHANCE.randint(20, 160)]}\n".encode()
                )
            await asyncio.sleep(CHANCE.expovariate(1 / 0.8))
        else:
            price = {"symbol": "ABC", "price": CHANCE.random(), "volume": CHANCE.randint(1, 999)}
            await response.write(f"data: {json.dumps(price)}\n\n".encode())
            await asyncio.sleep(CHANCE.expovariate(rate))
    return response


async def chat(request: web.Request) -> web.WebSocketResponse:
    """Pass what people write to each other, at the pace of people."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)

    async def others() -> None:
        while not socket.closed:
            await asyncio.sleep(CHANCE.expovariate(1 / 1.5))
            await socket.send_str(
                json.dumps({"from": "b", "text": WORDS[: CHANCE.randint(5, 200)]})
            )

    task = asyncio.ensure_future(others())
    try:
        async for message in socket:
            await socket.send_str(json.dumps({"seen": len(str(message.data))}))
    finally:
        task.cancel()
    return socket


async def index(request: web.Request) -> web.Response:
    """List what the index of packages has."""
    name = request.match_info["name"]
    directory = request.app[PACKAGES]
    links = "".join(f'<a href="/files/{f.name}">{f.name}</a>' for f in directory.glob(f"{name}-*"))
    return web.Response(text=f"<html>{links}</html>", content_type="text/html")


PACKAGES: web.AppKey[Path] = web.AppKey("packages", Path)


async def serve(directory: Path) -> None:
    """Serve until killed."""
    from tests.e2e.provider.certificates import tls

    application = web.Application(client_max_size=1 << 26)
    application[PACKAGES] = directory / "packages"
    application[PACKAGES].mkdir(exist_ok=True)
    application.add_routes(
        [
            web.post("/v1/chat/completions", llm),
            web.post("/v1/messages", llm),
            web.post("/{version}/models/{model}", llm),
            web.route("*", "/api/{tail:.*}", rest),
            web.get("/blob/{size}", blob),
            web.get("/page", page),
            web.post("/upload", upload),
            web.get("/poll", poll),
            web.get("/endless", endless),
            web.get("/chat", chat),
            web.get("/simple/{name}/", index),
            web.static("/files", application[PACKAGES]),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    context = tls(directory)
    for port, row in PORTS.items():
        if row.server == "aiohttp":
            await web.TCPSite(runner, "127.0.0.1", port + BEHIND, ssl_context=context).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Servers of other traffic and of LLMs.")
    parser.add_argument("--cert-dir", type=Path, required=True)
    asyncio.run(serve(parser.parse_args().cert_dir))
