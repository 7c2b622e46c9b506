"""Groq's chat; with --stream, answers piece by piece."""

import json
import sys

from groq import Groq

streamed = sys.argv[1] == "--stream"
client = Groq(max_retries=0)
for prompt in sys.argv[1 + streamed :]:
    if streamed:
        stream = client.chat.completions.create(
            model="llama-3.3-70b-versatile",
            messages=[{"role": "user", "content": prompt}],
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        print(json.dumps("".join(pieces)))
    else:
        completion = client.chat.completions.create(
            model="llama-3.3-70b-versatile", messages=[{"role": "user", "content": prompt}]
        )
        print(json.dumps(completion.choices[0].message.content))
