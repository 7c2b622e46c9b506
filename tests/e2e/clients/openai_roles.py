"""One question, as the agent that a system prompt makes of this, and as another user if one is
given: `openai_roles.py PROMPT MODEL [UID]`.
"""

import json
import os
import sys

from openai import OpenAI

client = OpenAI(max_retries=0)
for uid in sys.argv[3:]:  # when it has read the certificates, which are root's
    os.setuid(int(uid))
completion = client.chat.completions.create(
    model=sys.argv[2],
    messages=[
        {"role": "system", "content": sys.argv[1]},
        {"role": "user", "content": sys.stdin.read()},
    ],
)
print(json.dumps(completion.choices[0].message.content))
