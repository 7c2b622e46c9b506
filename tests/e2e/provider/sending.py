"""How answers are sent: whole or piece by piece, compressed, cut, late or refused."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import brotli  # type: ignore[import-untyped]
import zstandard
from aiohttp import web

from tests.e2e.answers import CUT, ERRORS, SLOW
from tests.e2e.provider.replies import Json, Reply, pieces

# Seconds before each piece of a slow answer.
PAUSE = 0.02


class Compressor(NamedTuple):
    """A coding of bodies; a piece can be read as soon as it is there."""

    piece: Callable[[bytes], bytes]
    end: Callable[[], bytes]


def _gzip() -> Compressor:
    encoder = zlib.compressobj(wbits=31)
    return Compressor(
        lambda data: encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH), encoder.flush
    )


def _brotli() -> Compressor:
    encoder = brotli.Compressor()
    return Compressor(lambda data: encoder.process(data) + encoder.flush(), encoder.finish)


def _zstandard() -> Compressor:
    encoder = zstandard.ZstdCompressor().compressobj()
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return Compressor(lambda data: encoder.compress(data) + encoder.flush(block), encoder.flush)


def _plain() -> Compressor:
    return Compressor(bytes, bytes)


COMPRESSORS: Mapping[str, Callable[[], Compressor]] = {
    "gzip": _gzip,
    "br": _brotli,
    "zstd": _zstandard,
    "identity": _plain,
}
# Front ends differ: these compress streams too, and so. The others send what is whole in gzip.
STREAMS_IN = {
    "generativelanguage.googleapis.com": "gzip",
    "api.mistral.ai": "br",
    "api.groq.com": "zstd",
}


# The coding of all answers, and where to write which were sent so, a line each.
CODING = web.AppKey("coding", str)
CODINGS_SENT = web.AppKey("codings_sent", Path)


def coding(request: web.Request, *, stream: bool) -> str:
    """Return how to compress the answer, in a coding that the client takes."""
    usual = STREAMS_IN.get(request.host, "identity" if stream else "gzip")
    chosen = request.app.get(CODING, usual)
    if chosen not in request.headers.get("Accept-Encoding", ""):
        chosen = "identity"
    if CODINGS_SENT in request.app:
        with request.app[CODINGS_SENT].open("a") as file:
            file.write(f"{chosen}\n")
    return chosen


def compress(request: web.Request, response: web.Response) -> None:
    """Compress an answer where the client takes it, as the providers' front ends do."""
    name = coding(request, stream=False)
    if name != "identity" and isinstance(response.body, bytes):
        compressor = COMPRESSORS[name]()
        response.body = compressor.piece(response.body) + compressor.end()
        response.headers["Content-Encoding"] = name


def refusal(prompt: str) -> tuple[int, str, str] | None:
    """Return status, kind and message of the error that a prompt asks for, if it does."""
    for word, (status, kind) in ERRORS.items():
        if prompt.startswith(word):
            return status, kind, f"refused: {kind}"
    return None


def to_json(answer: object) -> str:
    """Spell JSON as most providers do, whose texts are no ASCII."""
    return json.dumps(answer, ensure_ascii=False)


def data_event(fields: Json) -> str:
    """Return a server-sent event that has nothing but data."""
    return f"data: {to_json(fields)}"


def named_event(fields: Json) -> str:
    """Return a server-sent event whose name is the type that its data has too."""
    return f"event: {fields['type']}\n{data_event(fields)}"


def whole(request: web.Request, answer: Json, status: int = 200) -> web.Response:
    """Send JSON in one piece."""
    response = web.json_response(answer, status=status, dumps=to_json)
    compress(request, response)
    return response


async def whole_or_cut(request: web.Request, answer: Reply, spelled: Json) -> web.StreamResponse:
    """Send JSON in one piece, or only its first half where the prompt asks for that."""
    if answer.prompt.startswith(SLOW):
        await asyncio.sleep(len(list(pieces(answer.text))) * PAUSE)
    if not answer.prompt.startswith(CUT):
        return whole(request, spelled)
    body = to_json(spelled).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    hang_up(request)
    return response


async def streamed(
    request: web.Request, answer: Reply, events: Iterable[str]
) -> web.StreamResponse:
    """Send server-sent events, half of them where the prompt asks to be cut."""
    sent = (f"{event}\n\n".encode() for event in events)
    return await in_pieces(request, answer, sent, "text/event-stream; charset=utf-8")


async def in_pieces(
    request: web.Request, answer: Reply, sent: Iterable[bytes], media_type: str
) -> web.StreamResponse:
    """Send pieces of any kind, half of them where the prompt asks to be cut."""
    told, name = list(sent), coding(request, stream=True)
    response = web.StreamResponse(headers={"Content-Type": media_type})
    if name != "identity":
        response.headers["Content-Encoding"] = name
    compressor = COMPRESSORS[name]()
    await response.prepare(request)
    for piece in told[: len(told) // 2] if answer.prompt.startswith(CUT) else told:
        if answer.prompt.startswith(SLOW):
            await asyncio.sleep(PAUSE)
        await response.write(compressor.piece(piece))
    if answer.prompt.startswith(CUT):
        hang_up(request)
    else:
        await response.write(compressor.end())
    return response


def hang_up(request: web.Request) -> None:
    """End the connection as a crash would: no last chunk, no TLS close_notify."""
    if request.transport is not None:
        request.transport.abort()
