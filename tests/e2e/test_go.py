"""A stripped Go program, whose TLS is its own: many goroutines, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.answers import expected_answer
from tests.e2e.bed import HERE, Bed
from tests.e2e.examples import PROMPT
from tests.e2e.front import AT_FRONT, http2_front
from tests.e2e.monitor import Monitor
from tests.requirements import GO_COMMAND, ROOT, require

PROMPTS = [f"{number}: {PROMPT}" for number in range(40)]
# Compiling Go's own library anew takes a quarter of a minute, and more on a busy machine.
BUILD_SECONDS = 300.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, stripped and built without network."""
    require("go")
    built = tmp_path_factory.mktemp("go") / "go_chat"
    settings = {"GOCACHE": str(ROOT / ".cache/go-build"), "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    subprocess.run(
        [GO_COMMAND, "build", "-ldflags=-s -w", "-o", built, "."],
        cwd=HERE / "go_chat",
        env=os.environ | settings,
        check=True,
        timeout=BUILD_SECONDS,
    )
    return built


@pytest.fixture(scope="module")
def hooked(monitor: Monitor, test_bed: Bed, program: Path) -> Path:
    """The client, once a first run of it has led to the probes."""

    def is_hooked() -> bool:
        told = monitor.coverages
        return ("go", str(program)) in [
            (library["kind"], library["path"]) for library in told[-1].get("libraries", ())
        ]

    ahead = test_bed.sandbox.run([str(program), PROMPT])
    assert ahead.code == 0, ahead.stderr
    monitor.wait_until(is_hooked, "the program is hooked")
    return program


@pytest.fixture
def front(test_bed: Bed) -> Iterator[Bed]:
    require("nghttpx")
    with http2_front(test_bed):
        yield test_bed


def check(monitor: Monitor, bed: Bed, program: Path, environment: dict[str, str]) -> set[str]:
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


def test_many_goroutines_with_many_connections_are_read(
    monitor: Monitor, test_bed: Bed, hooked: Path
) -> None:
    assert check(monitor, test_bed, hooked, {}) == {"1.1"}


def test_many_goroutines_that_share_a_connection_are_told_apart(
    monitor: Monitor, front: Bed, hooked: Path
) -> None:
    assert check(monitor, front, hooked, dict(AT_FRONT)) == {"2"}
