"""Ollama's chat; options: --generate (the older way), --stream."""

import json
import os
import sys

from ollama import Client

streamed, generate = "--stream" in sys.argv, "--generate" in sys.argv
client = Client(host=os.environ.get("OLLAMA_HOST", "https://ollama.com"))
for prompt in (a for a in sys.argv[1:] if not a.startswith("--")):
    if generate and streamed:
        pieces = [p.response or "" for p in client.generate("llama3.2", prompt, stream=True)]
    elif generate:
        pieces = [client.generate("llama3.2", prompt).response or ""]
    elif streamed:
        asked = [{"role": "user", "content": prompt}]
        pieces = [p.message.content or "" for p in client.chat("llama3.2", asked, stream=True)]
    else:
        asked = [{"role": "user", "content": prompt}]
        pieces = [client.chat("llama3.2", asked).message.content or ""]
    print(json.dumps("".join(pieces)))
