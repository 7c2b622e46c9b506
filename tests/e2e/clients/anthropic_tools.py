"""The loop of an agent: run the tools that the model asks for, and tell it what came out."""

import json
import sys

from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolParam

TOOLS: list[ToolParam] = [
    {
        "name": name,
        "description": f"Look up the {name} of a place.",
        "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}},
    }
    for name in ("weather", "population")
]

streamed = sys.argv[1] == "--stream"
client = Anthropic(max_retries=0)


def ask(messages: list[MessageParam]) -> Message:
    if streamed:
        with client.messages.stream(
            model="claude-sonnet-4-5", max_tokens=1000, messages=messages, tools=TOOLS
        ) as stream:
            return stream.get_final_message()
    return client.messages.create(
        model="claude-sonnet-4-5", max_tokens=1000, messages=messages, tools=TOOLS
    )


for prompt in sys.argv[1 + streamed :]:
    messages: list[MessageParam] = [{"role": "user", "content": prompt}]
    while True:
        message = ask(messages)
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            print(json.dumps("".join(b.text for b in message.content if b.type == "text")))
            break
        messages.append({"role": "assistant", "content": message.content})
        messages.append(
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": call.id,
                        "content": f"{call.name} of {call.input['place']}: 42",
                    }
                    for call in calls
                ],
            }
        )
