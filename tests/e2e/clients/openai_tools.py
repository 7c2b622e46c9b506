"""The loop of an agent: run the tools that the model asks for, and tell it what came out."""

import json
import sys
from typing import cast

from openai import OpenAI
from openai.types.chat import (
    ChatCompletionMessage,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
)

TOOLS: list[ChatCompletionToolUnionParam] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Look up the {name} of a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        },
    }
    for name in ("weather", "population")
]

streamed = sys.argv[1] == "--stream"
client = OpenAI(max_retries=0)


def ask(messages: list[ChatCompletionMessageParam]) -> ChatCompletionMessage:
    chat = client.chat.completions
    if streamed:
        with chat.stream(model="gpt-4o-mini", messages=messages, tools=TOOLS) as stream:
            return stream.get_final_completion().choices[0].message
    completion = chat.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    return completion.choices[0].message


for prompt in sys.argv[1 + streamed :]:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt}]
    while (message := ask(messages)).tool_calls:
        calls = [call for call in message.tool_calls if call.type == "function"]
        asked = [{"id": c.id, "type": "function", "function": c.function.to_dict()} for c in calls]
        turn = {"role": "assistant", "tool_calls": asked}
        messages.append(cast("ChatCompletionMessageParam", turn))
        for call in calls:
            place = json.loads(call.function.arguments)["place"]
            result = f"{call.function.name} of {place}: 42"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    print(json.dumps(message.content))
