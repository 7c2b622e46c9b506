"""Python's standard library alone, without any SDK: it lives about a tenth of a second."""

import json
import os
import sys
from urllib.request import Request, urlopen

URL = "https://api.openai.com/v1/chat/completions"
HEADERS = {
    "Content-Type": "application/json",
    "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
}

for prompt in sys.argv[1:] or [sys.stdin.read()]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    with urlopen(Request(URL, json.dumps(body).encode(), HEADERS)) as response:
        print(json.dumps(json.load(response)["choices"][0]["message"]["content"]))
