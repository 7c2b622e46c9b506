import faulthandler
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.policy.sources import PolicyError
from busted.policy.testing import TEST_SECONDS, Lines, Report, covered, run
from tests.requirements import ROOT

POLICY = """\
package busted

import rego.v1

default decision := "allow"

decision := "deny" if input.model == "big"

decision := "audit" if input.model == "odd"
"""
HEAD = "package busted_test\n\nimport rego.v1\n\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "models.rego").write_text(POLICY)
    return tmp_path


def run_with(
    directory: Path,
    rules: str,
    name: str = "models_test.rego",
    seconds: float = TEST_SECONDS,
) -> Report:
    (directory / name).write_text(HEAD + rules)
    return run(directory, seconds=seconds)


def results(report: Report) -> dict[str, str]:
    return {outcome.name.rpartition("test.")[2]: outcome.result for outcome in report.outcomes}


def test_a_test_passes_when_it_is_true_and_fails_when_it_is_not(directory: Path) -> None:
    report = run_with(
        directory,
        'test_big if data.busted.decision == "deny" with input as {"model": "big"}\n'
        'test_small if data.busted.decision == "deny" with input as {"model": "small"}\n'
        "test_false := false\n"
        'test_text := "yes"\n',
    )

    assert results(report) == {
        "test_big": "passed",
        "test_small": "failed",
        "test_false": "failed",
        "test_text": "passed",
    }
    assert [(o.line, o.message) for o in report.outcomes if o.result == "failed"] == [
        (6, "is undefined"),
        (7, "is false"),
    ]
    assert report.failed


def test_a_policy_whose_tests_all_pass_has_not_failed(directory: Path) -> None:
    report = run_with(directory, "test_true if true\n")

    assert not report.failed
    assert {outcome.file for outcome in report.outcomes} == {"models_test.rego"}


def test_a_failing_evaluation_is_an_error_with_its_place(directory: Path) -> None:
    (outcome,) = run_with(directory, "test_error if { x := 1 / 0; x == 1 }\n").outcomes

    assert outcome.result == "error"
    assert outcome.message
    assert "models_test.rego:5:" in outcome.message


def test_each_case_of_a_table_counts(directory: Path) -> None:
    report = run_with(
        directory, 'test_cases[name] := ok if { some name in ["a", "b"]; ok := name == "a" }\n'
    )

    assert results(report) == {"test_cases[a]": "passed", "test_cases[b]": "failed"}


def test_todo_is_skipped_and_no_failure(directory: Path) -> None:
    report = run_with(directory, "todo_test_later if false\n")

    assert results(report) == {"todo_test_later": "skipped"}
    assert not report.failed


def test_a_name_that_is_there_twice_is_an_error(directory: Path) -> None:
    report = run_with(directory, "test_same if true\ntest_same if false\n")

    assert [(o.result, o.line) for o in report.outcomes] == [("error", 5), ("error", 6)]


def test_only_wanted_tests_run(directory: Path) -> None:
    (directory / "models_test.rego").write_text(HEAD + "test_one if true\ntest_two if true\n")

    report = run(directory, re.compile("one$"))

    assert results(report) == {"test_one": "passed"}


def test_what_a_test_prints_is_kept(directory: Path) -> None:
    (outcome,) = run_with(directory, 'test_print if print("seen", 1)\n').outcomes

    assert any("seen 1" in line for line in outcome.prints)


def test_one_without_end_is_told_and_costs_only_its_file(directory: Path) -> None:
    endless = (
        "{ some i in numbers.range(1, 50000); some j in numbers.range(1, 50000); i + j < 0 }\n"
    )
    (directory / "other_test.rego").write_text(
        HEAD.replace("busted", "other") + "test_other if true\n"
    )

    report = run_with(
        directory,
        f"test_first if true\ntest_endless if {endless}test_last if true\n",
        seconds=1.0,
    )

    assert results(report) == {
        "test_first": "passed",
        "test_endless": "error",
        "test_last": "error",
        "test_other": "passed",
    }
    told = {o.name.rpartition(".")[2]: o.message for o in report.outcomes}
    assert told["test_last"] is not None
    assert told["test_last"].startswith("not run: data.busted_test.test_endless")


@pytest.fixture
def quiet_crash() -> Iterator[None]:
    # pytest has every process tell where it died; ours is meant to.
    faulthandler.disable()
    yield
    faulthandler.enable(2)


@pytest.mark.usefixtures("quiet_crash")
def test_one_that_takes_all_memory_is_told(directory: Path) -> None:
    (outcome,) = run_with(
        directory, "test_huge if count(numbers.range(1, 1000000000)) > 0\n"
    ).outcomes

    assert (outcome.result, outcome.message) == ("error", "brought its process down")


def test_of_several_files_that_decide_a_test_is_about_the_one_it_is_named_after(
    directory: Path,
) -> None:
    (directory / "hosts.rego").write_text(POLICY.replace("model", "host"))
    (directory / "hosts_test.rego").write_text(
        'package hosts_test\n\nimport rego.v1\n\ntest_host if data.busted.decision == "deny" '
        'with input as {"host": "big"}\n'
    )

    report = run_with(
        directory, 'test_model if data.busted.decision == "deny" with input as {"model": "big"}\n'
    )

    assert results(report) == {"test_model": "passed", "test_host": "passed"}


def test_a_test_that_may_be_about_several_files_is_an_error(directory: Path) -> None:
    (directory / "hosts.rego").write_text(POLICY.replace("model", "host"))

    (outcome,) = run_with(directory, "test_it if true\n", "all_test.rego").outcomes

    assert outcome.result == "error"
    assert outcome.message
    assert "name a test after the file" in outcome.message


def test_data_of_the_policy_is_there(directory: Path) -> None:
    (directory / "data.json").write_text('{"limit": 7}')

    assert results(run_with(directory, "test_data if data.limit == 7\n")) == {"test_data": "passed"}


def test_coverage_tells_lines_that_no_test_reached(directory: Path) -> None:
    (directory / "models_test.rego").write_text(
        HEAD + 'test_big if data.busted.decision == "deny" with input as {"model": "big"}\n'
    )

    report = run(directory, coverage=True)

    assert report.coverage.keys() == {"models.rego"}
    assert 7 in report.coverage["models.rego"].covered


def test_the_policies_that_come_with_busted_pass_tests_that_reach_every_line() -> None:
    report = run(ROOT / "policies", coverage=True)

    assert [outcome for outcome in report.outcomes if outcome.result != "passed"] == []
    assert report.coverage.keys() == {
        str(path.relative_to(ROOT / "policies"))
        for path in (ROOT / "policies").rglob("*.rego")
        if not path.name.endswith("_test.rego")
    }
    assert {name: lines.missed for name, lines in report.coverage.items() if lines.missed} == {}


def test_coverage_of_events_tells_lines_that_none_reached(directory: Path) -> None:
    (directory / "models.rego").write_text(
        POLICY + '\nreason := sprintf("%v is big", [input.model]) if {\n\tdecision == "deny"\n'
        "\tinput.told\n}\n"
    )

    none = covered(directory, [b'{"model": "small"}', b"nonsense"])["models.rego"]
    some = covered(directory, [b'{"model": "big"}'])["models.rego"]

    assert 13 in none.missed
    assert 13 in some.covered


def test_two_runs_cover_what_either_does() -> None:
    one, two = Lines(frozenset({1}), frozenset({2, 3})), Lines(frozenset({2}), frozenset({1, 3}))

    assert one + two == Lines(frozenset({1, 2}), frozenset({3}))


def test_a_policy_that_cannot_be_loaded_says_where(directory: Path) -> None:
    (directory / "wrong_test.rego").write_text("package busted_test\n\ntest_x if {\n")

    with pytest.raises(PolicyError, match=r"wrong_test\.rego:4"):
        run(directory)


def test_a_directory_without_tests_has_no_outcomes(directory: Path) -> None:
    assert run(directory) == Report([], {})
