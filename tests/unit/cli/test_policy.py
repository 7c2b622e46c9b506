import json
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from busted.cli.main import main
from busted.cli.policy import policy as group
from busted.cli.policy_coverage import ranges
from busted.events import to_json
from tests.recordings import exchange, record
from tests.unit.cli.command import DEADLINE, python, start
from tests.unit.sinks.samples import PROMPT, RESPONSE, TOOL_CALL, event

POLICY = """\
package busted

import rego.v1

default decision := "allow"

decision := "deny" if input.action.model == "gpt-4o"

decision := "audit" if input.action.type == "ToolCall"

reasons contains "too dear" if decision == "deny"
"""
TEST = """\
package busted_test

import rego.v1

test_dear if data.busted.decision == "deny" with input as {"action": {"model": "gpt-4o"}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    (directory / "models.rego").write_text(POLICY)
    (directory / "models_test.rego").write_text(TEST)
    return directory


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    said = [event(PROMPT), event(RESPONSE), event(TOOL_CALL), event(TOOL_CALL, "codex")]
    path.write_bytes(b"\n".join(map(to_json, said)))
    return path


def run(*args: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, args)], input=input, prog_name="busted")


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("name", group.commands)
def test_every_command_in_the_table_exists_and_has_help(name: str) -> None:
    assert run(name, "--help").stdout.startswith(f"Usage: busted policy {name}")


# check


def test_a_policy_without_faults_passes(policy: Path) -> None:
    result = run("check", policy)

    assert (result.exit_code, result.stderr) == (0, "")


def test_a_fault_is_told_by_file_line_and_column(policy: Path) -> None:
    (policy / "wrong.rego").write_text("package busted\n\ndecision :=\n")

    result = run("check", policy)

    assert result.exit_code == 1
    assert "wrong.rego:4:1: error: " in result.stdout
    told = lines(run("check", policy, "--format", "json"))
    assert (told[0]["file"], told[0]["line"], told[0]["severity"]) == ("wrong.rego", 4, "error")


def test_a_field_that_no_event_has_is_told(policy: Path) -> None:
    (policy / "models.rego").write_text(POLICY.replace("action.model", "llm_model"))

    assert "llm_model" in run("check", policy).stdout


# eval


def test_each_line_is_answered_with_its_decision(policy: Path, events: Path) -> None:
    result = run("eval", "--dir", policy, "--input", events, "--format", "json")

    assert result.exit_code == 0
    told = lines(result)
    assert [one["action"] for one in told] == ["deny", "deny", "audit", "audit"]
    assert told[0]["reasons"] == ["too dear"]
    assert told[0]["rule"] == "busted.decision"


def test_standard_input_and_a_rule_do_as_well() -> None:
    result = run(
        "eval",
        "--rule",
        'package busted\ndecision = "deny" { input.n > 1 }',
        input=b'{"n": 2}\n\n{"n": 1}',
    )

    assert [line.split()[0] for line in result.stdout.splitlines()] == ["deny", "allow"]


def test_a_line_is_answered_before_the_next_is_written(policy: Path) -> None:
    with start("policy", "eval", "--dir", policy) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for model, decision in (("gpt-4o", b"deny"), ("other", b"allow")):
            process.stdin.write(json.dumps({"action": {"model": model}}).encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith(decision)
        process.stdin.close()
        process.wait(DEADLINE)


@pytest.mark.parametrize("given", [b"nonsense", b"[1]", b"\xff", b"7"])
def test_what_is_no_object_gets_the_on_error_decision(policy: Path, given: bytes) -> None:
    result = run("eval", "--dir", policy, "--format", "json", input=given + b"\n{}\n")

    assert result.exit_code == 1
    wrong, fine = lines(result)
    assert wrong["action"] == "deny"
    assert wrong["error"].startswith("no JSON")
    assert fine["action"] == "allow"
    audited = run("eval", "--dir", policy, "--on-error", "audit", input=given)
    assert audited.stdout.startswith("audit  error: no JSON")


def test_a_policy_that_contradicts_itself_is_an_error_and_no_allow(policy: Path) -> None:
    (policy / "models.rego").write_text(POLICY + '\ndecision := "audit" if input.action.model\n')

    result = run(
        "eval", "--dir", policy, "--format", "json", input=b'{"action":{"model":"gpt-4o"}}'
    )

    (told,) = lines(result)
    assert result.exit_code == 1
    assert told["action"] == "deny"
    assert told["error"]


def test_a_recording_is_judged_by_its_events(policy: Path, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.recording", exchange("Hello?", "Hello."))

    result = run("eval", "--dir", policy, "--input", recording, "--format", "json")

    assert [one["action"] for one in lines(result)] == ["deny", "allow"]


def test_lines_of_the_policy_that_nothing_reached_are_told(policy: Path, events: Path) -> None:
    (policy / "models.rego").write_text(
        POLICY + '\nreason := "never" if {\n\tinput.nothing\n\tdecision == "deny"\n}\n'
    )
    result = run("eval", "--dir", policy, "--input", events, "--coverage")

    assert "models.rego: " in result.stdout.splitlines()[-1]
    assert "never: " in result.stdout.splitlines()[-1]


@pytest.mark.parametrize("options", [[], ["--dir", "x", "--rule", "y"]])
def test_either_a_directory_or_a_rule_is_needed(options: list[str]) -> None:
    result = run("eval", *options)

    assert result.exit_code == 2
    assert "either --dir or --rule" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["check", "nowhere"],
        ["eval", "--dir", "nowhere"],
        ["test", "nowhere"],
        ["replay", "--dir", "nowhere", "--against", "nothing"],
        ["learn", "nothing"],
    ],
    ids=lambda command: command[0],
)
def test_what_is_not_there_is_one_line_and_exit_code_1(command: list[str]) -> None:
    result = run(*command)

    told = result.stderr or result.stdout
    assert result.exit_code == 1
    assert len(told.splitlines()) == 1
    assert "nowhere" in told or "nothing" in told


# test


def test_tests_that_pass_end_with_0(policy: Path) -> None:
    result = run("test", policy)

    assert (result.exit_code, result.stdout) == (0, "1 passed\n")
    assert "passed: data.busted_test.test_dear" in run("test", policy, "--verbose").stdout


def test_a_test_that_fails_ends_with_1_and_says_which(policy: Path) -> None:
    with open(policy / "models_test.rego", "a") as file:
        file.write("\ntest_wrong if false\n")

    result = run("test", policy)

    assert result.exit_code == 1
    assert "models_test.rego:7: failed: data.busted_test.test_wrong: is undefined" in result.stdout
    assert run("test", policy, "--run", "dear").exit_code == 0
    assert [one["result"] for one in lines(run("test", policy, "--format", "json"))] == [
        "passed",
        "failed",
    ]


def test_no_test_is_a_failure(policy: Path) -> None:
    assert run("test", policy, "--run", "nothing").exit_code == 1


def test_a_filter_that_is_no_expression_is_a_usage_error(policy: Path) -> None:
    assert run("test", policy, "--run", "(").exit_code == 2


def test_results_are_written_as_junit_xml(policy: Path, tmp_path: Path) -> None:
    with open(policy / "models_test.rego", "a") as file:
        file.write("\ntest_wrong if false\n\ntest_error if 1 / 0 == 1\n\ntodo_test_x if true\n")
    path = tmp_path / "junit.xml"

    run("test", policy, "--junit", path)

    suite = xml.parse(path).getroot()
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert found == {
        "data.busted_test.test_dear": [],
        "data.busted_test.test_wrong": ["failure"],
        "data.busted_test.test_error": ["error"],
        "data.busted_test.todo_test_x": ["skipped"],
    }
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == list("4111")


def test_coverage_of_tests_is_told(policy: Path) -> None:
    assert "models.rego: " in run("test", policy, "--coverage").stdout


def test_answers_that_were_kept_are_what_is_expected_later(
    policy: Path, events: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "expected.jsonl"
    expected.write_text(run("eval", "--dir", policy, "--input", events, "--format", "json").stdout)
    against = ["--events", str(events), "--expect", str(expected)]

    assert run("test", policy, *against).exit_code == 0
    (policy / "models.rego").write_text(POLICY.replace("gpt-4o", "gpt-5"))
    result = run("test", policy, *against)

    assert result.exit_code == 1
    assert f'{expected}:1: action: expected "deny", got "allow"' in result.stdout
    assert "4 events, 2 not as expected" in result.stdout


@pytest.mark.parametrize("change", [lambda kept: kept[:-1], lambda kept: [*kept, "{}"]])
def test_as_many_answers_are_expected_as_there_are_events(
    policy: Path, events: Path, tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    expected = tmp_path / "expected.jsonl"
    expected.write_text("\n".join(change(["{}"] * 4)))

    result = run("test", policy, "--events", events, "--expect", expected)

    assert result.exit_code == 1
    assert "ends before the other" in result.stderr


# replay


def test_what_would_have_been_denied_is_told_by_agent_and_rule(policy: Path, events: Path) -> None:
    result = run("replay", "--dir", policy, "--against", events)

    assert result.exit_code == 0
    head, *rows, total = result.stdout.splitlines()
    assert head.split() == ["DECISION", "COUNT", "AGENT", "ACTION", "RULE", "REASON"]
    assert [row.split()[:4] for row in rows] == [
        ["deny", "1", "python3", "Prompt"],
        ["deny", "1", "python3", "Response"],
        ["audit", "1", "python3", "ToolCall"],
        ["audit", "1", "codex", "ToolCall"],
    ]
    assert "too dear" in rows[0]
    assert total == "4 events: 2 denied, 2 audited"


def test_the_difference_of_two_policies_is_told(policy: Path, events: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.rego"
    other.write_text(POLICY.replace('"audit" if', '"deny" if'))

    told = lines(
        run("replay", "--dir", policy, "--against", events, "--diff", other, "--format", "json")
    )

    assert [(one["before"], one["decision"], one["agent"]) for one in told] == [
        ("deny", "audit", "python3"),
        ("deny", "audit", "codex"),
    ]


# learn


def test_a_learned_policy_passes_check_and_denies_nothing_of_what_it_saw(
    events: Path, tmp_path: Path
) -> None:
    learned = tmp_path / "learned.rego"

    assert run("learn", events, "--output", learned).exit_code == 0
    assert run("check", learned).exit_code == 0
    replayed = run("replay", "--dir", learned, "--against", events)
    assert replayed.stdout == "4 events: 0 denied, 0 audited\n"
    assert learned.read_text() == run("learn", events).stdout


def test_a_policy_that_is_there_is_never_overwritten(events: Path, policy: Path) -> None:
    result = run("learn", events, "--output", policy / "models.rego")

    assert result.exit_code == 1
    assert "File exists" in result.stderr
    assert (policy / "models.rego").read_text() == POLICY


def test_nothing_is_learned_from_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()

    result = run("learn", empty)

    assert result.exit_code == 1
    assert "nothing in it to learn from" in result.stderr


# all


def test_without_the_extra_the_pip_command_is_printed() -> None:
    code = (
        "import sys\n"
        "sys.modules['regorus'] = None\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'regorus' else found(name)\n"
        "from busted.cli.main import main\n"
        "try: main(['policy', 'eval', '--rule', 'package busted'])\n"
        "except SystemExit as end: print(end.code)\n"
        "sys.stdout.flush()\n"
    )

    ended = python(code)

    assert ended.stdout == b"3\n"
    assert b"pip install 'busted[policy]'" in ended.stderr


def test_runs_of_lines_are_told_as_ranges() -> None:
    assert ranges({7, 1, 3, 4, 5}) == "1, 3-5, 7"
