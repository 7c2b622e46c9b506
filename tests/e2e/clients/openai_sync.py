"""One question after the other over one connection."""

import json
import sys

from openai import OpenAI

client = OpenAI(max_retries=0)
for prompt in sys.argv[1:] or [sys.stdin.read()]:
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": prompt},
        ],
        temperature=0.5,
    )
    print(json.dumps(completion.choices[0].message.content))
