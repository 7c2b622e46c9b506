"""What is shipped beside the program fits the program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from busted.agent.monitor import TICK_SECONDS
from busted.kernel.privileges import PRIVILEGES
from busted.sinks.metrics import Metrics
from tests.requirements import ROOT, require, tool

RULES = ROOT / "deploy/prometheus/busted.rules.yml"
UNIT = ROOT / "deploy/systemd/busted.service"
DROP_INS = tuple(sorted((ROOT / "deploy/systemd/drop-ins").glob("*.conf")))
DASHBOARD = ROOT / "deploy/grafana/busted.json"

_EXPOSED = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def exposed() -> set[str]:
    """The names under which Prometheus knows our figures."""
    return {
        family.name + suffix
        for family in Metrics().registry.collect()
        for suffix in _EXPOSED[family.type]
    }


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_every_figure_that_is_asked_for_exists(file: Path) -> None:
    asked = set(re.findall(r"\bbusted_\w+", file.read_text()))
    assert asked
    assert asked <= exposed()


def test_the_dashboard_shows_every_figure() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"busted_\w+", target["expr"])
    }
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in exposed()} == {
        name.removesuffix("_bucket") for name in shown
    }
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


def test_the_document_tells_every_figure_with_its_labels() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    told = dict(re.findall(r"^\| `(busted_\w+)` \| (.*?) \|", text, re.MULTILINE))
    families = {
        f"{family.name}{'_total' if family.type == 'counter' else ''}"
        for family in Metrics().registry.collect()
    }
    assert told.keys() == families
    labels = {name for names in told.values() for name in re.findall(r"`(\w+)`", names)}
    shown = DASHBOARD.read_text()
    assert all(f"{{{{{label}}}}}" in shown for label in labels - {"model"})


def lines(unit: Path, name: str) -> list[str]:
    """The values of a directive, each line's words."""
    found = re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)
    return [word for line in found for word in line.split()]


def unit_directory(directory: Path, *drop_ins: Path) -> Path:
    """The unit, with a command that is there, and the drop-ins that an operator copied."""
    unit = directory / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/busted", "/bin/true"))
    extended = directory / f"{UNIT.name}.d"
    extended.mkdir()
    for drop_in in drop_ins:
        shutil.copy(drop_in, extended)
    return unit


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("drop_ins", [(), DROP_INS], ids=["alone", "with drop-ins"])
def test_systemd_takes_the_unit_without_a_word(tmp_path: Path, drop_ins: tuple[Path, ...]) -> None:
    require("systemd")
    done = analyze("verify", "--man=no", unit_directory(tmp_path, *drop_ins))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_the_service_little_exposed(tmp_path: Path) -> None:
    require("systemd")
    # Of 100, which is a service that may do anything; `OK` ends at 49.
    done = analyze(
        "security", "--offline=true", "--threshold=32", unit_directory(tmp_path), "--no-pager"
    )

    assert done.returncode == 0, done.stdout


def test_the_unit_gives_the_documented_capabilities_and_no_others() -> None:
    documented = {privilege.name for privilege in PRIVILEGES if not privilege.until}

    assert set(lines(UNIT, "AmbientCapabilities")) == documented
    assert set(lines(UNIT, "CapabilityBoundingSet")) == documented
    for drop_in in DROP_INS:
        more = lines(drop_in, "AmbientCapabilities")
        assert more
        assert lines(drop_in, "CapabilityBoundingSet") == more


def test_the_service_is_told_alive_far_more_often_than_systemd_asks() -> None:
    (limit,) = lines(UNIT, "WatchdogSec")

    assert float(limit.removesuffix("s")) > TICK_SECONDS * 10


def test_prometheus_takes_the_rules() -> None:
    require("promtool")
    promtool = tool("promtool")
    assert promtool
    done = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", RULES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{RULES.read_text().count('- alert:')} rules found" in done.stdout
