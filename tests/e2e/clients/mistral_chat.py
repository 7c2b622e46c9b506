"""Mistral's chat; with --stream, answers piece by piece."""

import json
import os
import sys

from mistralai.client import Mistral
from mistralai.client.models import UserMessage

streamed = sys.argv[1] == "--stream"
client = Mistral(api_key=os.environ["MISTRAL_API_KEY"])
for prompt in sys.argv[1 + streamed :]:
    asked = [UserMessage(content=prompt)]
    if streamed:
        events = client.chat.stream(model="mistral-small-latest", messages=asked)
        print(json.dumps("".join(str(e.data.choices[0].delta.content or "") for e in events)))
    else:
        message = (
            client.chat.complete(model="mistral-small-latest", messages=asked).choices[0].message
        )
        print(json.dumps(message and message.content))
