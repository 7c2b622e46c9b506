"""The loop of an agent with Gemini; with --stream, answers piece by piece."""

import json
import sys

from google import genai
from google.genai import types

NAMES = ("weather", "population")
TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name=name,
            description=f"Look up the {name} of a place.",
            parameters_json_schema={
                "type": "object",
                "properties": {"place": {"type": "string"}},
            },
        )
        for name in NAMES
    ]
)
CONFIG = types.GenerateContentConfig(tools=[TOOL], system_instruction="Answer briefly.")

streamed = sys.argv[1] == "--stream"
client = genai.Client()


def ask(contents: list[types.Content]) -> list[types.Part]:
    models, name = client.models, "gemini-2.5-flash"
    if streamed:
        chunks = models.generate_content_stream(model=name, contents=contents, config=CONFIG)
        return [part for chunk in chunks for part in chunk.parts or ()]
    return models.generate_content(model=name, contents=contents, config=CONFIG).parts or []


for prompt in sys.argv[1 + streamed :]:
    contents = [types.Content(role="user", parts=[types.Part(text=prompt)])]
    while True:
        parts = ask(contents)
        calls = [part.function_call for part in parts if part.function_call]
        if not calls:
            break
        contents.append(types.Content(role="model", parts=parts))
        results = [
            types.FunctionResponse(
                id=call.id,
                name=call.name,
                response={"output": f"{call.name} of {(call.args or {})['place']}: 42"},
            )
            for call in calls
        ]
        turn = [types.Part(function_response=result) for result in results]
        contents.append(types.Content(role="user", parts=turn))
    print(json.dumps("".join(part.text or "" for part in parts)))
