"""The clients in Python, and those that are commands: `client.py LIBRARY KIND URL SECONDS WORKERS`.

Each worker goes through sessions until the time is over: one connection, or what the library makes
of it, on which it asks a few times with the pauses of a person or of a program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

CHANCE = random.Random()
TEXT = (
    "Read these files, find what is wrong with the parser, and write a test that shows it. " * 2000
)
# Sizes of packages and of files: a few KB to megabytes.
SMALL, LARGE = (9.5, 1.2), (13.5, 1.0)


def size(shape: tuple[float, float]) -> int:
    """Return a number of bytes."""
    return int(min(CHANCE.lognormvariate(*shape), 6e6))


def conversation() -> Iterator[list[dict[str, str]]]:
    """Yield the messages of each turn: a conversation grows, most of it code and what tools say."""
    messages = [{"role": "user", "content": TEXT[: size((7.5, 1.3))]}]
    for _ in range(CHANCE.randint(1, 5)):
        yield messages
        messages = [
            *messages,
            {"role": "assistant", "content": TEXT[: CHANCE.randint(50, 2000)]},
            {"role": "user", "content": TEXT[: size((5.5, 1.3))]},
        ]


def thinking() -> float:
    """Return the seconds between turns: tools of an agent run, or a person reads."""
    return min(CHANCE.lognormvariate(-0.7, 1.0), 6.0)


# LLMs, each library in its own way


def _requests(kind: str, url: str) -> None:
    import requests

    with requests.Session() as session:
        if kind.startswith("llm"):
            for messages in conversation():
                asked = {"model": "m", "messages": messages, "stream": kind == "llm_stream"}
                with session.post(f"{url}/v1/chat/completions", json=asked, stream=True) as answer:
                    for _ in answer.iter_content(None):
                        pass
                time.sleep(thinking())
            return
        other(
            kind,
            lambda path: session.get(url + path, stream=True).iter_content(None),
            lambda path, data: session.post(url + path, data=data).content,
        )


def _openai(kind: str, url: str) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        for messages in conversation():
            asked: dict[str, Any] = {"model": "m", "messages": messages}
            if kind == "llm_stream":
                for _ in client.chat.completions.create(**asked, stream=True):
                    pass
            else:
                client.chat.completions.create(**asked)
            time.sleep(thinking())


def _anthropic(kind: str, url: str) -> None:
    from anthropic import Anthropic

    with Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        for messages in conversation():
            asked: Any = {"model": "m", "max_tokens": 1000, "messages": messages}
            with client.messages.stream(**asked) as stream:
                for _ in stream:
                    pass
            time.sleep(thinking())


def _google(kind: str, url: str) -> None:
    from google import genai

    client = genai.Client(api_key="none", http_options={"base_url": url})
    for messages in conversation():
        prompt = "\n".join(message["content"] for message in messages)
        for _ in client.models.generate_content_stream(model="m", contents=prompt):
            pass
        time.sleep(thinking())


def _ollama(kind: str, url: str) -> None:
    from ollama import Client

    client = Client(host=url)
    for messages in conversation():
        for _ in client.chat(model="m", messages=messages, stream=True):
            pass
        time.sleep(thinking())


def _curl_cffi(kind: str, url: str) -> None:
    from curl_cffi import requests as curl

    # The file of an authority is taken, too, whatever the type says.
    authority: Any = os.environ["SSL_CERT_FILE"]
    with curl.Session(verify=authority, impersonate="chrome") as session:
        if kind == "llm_stream":
            for messages in conversation():
                asked = {"model": "m", "messages": messages, "stream": True}
                answer = session.post(f"{url}/v1/chat/completions", json=asked, stream=True)
                for _ in answer.iter_content():
                    pass
                answer.close()
                time.sleep(thinking())
            return
        other(
            kind,
            lambda path: iter([session.get(url + path).content]),
            lambda path, data: session.post(url + path, data=data).content,
        )


def _aiohttp(kind: str, url: str) -> None:
    asyncio.run(_aiohttp_session(kind, url))


async def _aiohttp_session(kind: str, url: str) -> None:
    import ssl

    import aiohttp

    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        if kind == "chat":
            async with session.ws_connect(f"{url}/chat") as socket:
                await _chat(socket.send_str, socket.receive)
            return
        if kind == "llm_stream":
            for messages in conversation():
                asked = {"model": "m", "messages": messages, "stream": True}
                async with session.post(f"{url}/v1/chat/completions", json=asked) as answer:
                    async for _ in answer.content.iter_any():
                        pass
                await asyncio.sleep(thinking())
            return

        async def get(path: str, seconds: float = 1e9) -> bytes:
            start, read = time.monotonic(), b""
            async with session.get(url + path) as answer:
                async for piece in answer.content.iter_any():
                    read += piece[:65536] if len(read) < 1 << 20 else b""
                    if time.monotonic() - start > seconds:
                        break
            return read

        if kind == "page":
            links = _links(await get("/page"))
            waiting = asyncio.Semaphore(6)

            async def picture(path: str) -> None:
                async with waiting:
                    await get(path)

            await asyncio.gather(*map(picture, links))
            await asyncio.sleep(thinking())
        elif kind == "video":
            for _ in range(CHANCE.randint(3, 8)):
                await get(f"/blob/{size((12.5, 0.4))}")
                await asyncio.sleep(CHANCE.uniform(0.8, 3))
        elif kind in ("ticker", "log_tail", "radio"):
            await get("/endless", CHANCE.uniform(4, 20))
        elif kind == "crawl":
            for _ in range(CHANCE.randint(20, 150)):
                await get(f"/blob/{size((7.5, 1.2))}")
        elif kind == "upload":
            async with session.post(f"{url}/upload", data=os.urandom(size(LARGE))) as answer:
                await answer.read()
        elif kind == "download":
            await get(f"/blob/{size(LARGE)}")
        else:
            for _ in range(CHANCE.randint(3, 20)):
                if kind == "rest" and CHANCE.random() < 0.3:
                    async with session.post(f"{url}/api/a", data=TEXT[: size((6, 1))]) as answer:
                        await answer.read()
                else:
                    await get("/poll" if kind == "poll" else "/api/items")
                await asyncio.sleep(CHANCE.expovariate(2))


async def _chat(send: Callable[[str], Any], receive: Callable[[], Any]) -> None:
    async def listen() -> None:
        while True:
            await receive()

    listening = asyncio.ensure_future(listen())
    for _ in range(CHANCE.randint(4, 15)):
        await send(json.dumps({"text": TEXT[: CHANCE.randint(5, 300)]}))
        await asyncio.sleep(CHANCE.expovariate(0.8))
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await listening


def _websockets(kind: str, url: str) -> None:
    import ssl

    import websockets

    async def talk() -> None:
        context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        async with websockets.connect(url.replace("https", "wss") + "/chat", ssl=context) as socket:
            await _chat(socket.send, socket.recv)

    asyncio.run(talk())


def _links(page: bytes) -> list[str]:
    return [link.decode() for link in re.findall(rb'src="(/blob/\d+)"', page)]


def other(
    kind: str, get: Callable[[str], Iterator[bytes]], post: Callable[[str, bytes], object]
) -> None:
    """Do what is no LLM's, with any library that blocks."""

    def read(path: str, seconds: float = 1e9) -> bytes:
        start, told = time.monotonic(), b""
        for piece in get(path):
            told += piece if len(told) < 1 << 20 else b""
            if time.monotonic() - start > seconds:
                break
        return told

    if kind == "page":
        for link in _links(read("/page")):
            read(link)
        time.sleep(thinking())
    elif kind == "video":
        for _ in range(CHANCE.randint(3, 8)):
            read(f"/blob/{size((12.5, 0.4))}")
            time.sleep(CHANCE.uniform(0.8, 3))
    elif kind in ("ticker", "log_tail", "radio"):
        read("/endless", CHANCE.uniform(4, 20))
    elif kind == "crawl":
        for _ in range(CHANCE.randint(20, 150)):
            read(f"/blob/{size((7.5, 1.2))}")
    elif kind == "upload":
        post("/upload", os.urandom(size(LARGE)))
    elif kind == "download":
        read(f"/blob/{size(LARGE)}")
    else:
        for _ in range(CHANCE.randint(3, 20)):
            if CHANCE.random() < 0.3:
                post("/api/a", TEXT[: size((6, 1))].encode())
            else:
                read("/api/items")
            time.sleep(CHANCE.expovariate(2))


# Commands


def _curl(kind: str, url: str) -> None:
    common = ["curl", "-sS", "--no-buffer", "-o", "/dev/null", "--max-time", "40"]
    if kind == "llm_stream":
        asked = {"model": "m", "stream": True, "messages": next(conversation())}
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump(asked, file)
            file.flush()
            headers = ["-H", "content-type: application/json"]
            command = [*common, *headers, f"{url}/v1/chat/completions", "-d", f"@{file.name}"]
            subprocess.run(command, check=False)
    elif kind == "radio":
        command = [*common, "--max-time", str(CHANCE.uniform(5, 20)), f"{url}/endless"]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    elif kind == "download":
        subprocess.run([*common, f"{url}/blob/{size(LARGE)}"], check=False)
    else:
        paths = [f"{url}/api/items"] * CHANCE.randint(2, 6)
        # One connection for all; -o stands for each.
        command = [*common, "--rate", "2/s", *(o for p in paths for o in ("-o", "/dev/null", p))]
        subprocess.run(command, check=False)


def _pip(kind: str, url: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        names = CHANCE.sample(["aa", "bb", "cc", "dd", "ee", "ff"], 3)
        options = ["--no-cache-dir", "--no-deps", "--disable-pip-version-check", "--isolated", "-q"]
        source = ["--index-url", f"{url}/simple", "--cert", os.environ["SSL_CERT_FILE"]]
        command = [sys.executable, "-m", "pip", "download", *options, *source, "-d", directory]
        subprocess.run([*command, *names], check=False)


def _git(kind: str, url: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        command = ["git", "clone", "-q", f"{url}/git/repository.git", f"{directory}/a"]
        environment = os.environ | {"GIT_SSL_CAINFO": os.environ["SSL_CERT_FILE"]}
        subprocess.run(command, check=False, env=environment)


def _psql(kind: str, url: str) -> None:
    port = url.rsplit(":", 1)[1]
    command = [
        "psql",
        "-qAt",
        f"host=127.0.0.1 port={port} user=nobody dbname=postgres sslmode=require",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as asking:
        assert asking.stdin is not None
        for _ in range(CHANCE.randint(5, 25)):
            rows = int(CHANCE.lognormvariate(3, 2.2)) + 1
            asking.stdin.write(
                f"SELECT i, md5(i::text) FROM generate_series(1, {rows}) i;\n".encode()
            )
            asking.stdin.flush()
            time.sleep(CHANCE.expovariate(3))
        asking.stdin.close()


def _chromium(kind: str, url: str) -> None:
    binary = shutil.which("chromium") or "chromium"
    with tempfile.TemporaryDirectory() as directory:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"]
        command = [binary, *options, f"--user-data-dir={directory}", "--dump-dom", f"{url}/page"]
        subprocess.run(command, check=False, capture_output=True, timeout=60)


LIBRARIES: dict[str, Callable[[str, str], None]] = {
    "requests": _requests,
    "openai": _openai,
    "anthropic": _anthropic,
    "google-genai": _google,
    "ollama": _ollama,
    "curl_cffi": _curl_cffi,
    "aiohttp": _aiohttp,
    "websockets": _websockets,
    "curl": _curl,
    "pip": _pip,
    "git": _git,
    "psql": _psql,
    "chromium": _chromium,
}


def main(library: str, kind: str, url: str, seconds: str, workers: str) -> None:
    """Go through sessions until the time is over."""
    until = time.monotonic() + float(seconds)

    def work() -> None:
        time.sleep(CHANCE.uniform(0, 3))
        while time.monotonic() < until:
            try:
                LIBRARIES[library](kind, url)
            except Exception as error:
                print(library, kind, type(error).__name__, str(error)[:200], file=sys.stderr)
                time.sleep(1)
            time.sleep(thinking())

    for _ in range(int(workers)):
        threading.Thread(target=work, daemon=True).start()
    # Those that are half-way end with the process, as programs do that are stopped.
    time.sleep(max(until - time.monotonic(), 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
