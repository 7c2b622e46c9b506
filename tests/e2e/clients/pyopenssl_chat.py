"""urllib3 on pyOpenSSL: OpenSSL as `cryptography` has it linked in, not exported."""

import json
import os
import sys

import urllib3
from urllib3.contrib import pyopenssl

pyopenssl.inject_into_urllib3()
pool = urllib3.PoolManager(ca_certs=os.environ["SSL_CERT_FILE"])

for prompt in sys.argv[1:]:
    answer = pool.request(
        "POST",
        "https://api.openai.com/v1/chat/completions",
        json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]},
        headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
    )
    print(json.dumps(answer.json()["choices"][0]["message"]["content"]))
