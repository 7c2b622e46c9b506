"""The shipped policies fire on real events: on what was recorded, and what it could have been."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busted import events
from busted.agent import recording
from busted.agent.replay import Replay
from busted.events import Event
from busted.policy.compiled import Compiled
from busted.policy.sources import read
from tests.golden.expected import RECORDINGS
from tests.requirements import ROOT

SHIPPED = sorted((ROOT / "policies").iterdir())


def recorded(name: str) -> list[Event]:
    (path,) = [path for path in RECORDINGS if path.stem == name]
    header, frames = recording.read(path)
    return list(Replay(header).events(frames))


def said(policy: str, event: Event) -> tuple[str, str]:
    answer = Compiled(read(ROOT / "policies" / policy), "deny").evaluate(events.to_json(event))
    assert answer.error is None
    return answer.decision, ", ".join(answer.reasons)


def first(name: str, action: type[Any], **changes: Any) -> Event:
    """Return the first event of a recording with an action, changed."""
    event = next(e for e in recorded(name) if isinstance(e.action, action))
    return msgspec.structs.replace(event, action=msgspec.structs.replace(event.action, **changes))


def finding(kind: str) -> tuple[events.Finding, ...]:
    return (events.Finding(kind=kind, start=0, end=5, where="user_message"),)


def test_every_recorded_event_gets_a_decision_without_errors() -> None:
    policy = Compiled(read(ROOT / "policies"), "deny")
    count = 0
    for path in RECORDINGS:
        for event in recorded(path.stem):
            answer = policy.evaluate(events.to_json(event))
            assert (answer.error, answer.undefined) == (None, False), answer
            assert answer.decision != "allow" or isinstance(event.action, events.Network)
            count += 1
    assert count > 200


def test_the_default_audits_what_is_said_and_denies_secrets_on_their_way_out() -> None:
    assert said("default", first("openai_sync", events.Prompt)) == ("audit", "Prompt of openai")
    for recording_name, action in (
        ("openai_sync", events.Prompt),
        ("openai_tools", events.ToolResult),
        ("mcp_auto", events.McpRequest),
    ):
        secret = first(recording_name, action, pii=finding("openai_key"))
        assert said("default", secret) == (
            "deny",
            f"openai_key in {action.__name__} leaves this host",
        )
        personal = first(recording_name, action, pii=finding("email"))
        assert said("default", personal)[0] == "audit"
    answer = first("openai_sync", events.Response, pii=finding("openai_key"))
    assert said("default", answer)[0] == "audit"


def test_providers_and_models_off_the_list_are_denied() -> None:
    assert said("providers", first("openai_sync", events.Prompt)) == ("allow", "")
    assert said("providers", first("groq", events.Prompt)) == (
        "deny",
        "provider groq is not on the list",
    )
    assert said("models", first("anthropic_sync", events.Prompt)) == ("allow", "")
    assert said("models", first("openai_sync", events.Prompt, model="davinci")) == (
        "deny",
        "model davinci of openai is not on the list",
    )


def test_mcp_servers_and_tools_off_the_list_are_denied() -> None:
    call = next(
        e for e in recorded("mcp_auto") if isinstance(e.action, events.McpRequest) and e.action.tool
    )
    assert said("mcp", call) == ("allow", "")
    assert call.connection is not None
    elsewhere = msgspec.structs.replace(
        call, connection=msgspec.structs.replace(call.connection, sni="evil.example.org")
    )
    assert said("mcp", elsewhere)[0] == "deny"
    assert "MCP server evil.example.org is not on the list" in said("mcp", elsewhere)[1]


def test_too_large_a_request_is_denied_and_too_dear_an_answer_audited() -> None:
    assert said("budget", first("anthropic_sync", events.Prompt)) == ("allow", "")
    assert said("budget", first("anthropic_sync", events.Prompt, bytes=4_000_001))[0] == "deny"
    asked = first("anthropic_sync", events.Prompt, params={"max_tokens": 64_001})
    assert said("budget", asked)[0] == "deny"
    assert said("budget", first("anthropic_sync", events.Response, cost=1.01))[0] == "audit"


def test_a_request_on_a_sunday_is_audited() -> None:
    prompt = first("openai_sync", events.Prompt)
    for moment, decision in (("22T10", "audit"), ("23T10", "allow"), ("23T20", "audit")):
        at = msgspec.structs.replace(prompt, time=f"2026-11-{moment}:00:00.000000001Z")
        assert said("hours", at)[0] == decision


def test_agents_are_held_to_their_providers() -> None:
    prompt = first("openai_sync", events.Prompt)
    assert said("identity", prompt)[0] == "audit", "a stranger"
    for agent, decision in (("codex", "allow"), ("claude-code", "deny")):
        process = msgspec.structs.replace(prompt.process, agent=agent)
        assert said("identity", msgspec.structs.replace(prompt, process=process))[0] == decision


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda d: d.name)
def test_each_is_documented_and_has_data_and_tests(directory: Path) -> None:
    name = directory.name
    assert {f.name for f in directory.iterdir()} == {
        f"{name}.rego",
        f"{name}_test.rego",
        "data.json",
    }
    document = (ROOT / "docs" / "policies.md").read_text()
    (row,) = [line for line in document.splitlines() if line.startswith(f"| `{name}` |")]
    for key in json.loads((directory / "data.json").read_text()).popitem()[1]:
        assert key in row
