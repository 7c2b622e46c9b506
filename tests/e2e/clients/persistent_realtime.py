"""A realtime conversation in text that goes on over a new WebSocket when one is lost.

Each line of stdin is a JSON list of prompts, said in one turn; each gives a line with the answer in
a list, null for an error. A prompt that begins with "!" is not said before a response is asked for:
it is in the message that asks.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx
import websockets
from openai import OpenAI, OpenAIError
from openai.resources.realtime.realtime import RealtimeConnection

ERRORS = (OpenAIError, OSError, httpx.TransportError, websockets.WebSocketException)
client = OpenAI(max_retries=0)
opened: list[RealtimeConnection] = []


def ask(prompts: list[str]) -> str:
    if not opened:
        opened.append(client.realtime.connect(model="gpt-realtime").enter())
    (connection,) = opened
    options: dict[str, Any] = {"output_modalities": ["text"]}
    for prompt in prompts:
        content = [{"type": "input_text", "text": prompt.removeprefix("!")}]
        item: Any = {"type": "message", "role": "user", "content": content}
        if prompt.startswith("!"):
            options["input"] = [item]
        else:
            connection.conversation.item.create(item=item)
    response: Any = options
    connection.response.create(response=response)
    text = ""
    for event in connection:
        if event.type == "response.output_text.done":
            text = event.text
        elif event.type == "response.done":
            return text
    raise OSError("the server ended it")


for line in iter(sys.stdin.readline, ""):
    try:
        answer: str | None = ask(json.loads(line))
    except ERRORS:
        opened.clear()
        answer = None
    print(json.dumps([answer]), flush=True)
