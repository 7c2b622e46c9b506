"""The loop of an agent over Cohere's chat."""

import json
import sys

import cohere

TOOLS = [
    cohere.ToolV2(
        function=cohere.ToolV2Function(
            name=name,
            description=f"Look up the {name} of a place.",
            parameters={"type": "object", "properties": {"place": {"type": "string"}}},
        )
    )
    for name in ("weather", "population")
]

client = cohere.ClientV2()
for prompt in sys.argv[1:]:
    messages: list[cohere.ChatMessageV2] = [cohere.UserChatMessageV2(content=prompt)]
    while True:
        said = client.chat(model="command-a-03-2025", messages=messages, tools=TOOLS).message
        if not said.tool_calls:
            break
        messages.append(cohere.AssistantChatMessageV2(tool_calls=said.tool_calls))
        for call in said.tool_calls:
            assert call.function is not None
            place = json.loads(call.function.arguments or "")["place"]
            result = f"{call.function.name} of {place}: 42"
            messages.append(cohere.ToolChatMessageV2(tool_call_id=call.id, content=result))
    print(json.dumps("".join(p.text for p in said.content or () if p.type == "text")))
