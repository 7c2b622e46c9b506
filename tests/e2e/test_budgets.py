"""What agents spent and repeated reaches policies, which stop them: with real clients."""

from pathlib import Path

from tests.e2e.bed import Bed
from tests.e2e.examples import PROMPT
from tests.e2e.mcp import mcp_command, mcp_server
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import ROOT
from tests.requirements import require

BY_BUDGET = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if {
	input.action.type == "Prompt"
	input.budget.tokens_hour > 0
}
"""


def test_the_sixth_of_calls_that_are_alike_never_leaves_and_its_client_fails(
    test_bed: Bed, tmp_path: Path
) -> None:
    require("e2e", "regorus")
    policy = ROOT / "policies" / "loops"
    with (
        mcp_server(test_bed, tmp_path / "mcp") as authority,
        Monitor("--policy", str(policy), "--enforce", "--hold-host", "localhost") as monitor,
    ):
        looping = [*mcp_command("auto", "Oslo"), *["Oslo"] * 6]
        finished = test_bed.sandbox.run(looping, environment=authority)
        events = monitor.wait_for(finished.pid, "LoopDetected", 2)
        other = test_bed.sandbox.run(mcp_command("auto", "Rome"), environment=authority)
        assert other.code == 0, other.stderr
        assert monitor.stop() == 130, monitor.stderr
    assert finished.code != 0
    assert finished.stdout.count(b"population of Oslo") == 5
    loops = [event for event in events if event["action"]["type"] == "LoopDetected"]
    assert [(loop["action"]["count"], loop["policy"]["decision"]) for loop in loops[:2]] == [
        (5, "audit"),
        (6, "deny"),
    ]
    assert loops[1]["action"]["tool"] == "population"
    assert loops[1]["policy"]["reasons"] == ["population was called 6 times alike"]
    assert loops[1]["policy"]["enforced"] == "prevented"


def test_what_an_agent_spent_outlasts_the_monitor_and_denies_its_next_request(
    test_bed: Bed, tmp_path: Path
) -> None:
    require("e2e", "regorus")
    (tmp_path / "policy.rego").write_text(BY_BUDGET)
    options = ("--policy", str(tmp_path / "policy.rego"), "--identity-store", str(tmp_path / "ids"))
    told = []
    for _ in range(2):
        with Monitor(*options) as monitor:
            finished = test_bed.ask("openai_sync", PROMPT)
            told.append(monitor.wait_for(finished.pid, "Response"))
            assert monitor.stop() == 130, monitor.stderr
    (first, answer), (second, _) = told
    assert first["policy"]["decision"] == "allow"
    assert answer["budget"]["requests_hour"] == 1
    usage = answer["action"]["usage"]
    assert answer["budget"]["tokens_hour"] == usage["input"] + usage["output"]
    assert answer["budget"]["cost_day"] == answer["action"]["cost"]
    assert second["policy"]["decision"] == "deny"
    assert second["budget"]["requests_day"] == 2
    assert second["budget"]["tokens_day"] == answer["budget"]["tokens_day"]
