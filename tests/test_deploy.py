"""What is shipped beside the program fits the program."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from busted.sinks.metrics import Metrics
from tests.requirements import ROOT, require, tool

RULES = ROOT / "deploy/prometheus/busted.rules.yml"
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
