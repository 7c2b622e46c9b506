"""An ordinary HTTPS client, nothing of AI: a page, then some JSON both ways."""

import json
import sys
from urllib.request import Request, urlopen

SITE = "https://www.example.com"

for prompt in sys.argv[1:] or [sys.stdin.read()]:
    urlopen(f"{SITE}/").read()
    urlopen(f"{SITE}/api/items").read()
    body = json.dumps({"text": prompt}).encode()
    order = Request(f"{SITE}/api/orders", body, {"Content-Type": "application/json"})
    with urlopen(order) as response:
        print(json.dumps(json.load(response)["accepted"]["text"]))
