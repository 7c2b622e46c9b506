"""The Responses API; with --stream, answers piece by piece."""

import json
import sys

from openai import OpenAI

streamed = sys.argv[1] == "--stream"
client = OpenAI(max_retries=0)
for prompt in sys.argv[1 + streamed :]:
    if streamed:
        with client.responses.stream(model="gpt-4o-mini", input=prompt) as stream:
            text = stream.get_final_response().output_text
    else:
        text = client.responses.create(model="gpt-4o-mini", input=prompt).output_text
    print(json.dumps(text))
