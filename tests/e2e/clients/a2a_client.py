"""An agent that asks another one by A2A: fetch its card, send it messages, look a task up.

The first argument says how to speak: `rpc`, `rest` or `old` for revision 0.3, the path that the
card gives for it; with `--stream` answers come in pieces. The others are what to ask.
"""

import argparse
import asyncio
import json

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_artifact_text, new_text_message
from a2a.types.a2a_pb2 import GetTaskRequest, Role, SendMessageRequest

parser = argparse.ArgumentParser()
parser.add_argument("binding", choices=("rpc", "rest", "old"))
parser.add_argument("--stream", action="store_true")
parser.add_argument("--port", type=int, default=8444)
parser.add_argument("questions", nargs="+")
options = parser.parse_args()


async def main() -> None:
    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, f"https://localhost:{options.port}").get_agent_card()
        chosen = [one for one in card.supported_interfaces if one.url.endswith(options.binding)]
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(chosen)
        config = ClientConfig(
            streaming=options.stream,
            httpx_client=http,
            supported_protocol_bindings=["JSONRPC", "HTTP+JSON"],
        )
        client = ClientFactory(config).create(card)
        for question in options.questions:
            message = new_text_message(question, role=Role.ROLE_USER)
            task_id = ""
            async for answer in client.send_message(SendMessageRequest(message=message)):
                task_id = answer.task.id or answer.status_update.task_id or task_id
            task = await client.get_task(GetTaskRequest(id=task_id))
            print(json.dumps(get_artifact_text(task.artifacts[0], "")))


asyncio.run(main())
