"""An agent of A2A over TLS, made with the Python SDK: JSON-RPC at /, REST at /rest, 0.3 at /old.

`python -m tests.e2e.a2a_server --port 8444 --cert-dir DIR` writes the certificate of its own
authority to DIR/ca.pem, listens on loopback, and prints `ready`. With `--thinks` it asks a model
before it answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from pathlib import Path
from urllib.request import Request, urlopen

import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette

from tests.e2e.provider.certificates import tls
from tests.e2e.sandbox import ADDRESS

# Path: binding and revision, as the card gives them.
INTERFACES = {"/rpc": ("JSONRPC", "1.0"), "/rest": ("HTTP+JSON", "1.0"), "/old": ("JSONRPC", "0.3")}


def card(port: int) -> AgentCard:
    """Return what the agent says of itself."""
    return AgentCard(
        name="weather",
        version="4.5.6",
        description="Says how the weather is.",
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        capabilities=AgentCapabilities(streaming=True),
        supported_interfaces=[
            AgentInterface(
                url=f"https://localhost:{port}{path}",
                protocol_binding=binding,
                protocol_version=revision,
            )
            for path, (binding, revision) in INTERFACES.items()
        ],
        skills=[AgentSkill(id="sky", name="sky", description="Looks up.", tags=["weather"])],
    )


class Weather(AgentExecutor):
    """Says of each place that it is sunny, in an artifact of two pieces."""

    def __init__(self, thinks: bool) -> None:
        self._thinks = thinks

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answer one message."""
        assert context.message is not None
        task = context.current_task or new_task_from_user_message(context.message)
        if context.current_task is None:
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work(updater.new_agent_message([new_text_part("looking up")]))
        if self._thinks:
            await asyncio.to_thread(think, context.get_user_input())
        for piece, append in ((f"{context.get_user_input()}: ", False), ("sunny", True)):
            await updater.add_artifact(
                [new_text_part(piece)], artifact_id="sky", append=append, last_chunk=append
            )
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Have nothing to cancel: every task is done at once."""


def think(question: str) -> None:
    """Ask a model."""
    turns = [
        {"role": "system", "content": "You are the weather agent. Say how the sky is."},
        {"role": "user", "content": question},
    ]
    body = json.dumps({"model": "gpt-4o-mini", "messages": turns}).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request("https://api.openai.com/v1/chat/completions", body, headers)) as answer:
        answer.read()


def application(port: int, thinks: bool) -> Starlette:
    """Return all bindings of the agent, and its card."""
    told = card(port)
    handler = DefaultRequestHandler(Weather(thinks), InMemoryTaskStore(), told)
    return Starlette(
        routes=[
            *create_agent_card_routes(told),
            *create_jsonrpc_routes(handler, "/rpc"),
            *create_jsonrpc_routes(handler, "/old", enable_v0_3_compat=True),
            *create_rest_routes(handler, path_prefix="/rest"),
        ]
    )


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


async def serve(port: int, directory: Path, thinks: bool) -> None:
    """Serve until killed."""
    config = uvicorn.Config(application(port, thinks), host=ADDRESS, port=port, log_level="warning")
    config.load()
    config.ssl = tls(directory)
    await _Server(config).serve()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="An agent of A2A over TLS, on loopback.")
    parser.add_argument("--port", type=int, default=8444)
    parser.add_argument("--cert-dir", type=Path, required=True)
    parser.add_argument("--thinks", action="store_true")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.cert_dir, options.thinks))


if __name__ == "__main__":
    main()
