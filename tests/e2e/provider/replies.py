"""What to answer, before it is spelled in a dialect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tests.e2e.answers import Tokens, call_id, expected_answer, expected_arguments, expected_tokens

Json = dict[str, Any]

# Streams come in pieces of so many characters: small enough that most words are cut.
PIECE = 5
# Answers carry this instead of the time of day, so that they depend on the prompt alone.
CREATED = 1_760_000_000


class Call(NamedTuple):
    """A tool that the client shall run."""

    id: str
    name: str
    arguments: str


class Reply(NamedTuple):
    """What to answer, in whichever dialect; either text or calls."""

    prompt: str
    model: str
    text: str
    calls: tuple[Call, ...]
    tokens: Tokens


def reply_to(prompt: str, model: str, tools: Iterable[str] = ()) -> Reply:
    """Decide the answer: call every tool that is offered, or answer in text."""
    calls = tuple(
        Call(call_id(i), name, expected_arguments(prompt)) for i, name in enumerate(tools)
    )
    return Reply(
        prompt, model, "" if calls else expected_answer(prompt), calls, expected_tokens(prompt)
    )


def reply(body: Json) -> Reply:
    """Decide the answer to the last of `messages`, as most dialects call the conversation."""
    messages = body["messages"]
    first = len(messages) - 1
    # Results of tools are messages of their own in most dialects, parts of one in Anthropic's.
    while messages[first]["role"] == "tool" and messages[first - 1]["role"] == "tool":
        first -= 1
    prompt = "\n".join(text_of(message["content"]) for message in messages[first:])
    tools = () if has_results(messages[-1]) else body.get("tools") or ()
    return reply_to(prompt, body["model"], (tool.get("function", tool)["name"] for tool in tools))


def text_of(content: str | list[Json]) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(text_of(part.get("content") or part["text"]) for part in content)


def has_results(message: Json) -> bool:
    """Say whether a message brings results of tools."""
    parts = message["content"] if isinstance(message["content"], list) else []
    return message["role"] == "tool" or any(part.get("type") == "tool_result" for part in parts)


def pieces(text: str) -> Iterator[str]:
    """Cut a text as a model's tokens would."""
    return (text[i : i + PIECE] for i in range(0, len(text), PIECE))
