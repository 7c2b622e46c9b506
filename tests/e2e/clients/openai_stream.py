"""Answers taken piece by piece."""

import json
import sys

from openai import OpenAI

client = OpenAI(max_retries=0)
for prompt in sys.argv[1:] or [sys.stdin.read()]:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    print(json.dumps("".join(pieces)))
