"""A test that could not run is told; where it should have run, it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import requirements
from tests.requirements import ROOT, mandatory, missing, require


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has one feature and lacks another, and nothing required of it."""
    probes = {"here": (lambda: None,), "away": (lambda: "needs away: install it",)}
    monkeypatch.setattr(requirements, "PROBES", probes)
    monkeypatch.setattr(requirements, "GROUPS", {"group": ("here", "away")})
    monkeypatch.delenv("BUSTED_REQUIRE", raising=False)
    missing.cache_clear()


def test_a_test_goes_on_where_the_feature_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def probe() -> None:
        asked.append("here")

    monkeypatch.setattr(requirements, "PROBES", {"here": (probe,)})

    require("here")

    assert asked == ["here"]


@pytest.mark.parametrize("feature", ["away", "group"])
def test_a_missing_feature_skips_with_its_reason(feature: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="needs away: install it"):
        require("here", feature)


@pytest.mark.parametrize("required", ["away", "group", " here, away "])
def test_a_missing_feature_that_must_be_there_fails(
    required: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSTED_REQUIRE", required)

    with pytest.raises(pytest.fail.Exception, match="needs away: install it"):
        require("away")


def test_a_group_that_must_be_there_fails_when_part_of_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUSTED_REQUIRE", "group")

    with pytest.raises(pytest.fail.Exception):
        require("group")


def test_a_misspelt_requirement_is_an_error() -> None:
    with pytest.raises(pytest.UsageError, match="unknown nowhere; it knows away, group, here"):
        mandatory("here,nowhere")


def test_the_summary_says_what_could_not_run_and_why(tmp_path: Path) -> None:
    file = tmp_path / "test_skipped.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_one(n): pytest.skip('needs a moon')\n"
        "def test_two(): pytest.skip('needs two moons')\n"
        "def test_three(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", f"--rootdir={tmp_path}", file],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    summary = done.stdout.split("could not run here")[1].splitlines()
    assert summary[1:3] == ["3 tests: needs a moon", "1 test: needs two moons"]
    assert "1 passed, 4 skipped" in done.stdout.splitlines()[-1]
