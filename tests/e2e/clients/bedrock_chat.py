"""Bedrock's four ways to ask a model, the first argument says which, over boto3."""

import json
import sys

import boto3  # type: ignore[import-untyped]

MODEL = "anthropic.claude-sonnet-4-5-v1:0"

operation, *prompts = sys.argv[1:]
client = boto3.client("bedrock-runtime", region_name="us-east-1")


def converse(prompt: str) -> str:
    answer = client.converse(modelId=MODEL, messages=conversation(prompt))
    text: str = answer["output"]["message"]["content"][0]["text"]
    return text


def converse_stream(prompt: str) -> str:
    answer = client.converse_stream(modelId=MODEL, messages=conversation(prompt))
    deltas = [e["contentBlockDelta"] for e in answer["stream"] if "contentBlockDelta" in e]
    return "".join(delta["delta"]["text"] for delta in deltas)


def conversation(prompt: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"text": prompt}]}]


def invoke_model(prompt: str) -> str:
    answer = client.invoke_model(modelId=MODEL, body=body(prompt))
    text: str = json.load(answer["body"])["content"][0]["text"]
    return text


def invoke_model_with_response_stream(prompt: str) -> str:
    answer = client.invoke_model_with_response_stream(modelId=MODEL, body=body(prompt))
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    return "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")


def body(prompt: str) -> str:
    asked = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": prompt}],
    }
    return json.dumps(asked)


OPERATIONS = {
    function.__name__: function
    for function in (converse, converse_stream, invoke_model, invoke_model_with_response_stream)
}
for prompt in prompts:
    print(json.dumps(OPERATIONS[operation](prompt)))
