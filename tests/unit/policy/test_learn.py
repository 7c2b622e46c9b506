from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import regorus
from hypothesis import given
from hypothesis import strategies as st

from busted.agent import recording
from busted.agent.replay import Replay
from busted.events import A2aAgent, Action, Event, McpImplementation, to_json
from busted.policy.compiled import Compiled
from busted.policy.learn import agent_of, learn, module, uses
from busted.policy.sources import read
from tests.golden.expected import RECORDINGS
from tests.unit.sinks.samples import (
    A2A_REQUEST,
    ACTIONS,
    MCP_REQUEST,
    MCP_RESPONSE,
    NETWORK,
    PROMPT,
    TOOL_CALL,
    event,
)


def learned(*events: Event) -> Compiled:
    return Compiled(read(module(*learn(events))), "audit")


def changed(said: Event, **fields: Any) -> Event:
    return msgspec.structs.replace(said, action=msgspec.structs.replace(said.action, **fields))


def golden() -> Iterator[Event]:
    for path in RECORDINGS:
        header, frames = recording.read(path)
        yield from Replay(header).events(frames)


def test_what_it_learned_from_is_allowed() -> None:
    events = list(golden())
    policy = learned(*events)

    answers = {policy.evaluate(to_json(said)).decision for said in events}

    assert len(events) > 100
    assert answers == {"allow"}


@pytest.mark.parametrize(
    ("action", "other", "reason"),
    [
        (PROMPT, {"provider": "acme"}, "python3 was not seen to use the provider acme"),
        (PROMPT, {"model": "gpt-5"}, "python3 was not seen to use the model gpt-5"),
        (TOOL_CALL, {"name": "shell"}, "python3 was not seen to use the tool shell"),
        (
            A2A_REQUEST,
            {"agent": A2aAgent(name="odd")},
            "python3 was not seen to use the agent odd",
        ),
        (MCP_REQUEST, {"tool": "shell"}, "python3 was not seen to use the tool shell"),
        (NETWORK, {"name": "evil.example"}, "python3 was not seen to use the host evil.example"),
        (
            MCP_RESPONSE,
            {"server": McpImplementation(name="odd")},
            "python3 was not seen to use the MCP server odd",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, msgspec.Struct) else "",
)
def test_what_was_not_seen_is_denied_and_named(
    action: Action, other: dict[str, Any], reason: str
) -> None:
    answer = learned(event(action)).evaluate(to_json(changed(event(action), **other)))

    assert (answer.decision, answer.reasons) == ("deny", (reason,))


def test_what_one_agent_used_is_not_for_another() -> None:
    policy = learned(event(PROMPT, "claude"), event(TOOL_CALL, "codex"))

    assert policy.evaluate(to_json(event(PROMPT, "claude"))).decision == "allow"
    assert policy.evaluate(to_json(event(PROMPT, "codex"))).decision == "deny"
    assert policy.evaluate(to_json(event(PROMPT, "somebody"))).decision == "deny"


def test_what_an_agent_started_counts_for_the_agent() -> None:
    said = event(PROMPT, "curl")
    started = msgspec.structs.replace(
        said, process=msgspec.structs.replace(said.process, agent="codex")
    )

    assert agent_of(started) == "codex"
    assert agent_of(said) == "curl"
    policy = learned(started)
    assert policy.evaluate(to_json(started)).decision == "allow"
    assert policy.evaluate(to_json(said)).decision == "deny"


def test_events_that_use_nothing_are_allowed_and_not_counted() -> None:
    quiet = [event(action) for action in ACTIONS if not list(uses(event(action)))]
    policy = learned(event(PROMPT))

    assert quiet
    assert learn(quiet) == ({}, 0)
    assert {policy.evaluate(to_json(said)).decision for said in quiet} == {"allow"}


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_name_can_be_learned(agent: str, model: str, host: str) -> None:
    prompt, flow = (
        changed(event(PROMPT, agent), model=model),
        changed(event(NETWORK, agent), name=host),
    )
    engine = regorus.Engine()
    engine.add_policy("learned.rego", module(*learn([prompt, flow])))

    for said in (prompt, flow):
        engine.set_input_json(to_json(said).decode())
        # The module finds in an event what we found.
        used = engine.eval_query("[pair | some pair in data.busted.used]")
        pairs = used["result"][0]["expressions"][0]["value"]
        assert sorted(tuple(pair) for pair in pairs) == sorted(set(uses(said)))
        assert engine.eval_rule("data.busted.decision") == "allow"
    engine.set_input_json(to_json(changed(prompt, model=model + "!")).decode())
    assert engine.eval_rule("data.busted.decision") == "deny"
