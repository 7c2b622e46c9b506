"""An agent made with Pydantic AI, whose tools are functions."""

import json
import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

agent = Agent(OpenAIChatModel("gpt-4o-mini"), instructions="Answer briefly.")


@agent.tool_plain
def weather(place: str, unit: str) -> str:
    """Look up the weather of a place."""
    return f"weather of {place}: 42"


@agent.tool_plain
def population(place: str, unit: str) -> str:
    """Look up the population of a place."""
    return f"population of {place}: 42"


for prompt in sys.argv[1:]:
    print(json.dumps(agent.run_sync(prompt).output))
