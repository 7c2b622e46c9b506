"""Settings of `busted monitor` that change what is captured; each test has its own monitor.

They stand apart from test_connections.py: what is over a limit counts as lost in any monitor.
"""

import pytest

from tests.e2e.answers import expected_answer
from tests.e2e.bed import Bed, curl
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Monitor
from tests.requirements import require

MIB = 1 << 20


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


def test_a_prompt_over_the_limit_is_told_as_truncated_with_what_was_read(test_bed: Bed) -> None:
    prompt = "".join(f"{i} 世界 " for i in range(300_000))

    with Monitor("--max-call-bytes", str(MIB)) as monitor:
        finished = test_bed.ask("openai_sync", stdin=prompt.encode())
        monitor.wait_for(finished.pid, "Response")
        monitor.stop()

    told = {e["action"]["type"]: e["action"] for e in monitor.of(finished.pid)}
    prompt_told, response = told["Prompt"], told["Response"]
    assert prompt_told["provider"] == "openai"
    assert prompt_told["truncated"] is True
    assert prompt_told["missing_bytes"] > 0
    assert len(prompt_told["user_message"]) > 100
    assert prompt.startswith(prompt_told["user_message"][:100])
    assert response["text"] == expected_answer(prompt)
    assert response["truncated"] is False
    assert monitor.lost.keys() == {"over_call_limit"}
    (line,) = monitor.stderr
    assert line.startswith(f"busted: lost {monitor.lost['over_call_limit']:,} over_call_limit (")


def test_only_the_named_programs_are_watched_when_names_are_given(test_bed: Bed) -> None:
    with Monitor("--comm", "curl") as monitor:
        others = test_bed.ask("openai_sync", PROMPT)
        named = test_bed.sandbox.run(
            curl("https://api.openai.com/v1/chat/completions", "m")(PROMPT)
        )
        monitor.wait_for(named.pid, "Response")

    assert monitor.of(others.pid) == []
