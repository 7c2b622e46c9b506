"""Clients that are compiled, and have their TLS inside: asked many things at once, and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.answers import expected_answer
from tests.e2e.bed import Bed
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Monitor

PROMPTS = [f"{number}: {PROMPT}" for number in range(40)]


def hook(monitor: Monitor, bed: Bed, program: Path, kind: str) -> None:
    """Run a client ahead, again until its probes fire: it may be over before they are set."""

    def is_hooked() -> bool:
        ahead = bed.sandbox.run([str(program), PROMPT])
        assert ahead.code == 0, ahead.stderr
        told = monitor.coverages
        return (kind, str(program)) in [
            (library["kind"], library["path"]) for library in told[-1].get("libraries", ())
        ]

    monitor.wait_until(is_hooked, "the program is hooked")


def check(monitor: Monitor, bed: Bed, program: Path, environment: Mapping[str, str]) -> set[str]:
    """Ask, check that each prompt was seen with its answer; return the versions of HTTP."""
    finished = bed.sandbox.run([str(program), *PROMPTS], environment=environment)
    assert finished.code == 0, finished.stderr
    assert list(map(json.loads, finished.stdout.splitlines())) == list(
        map(expected_answer, PROMPTS)
    )
    events = monitor.wait_for(finished.pid, "Response", len(PROMPTS))
    exchanges: dict[str, dict[str, str]] = {}
    for event in events:
        action = event["action"]
        text = action["user_message"] if action["type"] == "Prompt" else action["text"]
        exchanges.setdefault(event["exchange_id"], {})[action["type"]] = text
        assert not action["truncated"]
    assert {told["Prompt"]: told["Response"] for told in exchanges.values()} == {
        prompt: expected_answer(prompt) for prompt in PROMPTS
    }
    return {event["connection"]["http_version"] for event in events}
