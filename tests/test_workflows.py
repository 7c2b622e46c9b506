"""The workflows of GitHub Actions are such, and use what this repository has."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.requirements import ACTIONLINT, ROOT, require
from tests.test_docs import targets
from tests.vm.__main__ import BROUGHT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_there_is_one_for_changes_and_one_for_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_the_linter_has_nothing_to_say(workflow: Path) -> None:
    require("actionlint")
    # Those of shells and of Python are tools of their own, which may be here or not.
    command = [str(ACTIONLINT), "-no-color", "-shellcheck=", "-pyflakes=", str(workflow)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_would_say_it(tmp_path: Path) -> None:
    require("actionlint")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    needs: b\n    steps: []\n"
    )

    assert subprocess.run([str(ACTIONLINT), str(wrong)], capture_output=True).returncode == 1


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())

    assert used
    assert [
        each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", each)
    ] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_they_run_exists(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    text = "\n".join(step.get("run", "") for job in jobs for step in job["steps"])
    chosen = [
        name for job in jobs for name in job.get("strategy", {}).get("matrix", {}).get("test", [])
    ]

    assert {*re.findall(r"\bmake ([a-z-]+)", text), *chosen} <= targets().keys()
    assert all(
        (ROOT / script).is_file() for script in re.findall(r"(?:scripts|\.ci)/[\w./]+", text)
    )


def test_every_kernel_that_the_tests_know_is_in_the_matrix() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]

    assert set(jobs["kernels"]["strategy"]["matrix"]["kernel"]) == BROUGHT.keys()
