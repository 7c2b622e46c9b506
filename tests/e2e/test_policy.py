"""Policies with a real kernel, real clients and a real worker: every event is judged."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.deadline import until
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Event, Monitor, busted
from tests.e2e.sandbox import ROOT
from tests.requirements import require

# Denied by the policy of these tests, and not by what Busted knows of secrets.
FORBIDDEN = "the colour of the submarine"
POLICY = """\
package busted

import rego.v1

default decision := "allow"

decision := "deny" if contains(input.action.user_message, "submarine")

decision := "audit" if input.action.type == "Response"

reasons contains "submarines are secret" if decision == "deny"
"""


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    directory.chmod(0o755)
    (directory / "submarines.rego").write_text(POLICY)
    return directory


def decisions(events: list[Event]) -> list[tuple[str, str]]:
    return [(event["action"]["type"], event["policy"]["decision"]) for event in events]


def worker_of(monitor: Monitor) -> int:
    """The process that evaluates: the monitor's only grandchild."""
    (nursery,) = children(monitor.process.pid)
    (worker,) = children(nursery)
    return worker


def children(pid: int) -> list[int]:
    return [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]


def test_what_policy_denies_is_told_with_its_reason_and_rule(
    test_bed: Bed, policy: Path, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    with Monitor("--policy", str(policy), "--audit-log", str(log), content="none") as monitor:
        finished = test_bed.ask("openai_sync", PROMPT, FORBIDDEN)
        events = monitor.wait_for(finished.pid, "Response", 2)
        monitor.stop()

    assert decisions(events) == [
        ("Prompt", "allow"),
        ("Response", "audit"),
        ("Prompt", "deny"),
        ("Response", "audit"),
    ]
    told = events[2]["policy"]
    assert told["reasons"] == ["submarines are secret"]
    assert told["rule"] == "busted.decision"
    assert told["file"] == "submarines.rego:7"
    assert told["milliseconds"] > 0
    # Policy saw the text that nobody else does.
    assert "user_message" not in events[2]["action"]
    assert monitor.lost == {}
    assert monitor.stderr == []

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    logged = {line["event"]: line["id"] for line in lines if line["type"] == "decision"}
    judged = [event for event in monitor.events if "policy" in event]
    assert logged == {event["id"]: event["policy"]["id"] for event in judged}
    assert FORBIDDEN not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    verified = busted("audit", "verify", str(log))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_secret_on_its_way_out_is_denied_by_the_policies_that_come_with_it(
    test_bed: Bed, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    secret = "sk-" + "a1B2c3D4e5" * 4
    with Monitor("--policy", str(ROOT / "policies"), "--audit-log", str(log)) as monitor:
        finished = test_bed.ask("openai_sync", f"My key is {secret}.", PROMPT)
        events = monitor.wait_for(finished.pid, "Response", 2)
        monitor.stop()

    told = {e["action"].get("user_message"): e["policy"] for e in events}
    denied, audited = told[f"My key is {secret}."], told[PROMPT]
    assert (denied["decision"], audited["decision"]) == ("deny", "audit")
    assert denied["reasons"] == ["openai_key in Prompt leaves this host"]
    assert denied["file"].startswith("default/default.rego")
    assert monitor.lost == {}
    assert '"decision":"deny"' in log.read_text()
    assert secret not in log.read_text()
    assert busted("audit", "verify", str(log)).returncode == 0


def test_a_worker_that_dies_costs_one_decision_which_is_told(test_bed: Bed, policy: Path) -> None:
    with Monitor("--policy", str(policy), "--on-error", "deny") as monitor:
        os.kill(worker_of(monitor), signal.SIGKILL)
        first = test_bed.ask("curl_openai", PROMPT)
        monitor.wait_for(first.pid, "Response")
        second = test_bed.ask("curl_openai", PROMPT)
        later = monitor.wait_for(second.pid, "Response")
        monitor.stop()

    # That of the first event, whichever it was; nobody is asked twice.
    judged = [event["policy"] for event in monitor.events if "policy" in event]
    assert [told["decision"] for told in judged if "crashed" in told.get("error", "")] == ["deny"]
    assert len(judged) >= 4
    assert decisions(later) == [("Prompt", "allow"), ("Response", "audit")]
    assert monitor.lost == {"policy_crashes": 1}


def test_the_log_of_a_monitor_that_was_killed_is_whole_and_goes_on(
    test_bed: Bed, policy: Path, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    for _ in range(2):
        with Monitor("--policy", str(policy), "--audit-log", str(log)) as monitor:
            finished = test_bed.ask("curl_openai", FORBIDDEN)
            monitor.wait_for(finished.pid, "Response")
            monitor.process.kill()
            monitor.wait()
        verified = busted("audit", "verify", str(log))
        assert verified.returncode == 0, verified.stdout + verified.stderr

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["type"] for line in lines].count("start") == 2
    denied = [line for line in lines if line.get("decision") == "deny"]
    assert [line["action"] for line in denied] == ["Prompt", "Prompt"]


def test_a_policy_that_never_answers_costs_no_event_but_its_decision(
    test_bed: Bed, policy: Path
) -> None:
    (policy / "submarines.rego").write_text(
        'package busted\n\nimport rego.v1\n\ndecision := "allow" if {\n'
        "\tinput.schema\n\tsome i in numbers.range(1, 30000)\n\tsome j in numbers.range(1, 30000)\n"
        "\ti + j < 0\n}\n"
    )
    prompts = [f"Number {number}?" for number in range(100)]
    with Monitor("--policy", str(policy), "--on-error", "deny") as monitor:
        finished = test_bed.ask("openai_sync", *prompts)
        events = monitor.wait_for(finished.pid, "Response", len(prompts))
        monitor.stop()

    said = [e["action"].get("user_message") for e in events if e["action"]["type"] == "Prompt"]
    assert said == prompts
    judged = [event["policy"] for event in monitor.events if "policy" in event]
    assert {told["decision"] for told in judged} == {"deny"}
    assert all(told["error"] for told in judged)
    # Nothing but decisions, and each of them.
    assert monitor.lost.keys() <= {"policy_timeouts", "policy_unavailable"}
    assert sum(monitor.lost.values()) == len(judged) >= 2 * len(prompts)


def test_a_changed_policy_is_taken_on_and_an_invalid_one_is_not(
    test_bed: Bed, policy: Path
) -> None:
    module = policy / "submarines.rego"

    def left_out() -> str:
        told = monitor.coverages
        reason: str = told[-1].get("left_out", {}).get("policy", "")
        return reason

    with Monitor("--policy", str(policy)) as monitor:
        module.write_text(POLICY + "nonsense\n")
        monitor.process.send_signal(signal.SIGHUP)
        until(lambda: bool(left_out()), "the monitor says that it does not take it on")
        assert "submarines.rego:12:1" in left_out()
        denied = test_bed.ask("curl_openai", FORBIDDEN)
        before = monitor.wait_for(denied.pid, "Response")

        module.write_text(POLICY.replace("submarine", "aeroplane"))
        monitor.process.send_signal(signal.SIGHUP)
        until(lambda: not left_out(), "the monitor has taken it on")
        allowed = test_bed.ask("curl_openai", FORBIDDEN)
        after = monitor.wait_for(allowed.pid, "Response")
        monitor.stop()

    assert decisions(before)[0] == ("Prompt", "deny")
    assert decisions(after)[0] == ("Prompt", "allow")
    assert monitor.lost == {}


def test_an_invalid_policy_ends_it_with_1_and_says_where(tmp_path: Path) -> None:
    module = tmp_path / "wrong.rego"
    module.write_text("package busted\n\ndecision :=\n")

    ended = busted("monitor", "--policy", str(module), "--duration", "1")

    assert ended.returncode == 1
    assert "wrong.rego:4:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_text_format_tells_what_is_denied_on_its_line(test_bed: Bed, policy: Path) -> None:
    with Monitor("--policy", str(policy), output="text") as monitor:
        test_bed.ask("curl_openai", FORBIDDEN)
        monitor.wait_for_lines("submarines are secret")

    assert "=> deny submarines are secret" in " ".join("".join(monitor.stdout).split())
