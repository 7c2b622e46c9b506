"""The loop of an agent over Ollama's chat, whose calls have no ids."""

import json
import sys
from typing import Any

from ollama import Client

TOOLS = [
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

client = Client(host="https://ollama.com")
for prompt in sys.argv[1:]:
    messages: list[Any] = [{"role": "user", "content": prompt}]
    while calls := (message := client.chat("llama3.2", messages, tools=TOOLS).message).tool_calls:
        messages.append(message)
        for call in calls:
            name, place = call.function.name, call.function.arguments["place"]
            messages.append(
                {"role": "tool", "tool_name": name, "content": f"{name} of {place}: 42"}
            )
    print(json.dumps(message.content))
