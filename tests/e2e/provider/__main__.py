"""Serve until killed, see the package."""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from pathlib import Path

from aiohttp import web

from tests.e2e.provider import (
    anthropic,
    bedrock,
    cohere,
    google,
    ollama,
    openai_chat,
    openai_media,
    openai_realtime,
    openai_responses,
    peers,
    site,
)
from tests.e2e.provider.certificates import tls
from tests.e2e.provider.sending import CODING, CODINGS_SENT, COMPRESSORS
from tests.e2e.sandbox import ADDRESS

# A request may be this big, in bytes: more than any prompt that a test sends.
MAX_REQUEST = 64 * 1024 * 1024

# Without TLS: where Ollama listens, and where nobody does.
PLAIN_PORTS = (11434, 9080)

# Told apart by paths alone: those of different hosts do not collide. An answer to the same
# path may differ by what is asked for.
ROUTES = (
    web.post("/v1/chat/completions", openai_chat.openai_chat),
    web.post("/openai/v1/chat/completions", openai_chat.openai_chat),
    web.post("/openai/deployments/{deployment}/chat/completions", openai_chat.openai_chat),
    web.get("/v1/models", openai_chat.openai_models),
    web.post("/v1/responses", openai_responses.responses),
    web.get("/v1/responses", openai_responses.websocket),
    web.post("/v1/embeddings", openai_media.embeddings),
    web.post("/v1/moderations", openai_media.moderations),
    web.post("/v1/images/generations", openai_media.images),
    web.post("/v1/audio/speech", openai_media.speech),
    web.post("/v1/audio/transcriptions", openai_media.transcriptions),
    web.get("/v1/realtime", openai_realtime.realtime),
    web.post("/v1/messages", anthropic.anthropic_messages),
    web.post("/{version}/models/{model}:{method}", google.generate),
    web.post("/{version}/projects/{scope:.*}/models/{model}:{method}", google.generate),
    web.post("/model/{model}/{operation}", bedrock.model),
    web.post("/v1/chat", cohere.chat_v1),
    web.post("/v2/chat", cohere.chat),
    web.post("/api/chat", ollama.chat),
    web.post("/api/generate", ollama.generate),
    web.get("/", site.page),
    web.get("/slow", site.page),
    web.get("/peers", peers.peers),
    web.get("/api/items", site.items),
    web.post("/api/orders", site.orders),
)


async def serve(port: int, directory: Path, coding: str | None) -> None:
    """Serve until killed; with `coding`, answers have that where the client takes it."""
    application = web.Application(client_max_size=MAX_REQUEST)
    application[peers.PEERS] = deque(maxlen=peers.MAX_PEERS)
    if coding:
        application[CODING] = coding
        application[CODINGS_SENT] = directory / "codings"
    application.add_routes(ROUTES)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, port, ssl_context=tls(directory)).start()
    for plain in PLAIN_PORTS:
        await web.TCPSite(runner, ADDRESS, plain).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A fake provider, on loopback.")
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--cert-dir", type=Path, required=True)
    parser.add_argument("--coding", choices=COMPRESSORS)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.cert_dir, options.coding))


if __name__ == "__main__":
    main()
