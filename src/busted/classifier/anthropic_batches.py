"""Anthropic's message batches: many requests in one body, answered hours later.

All of them are told as one request. Their results, once fetched, `batch_results` reads.
Source: https://docs.anthropic.com/en/api/creating-message-batches
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier import anthropic
from busted.classifier.chat import MAX_MESSAGES, MAX_TOOLS, ModelRequest, last_user_text
from busted.classifier.foreign import items, mapping

Body = Mapping[str, object]


def is_request(body: Body) -> bool:
    """Tell whether a body sent to this path, at an unknown host, is a batch of messages."""
    first = mapping(next(iter(items(body.get("requests"))), None))
    return "custom_id" in first and anthropic.is_request(mapping(first.get("params")))


def read_request(body: Body) -> ModelRequest:
    """Return what a batch says: its conversations in order, and the settings of the first."""
    given = items(body.get("requests"))
    asked = [
        anthropic.read_request(mapping(mapping(r).get("params"))) for r in given[:MAX_MESSAGES]
    ]
    messages = tuple(message for request in asked for message in request.messages)
    systems = dict.fromkeys(request.system_prompt for request in asked if request.system_prompt)
    tools = dict.fromkeys(tool for request in asked for tool in request.tools)
    return ModelRequest(
        model=next((request.model for request in asked if request.model), None),
        messages=messages[-MAX_MESSAGES:],
        system_prompt="\n".join(systems) or None,
        user_message=last_user_text(messages),
        tools=tuple(tools)[:MAX_TOOLS],
        params={**(asked[0].params if asked else {}), "requests": len(given)},
        results=tuple(result for request in asked for result in request.results)[:MAX_MESSAGES],
        truncated=len(messages) > MAX_MESSAGES or len(given) > MAX_MESSAGES,
    )
