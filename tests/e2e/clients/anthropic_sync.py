"""One question after the other over one connection."""

import json
import sys

from anthropic import Anthropic

client = Anthropic(max_retries=0)
for prompt in sys.argv[1:] or [sys.stdin.read()]:
    message = client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=1000,
        system="Answer briefly.",
        messages=[{"role": "user", "content": prompt}],
    )
    print(json.dumps("".join(block.text for block in message.content if block.type == "text")))
