"""The loop of an agent over the Responses API; with --stream, answers piece by piece."""

import json
import sys

from openai import OpenAI
from openai.types.responses import FunctionToolParam, Response, ResponseInputParam

TOOLS: list[FunctionToolParam] = [
    {
        "type": "function",
        "name": name,
        "description": f"Look up the {name} of a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        "strict": False,
    }
    for name in ("weather", "population")
]

streamed = sys.argv[1] == "--stream"
client = OpenAI(max_retries=0)


def ask(given: ResponseInputParam) -> Response:
    if streamed:
        with client.responses.stream(model="gpt-4o-mini", input=given, tools=TOOLS) as stream:
            return stream.get_final_response()
    return client.responses.create(model="gpt-4o-mini", input=given, tools=TOOLS)


for prompt in sys.argv[1 + streamed :]:
    given: ResponseInputParam = [{"role": "user", "content": prompt}]
    while True:
        answer = ask(given)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            break
        for call in calls:
            given.append(
                {
                    "type": "function_call",
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                }
            )
        for call in calls:
            place = json.loads(call.arguments)["place"]
            given.append(
                {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": f"{call.name} of {place}: 42",
                }
            )
    print(json.dumps(answer.output_text))
