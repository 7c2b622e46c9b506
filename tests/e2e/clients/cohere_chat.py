"""Cohere's chat, with the options --v1 (the version before) and --stream."""

import json
import sys

import cohere

MODEL = "command-a-03-2025"
streamed, first = "--stream" in sys.argv, "--v1" in sys.argv


def ask_first(prompt: str) -> str:
    client = cohere.Client()
    if not streamed:
        return client.chat(message=prompt, model=MODEL).text
    events = client.chat_stream(message=prompt, model=MODEL)
    return "".join(event.text for event in events if event.event_type == "text-generation")


def ask(prompt: str) -> str:
    client = cohere.ClientV2()
    message = cohere.UserChatMessageV2(content=prompt)
    if streamed:
        told = ""
        for event in client.chat_stream(model=MODEL, messages=[message]):
            if event.type == "content-delta":
                assert event.delta and event.delta.message and event.delta.message.content
                told += event.delta.message.content.text or ""
        return told
    said = client.chat(model=MODEL, messages=[message]).message.content or []
    return "".join(part.text for part in said if part.type == "text")


for prompt in (a for a in sys.argv[1:] if not a.startswith("--")):
    print(json.dumps(ask_first(prompt) if first else ask(prompt)))
