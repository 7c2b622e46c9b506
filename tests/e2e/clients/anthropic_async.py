"""All questions at once."""

import asyncio
import json
import sys

from anthropic import AsyncAnthropic


async def ask(client: AsyncAnthropic, prompt: str) -> str:
    message = await client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=1000,
        messages=[{"role": "user", "content": prompt}],
    )
    return "".join(block.text for block in message.content if block.type == "text")


async def main() -> None:
    client = AsyncAnthropic(max_retries=0)
    prompts = sys.argv[1:] or [sys.stdin.read()]
    for answer in await asyncio.gather(*(ask(client, prompt) for prompt in prompts)):
        print(json.dumps(answer))


asyncio.run(main())
