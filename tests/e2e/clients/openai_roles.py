"""One question, as the agent that a system prompt makes of this; with a user id once more as that
user, over another connection: `openai_roles.py PROMPT MODEL [UID]`.
"""

import json
import os
import sys

from openai import OpenAI

question = sys.stdin.read()
client = OpenAI(max_retries=0)


def ask() -> None:
    completion = client.chat.completions.create(
        model=sys.argv[2],
        messages=[
            {"role": "system", "content": sys.argv[1]},
            {"role": "user", "content": question},
        ],
        extra_headers={"Connection": "close"},
    )
    print(json.dumps(completion.choices[0].message.content))


ask()
for uid in sys.argv[3:]:  # by now all is loaded that only root may read
    os.setuid(int(uid))
    ask()
