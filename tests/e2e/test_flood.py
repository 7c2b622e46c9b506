"""A program that floods, and is no AI agent, beside one that is."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.e2e.answers import expected_answer
from tests.e2e.bed import HERE, Bed, start_until_ready
from tests.e2e.monitor import Monitor
from tests.requirements import require

# An agent's request: its tools, its rules and some files.
PROMPT = "".join(f"{i} of a usual prompt. " for i in range(4_000))


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


def test_a_prompt_is_whole_and_the_ring_never_full_while_another_program_floods(
    test_bed: Bed,
) -> None:
    with Monitor() as monitor:
        flood = start_until_ready(test_bed.sandbox, [sys.executable, str(HERE / "flood.py")])
        try:
            asked = [test_bed.ask("openai_sync", stdin=PROMPT.encode()) for _ in range(3)]
        finally:
            # The sandbox outlives this test, and so would the flood.
            os.kill(flood, signal.SIGKILL)
        for one in asked:
            monitor.wait_for(one.pid, "Response")
        monitor.stop()

    for one in asked:
        told = {e["action"]["type"]: e["action"] for e in monitor.of(one.pid)}
        assert told["Prompt"]["user_message"] == PROMPT
        assert told["Prompt"]["truncated"] is False
        assert told["Response"]["text"] == expected_answer(PROMPT)
    assert monitor.of(flood) == []
    # What was held back is of the flood's connections, which end before they are judged.
    assert monitor.lost.keys() <= {"held_back"}
