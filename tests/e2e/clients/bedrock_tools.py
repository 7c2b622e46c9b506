"""The loop of an agent over Bedrock's converse; with --stream, answers piece by piece."""

import json
import sys
from typing import Any

import boto3  # type: ignore[import-untyped]

TOOLS = [
    {
        "toolSpec": {
            "name": name,
            "description": f"Look up the {name} of a place.",
            "inputSchema": {
                "json": {"type": "object", "properties": {"place": {"type": "string"}}}
            },
        }
    }
    for name in ("weather", "population")
]

streamed = sys.argv[1] == "--stream"
client = boto3.client("bedrock-runtime", region_name="us-east-1")


def ask(messages: list[Any]) -> list[Any]:
    asked = {
        "modelId": "anthropic.claude-sonnet-4-5-v1:0",
        "messages": messages,
        "toolConfig": {"tools": TOOLS},
    }
    if not streamed:
        content: list[Any] = client.converse(**asked)["output"]["message"]["content"]
        return content
    blocks: dict[int, Any] = {}
    for event in client.converse_stream(**asked)["stream"]:
        if start := event.get("contentBlockStart"):
            used = start["start"]["toolUse"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**used, "input": ""}}
        elif delta := event.get("contentBlockDelta"):
            block = blocks.setdefault(delta["contentBlockIndex"], {"text": ""})
            if "toolUse" in block:
                block["toolUse"]["input"] += delta["delta"]["toolUse"]["input"]
            else:
                block["text"] += delta["delta"]["text"]
    for block in blocks.values():
        if used := block.get("toolUse"):
            used["input"] = json.loads(used["input"])
    return list(blocks.values())


for prompt in sys.argv[1 + streamed :]:
    messages: list[Any] = [{"role": "user", "content": [{"text": prompt}]}]
    while True:
        content = ask(messages)
        calls = [block["toolUse"] for block in content if "toolUse" in block]
        if not calls:
            break
        messages.append({"role": "assistant", "content": content})
        results = [
            {
                "toolUseId": call["toolUseId"],
                "content": [{"text": f"{call['name']} of {call['input']['place']}: 42"}],
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": [{"toolResult": r} for r in results]})
    print(json.dumps("".join(block["text"] for block in content)))
