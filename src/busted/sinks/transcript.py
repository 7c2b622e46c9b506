"""A session as a text to read: Markdown (https://spec.commonmark.org), one event after the other.

What was said stands in fenced blocks, whose fence is longer than any within, so that nothing an
agent or a model wrote is taken for markup. Prompts repeat the conversation before them: of each,
the last message is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from busted.events import (
    A2aRequest,
    A2aResponse,
    Event,
    LoopDetected,
    McpRequest,
    McpResponse,
    PiiDetected,
    ProcessExec,
    Prompt,
    Response,
    ToolCall,
    ToolResult,
)

_FENCE = re.compile(r"`{3,}")
# Signs that begin markup, also within a line (CommonMark 2.4).
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&])")


def markdown(events: Iterable[Event]) -> Iterator[str]:
    """Return a transcript, piece by piece."""
    system: str | None = None
    yield "# What the agents said and did\n"
    for event in events:
        action, who = event.action, event.process.agent or event.process.name
        yield f"\n## {event.time} {plain(who)} ({event.process.pid})\n\n"
        yield f"{_headline(event)}\n"
        if event.policy and event.policy.decision != "allow":
            reasons = "; ".join(event.policy.reasons) or "no reason given"
            yield f"\nPolicy: **{event.policy.decision}**: {plain(reasons)}\n"
        if isinstance(action, Prompt) and action.system_prompt != system:
            system = action.system_prompt
            yield _block("System", system)
        for name, text in _texts(event):
            yield _block(name, text)


def plain(text: str) -> str:
    """Return text that means nothing but itself, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _headline(event: Event) -> str:
    match event.action:
        case Prompt() as prompt:
            return f"Prompt to {_model(prompt)}"
        case Response(status=status) as response:
            return f"Response of {_model(response)}, status {status}"
        case ToolCall(name=name):
            return f"Tool call: {plain(name)}"
        case ToolResult(name=name):
            return f"Tool result: {plain(name or 'of an unknown tool')}"
        case McpRequest(method=method, tool=tool):
            return f"MCP {plain(f'{method} {tool or str()}')}"
        case McpResponse(method=method):
            return f"MCP answer to {plain(method or 'an unknown request')}"
        case A2aRequest(method=method, agent=agent):
            return f"A2A {plain(f'{method} {agent.name if agent else str()}')}"
        case A2aResponse(method=method):
            return f"A2A answer to {plain(method)}"
        case PiiDetected(kinds=kinds, where=where, actions=actions):
            return f"Found in {', '.join(actions or (where,))}: {plain(', '.join(kinds))}"
        case LoopDetected(tool=tool, count=count):
            return f"Loop: {plain(tool)} called {count} times"
        case ProcessExec(exe=exe):
            return f"Runs {plain(exe)}"
        case action:
            return type(action).__name__


def _model(action: Prompt | Response) -> str:
    return plain(" ".join(filter(None, (action.provider, action.model))) or action.api)


def _texts(event: Event) -> list[tuple[str, str | None]]:
    match event.action:
        case Prompt(user_message=text):
            return [("User", text)]
        case Response(reasoning=reasoning, text=text, error=error):
            return [("Reasoning", reasoning), ("Assistant", text), ("Error", error)]
        case ToolCall(arguments=text):
            return [("Arguments", text)]
        case ToolResult(content=text):
            return [("Result", text)]
        case McpRequest(params=text):
            return [("Parameters", text)]
        case McpResponse(result=text, error=error):
            return [("Result", text), ("Error", error)]
        case A2aRequest(text=text):
            return [("Message", text)]
        case A2aResponse(text=text, error=error):
            return [("Answer", text), ("Error", error)]
        case ProcessExec(argv=argv):
            return [("Arguments", " ".join(argv))]
    return []


def _block(name: str, text: str | None) -> str:
    if not text:
        return ""
    fence = "`" * max(3, *(len(run) + 1 for run in _FENCE.findall(text)), 3)
    return f"\n{name}:\n\n{fence}text\n{text}\n{fence}\n"
