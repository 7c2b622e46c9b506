"""LangChain's models; the first argument says whose, and --stream asks for pieces."""

import json
import sys

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

vendor, *rest = sys.argv[1:]
model: BaseChatModel = (
    ChatOpenAI(model="gpt-4o-mini", max_retries=0)
    if vendor == "openai"
    else ChatAnthropic(model_name="claude-sonnet-4-5", max_retries=0, timeout=60, stop=None)
)
for prompt in (argument for argument in rest if argument != "--stream"):
    if "--stream" in rest:
        print(json.dumps("".join(str(piece.text) for piece in model.stream(prompt))))
    else:
        print(json.dumps(str(model.invoke(prompt).text)))
