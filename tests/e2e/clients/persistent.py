"""Asks what it is told to and goes on after errors of the network; one process, one client.

Arguments: `openai` or `anthropic`, and `--async` for the asynchronous client. Each line of stdin is
a JSON list of prompts, asked at once by the asynchronous one; each gives a line with the answers,
null for an error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import anthropic
import openai

SDK, IS_ASYNC = sys.argv[1], "--async" in sys.argv
ERRORS = (openai.APIConnectionError, anthropic.APIConnectionError)


def openai_client() -> Any:
    kind = openai.AsyncOpenAI if IS_ASYNC else openai.OpenAI
    return kind(max_retries=0, timeout=50)


def anthropic_client() -> Any:
    kind = anthropic.AsyncAnthropic if IS_ASYNC else anthropic.Anthropic
    return kind(max_retries=0, timeout=50)


def begin(client: Any, prompt: str) -> Any:
    messages = [{"role": "user", "content": prompt}]
    if SDK == "openai":
        return client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    return client.messages.create(model="claude-sonnet-4-5", max_tokens=1000, messages=messages)


def text(answer: Any) -> str:
    found = answer.choices[0].message.content if SDK == "openai" else answer.content[0].text
    return str(found)


async def ask(asked: Awaitable[Any]) -> str | None:
    try:
        return text(await asked)
    except ERRORS:
        return None


def ask_now(client: Any, prompt: str) -> str | None:
    try:
        return text(begin(client, prompt))
    except ERRORS:
        return None


async def all_at_once(client: Any, prompts: list[str]) -> list[str | None]:
    return await asyncio.gather(*(ask(begin(client, prompt)) for prompt in prompts))


async def main() -> None:
    client = openai_client() if SDK == "openai" else anthropic_client()
    for line in iter(sys.stdin.readline, ""):
        prompts = json.loads(line)
        if IS_ASYNC:
            answers = await all_at_once(client, prompts)
        else:
            answers = [ask_now(client, prompt) for prompt in prompts]
        print(json.dumps(answers), flush=True)


asyncio.run(main())
