"""Answers taken piece by piece."""

import json
import sys

from anthropic import Anthropic

client = Anthropic(max_retries=0)
for prompt in sys.argv[1:] or [sys.stdin.read()]:
    with client.messages.stream(
        model="claude-sonnet-4-5",
        max_tokens=1000,
        messages=[{"role": "user", "content": prompt}],
    ) as stream:
        print(json.dumps("".join(stream.text_stream)))
