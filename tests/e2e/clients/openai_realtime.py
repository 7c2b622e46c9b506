"""A realtime conversation in text, over a WebSocket."""

import json
import sys

from openai import OpenAI
from openai.types.realtime import RealtimeConversationItemUserMessageParam

client = OpenAI(max_retries=0)
with client.realtime.connect(model="gpt-realtime") as connection:
    connection.session.update(session={"type": "realtime", "instructions": "Answer briefly."})
    for prompt in sys.argv[1:]:
        item: RealtimeConversationItemUserMessageParam = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": prompt}],
        }
        connection.conversation.item.create(item=item)
        connection.response.create(response={"output_modalities": ["text"]})
        for event in connection:
            if event.type == "response.output_text.done":
                print(json.dumps(event.text))
            elif event.type == "response.done":
                break
