"""One plain sentence about an identity: what it is, who runs it, and what it did so far."""

from __future__ import annotations

from busted.identity.profile import Profile

# A sentence names so many of a kind and counts the others.
MAX_NAMED = 2


def narrative(profile: Profile) -> str:
    """Return the sentence. It holds names and counts, and nothing that was said."""
    done = [
        _counted(count, one, many)
        for count, one, many in (
            (profile.prompts, "prompt", "prompts"),
            (profile.tool_calls, "tool call", "tool calls"),
            (profile.mcp_calls, "MCP call", "MCP calls"),
            (profile.commands, "command", "commands"),
            (profile.connections, "connection", "connections"),
        )
        if count
    ]
    sentence = profile.name
    if profile.principals:
        sentence += f", run by {_some(profile.principals)}"
    if profile.instances > 1:
        sentence += f" in {profile.instances} processes"
    sentence += f", has made {_joined(done)}" if done else ", has done nothing yet"
    if profile.models:
        sentence += f" with {_some(profile.models)}"
    if profile.personal:
        sentence += f"; {_counted(profile.personal, 'message', 'messages')} held personal data"
    if profile.findings:
        sentence += f"; does not fit: {profile.findings[-1].detail}"
    return sentence + "."


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _joined(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _some(values: tuple[str, ...]) -> str:
    named = list(values[-MAX_NAMED:])
    more = len(values) - len(named)
    return _joined([*named, f"{more} more"] if more else named)
