"""All questions at once over one HTTP/2 connection; with --stream, answers piece by piece."""

import asyncio
import json
import sys

from openai import AsyncOpenAI, DefaultAsyncHttpx2Client


async def ask(client: AsyncOpenAI, prompt: str) -> str | None:
    completion = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
    )
    return completion.choices[0].message.content


async def ask_streamed(client: AsyncOpenAI, prompt: str) -> str:
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}], stream=True
    )
    return "".join(
        [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    )


async def main() -> None:
    streamed = "--stream" in sys.argv
    prompts = [argument for argument in sys.argv[1:] if argument != "--stream"]
    client = AsyncOpenAI(max_retries=0, http_client=DefaultAsyncHttpx2Client(http2=True))
    how = ask_streamed if streamed else ask
    for answer in await asyncio.gather(*(how(client, prompt) for prompt in prompts)):
        print(json.dumps(answer))


asyncio.run(main())
