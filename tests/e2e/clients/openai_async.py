"""All questions at once."""

import asyncio
import json
import sys

from openai import AsyncOpenAI


async def ask(client: AsyncOpenAI, prompt: str) -> str | None:
    completion = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
    )
    return completion.choices[0].message.content


async def main() -> None:
    client = AsyncOpenAI(max_retries=0)
    prompts = sys.argv[1:] or [sys.stdin.read()]
    for answer in await asyncio.gather(*(ask(client, prompt) for prompt in prompts)):
        print(json.dumps(answer))


asyncio.run(main())
