"""Learning a policy: what agents were seen to use becomes what they may use.

Strategy: `uses` says of an event what it is about: a provider, a model, a host, an MCP server, a
tool. What was used is collected by agent, and written as one module of Rego that says the same
of an event (`used`) and denies what is not in its table. An agent is the one that the process
belongs to, else the process by its name.

Left out: what an agent did rarely or wrongly. All that was seen is allowed, so look at the table.
And commands and files: an allow-list of those fits the day it was made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from busted.events import (
    A2aAgent,
    A2aRequest,
    Event,
    McpImplementation,
    McpRequest,
    McpResponse,
    Network,
    Prompt,
    ToolCall,
)

Uses = dict[str, dict[str, set[str]]]
"""By agent, then by kind: the names that it used."""

_MODULE = """\
# Written by `busted policy learn`, from {count} events: allows what they show,
# by agent, and denies the rest. An agent that is not in the table may use nothing.
package busted

import rego.v1

seen := {seen}

default agent := ""

agent := input.process.agent

agent := input.process.name if not input.process.agent

used contains ["provider", input.action.provider]

used contains ["model", input.action.model] if input.action.type == "Prompt"

used contains ["host", input.connection.sni]

used contains ["host", input.action.name] if input.action.type == "Network"

used contains ["MCP server", input.action.server.name] if input.action.type == "McpResponse"

used contains ["agent", input.action.agent.name] if input.action.type == "A2aRequest"

used contains ["tool", input.action.tool] if input.action.type == "McpRequest"

used contains ["tool", input.action.name] if input.action.type == "ToolCall"

reasons contains sprintf("%v was not seen to use the %v %v", [agent, kind, name]) if {{
	some [kind, name] in used
	not name in object.get(seen, [agent, kind], [])
}}

default decision := "allow"

decision := "deny" if count(reasons) > 0
"""


def agent_of(event: Event) -> str:
    """Return whom an event is counted for: its agent, else its process by name."""
    return event.process.agent or event.process.name


def uses(event: Event) -> Iterator[tuple[str, str]]:
    """Yield what an event is about, as kind and name; the module says the same in Rego."""
    action = event.action
    provider = getattr(action, "provider", None)
    if provider is not None:
        yield "provider", provider
    if event.connection is not None and event.connection.sni is not None:
        yield "host", event.connection.sni
    match action:
        case Prompt(model=str(model)):
            yield "model", model
        case Network(name=str(name)):
            yield "host", name
        case McpResponse(server=McpImplementation(name=name)):
            yield "MCP server", name
        case A2aRequest(agent=A2aAgent(name=name)):
            yield "agent", name
        case McpRequest(tool=str(tool)):
            yield "tool", tool
        case ToolCall(name=name):
            yield "tool", name


def learn(events: Iterable[Event]) -> tuple[Uses, int]:
    """Return what was used, by agent, and in how many events."""
    found: Uses = defaultdict(lambda: defaultdict(set))
    count = 0
    for event in events:
        named = list(uses(event))
        count += bool(named)
        for kind, name in named:
            found[agent_of(event)][kind].add(name)
    return found, count


def module(found: Uses, count: int) -> str:
    """Return the policy that allows what was used and denies the rest."""
    return _MODULE.format(count=f"{count:,}", seen=_table(found))


def _table(found: Uses) -> str:
    lines = ["{"]
    for agent, kinds in sorted(found.items()):
        lines.append(f"\t{_text(agent)}: {{")
        for kind, names in sorted(kinds.items()):
            lines.append(f"\t\t{_text(kind)}: [{', '.join(map(_text, sorted(names)))}],")
        lines.append("\t},")
    return "\n".join([*lines, "}"])


def _text(name: str) -> str:
    # A string of Rego is one of JSON.
    return msgspec.json.encode(name).decode()
