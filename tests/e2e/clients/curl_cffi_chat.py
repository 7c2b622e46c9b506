"""curl_cffi, which speaks as Chrome does: BoringSSL linked in, HTTP/2."""

import json
import os
import sys

from curl_cffi import requests

session: requests.Session[requests.Response] = requests.Session(impersonate="chrome")
session.verify = os.environ["SSL_CERT_FILE"]  # type: ignore[assignment]

for prompt in sys.argv[1:]:
    answer = session.post(
        "https://api.openai.com/v1/chat/completions",
        json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]},
        headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
    )
    print(json.dumps(json.loads(answer.content)["choices"][0]["message"]["content"]))
