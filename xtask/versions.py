"""One version, told in three places: `busted.__version__`, the changelog and the Helm chart.

pyproject.toml reads the former, so it cannot disagree. A release is `version-bump`, which
turns what the changelog lists as unreleased into that version's entry.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULE = "src/busted/__init__.py"
CHANGELOG = "CHANGELOG.md"
CHART = "deploy/helm/busted/Chart.yaml"

# Major, minor, patch, as https://semver.org says; pre-releases are not made here.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_ASSIGNMENT = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
# https://helm.sh/docs/topics/charts/: of the chart, and of what it installs.
_IN_CHART = re.compile(r"^(version|appVersion): (.*)$", re.MULTILINE)
# As https://keepachangelog.com/en/1.1.0/ writes its headings.
_UNRELEASED = "## [Unreleased]\n"
_HEADING = re.compile(r"^## \[(?!Unreleased)(.*)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


class VersionError(Exception):
    """The versions disagree or cannot be changed; the message says where and what to do."""


def current(root: Path = ROOT) -> str:
    """Return the version, or raise VersionError when it is not told once and for all."""
    match = _ASSIGNMENT.search((root / MODULE).read_text())
    if not match or not VERSION.fullmatch(match[1]):
        raise VersionError(f'{MODULE}: no line __version__ = "X.Y.Z"')
    changelog = (root / CHANGELOG).read_text()
    if _UNRELEASED not in changelog:
        raise VersionError(f"{CHANGELOG}: no heading {_UNRELEASED.strip()}; add it above the rest")
    heading = _HEADING.search(changelog)
    if not heading:
        raise VersionError(f"{CHANGELOG}: no heading ## [X.Y.Z] - YYYY-MM-DD")
    if heading[1] != match[1]:
        raise VersionError(
            f"{MODULE} says {match[1]}, {CHANGELOG} says {heading[1]}: "
            "let `python -m xtask version-bump` change both"
        )
    told = dict(_IN_CHART.findall((root / CHART).read_text()))
    for key in ("version", "appVersion"):
        if told.get(key) != match[1]:
            raise VersionError(f"{CHART}: {key} is {told.get(key)}, {MODULE} says {match[1]}")
    return match[1]


def bump(version: str, today: date, root: Path = ROOT) -> None:
    """Make `version` the current one; it must be higher than the last."""
    last = current(root)
    if not VERSION.fullmatch(version):
        raise VersionError(f"{version!r} is not a version: write X.Y.Z, for example 0.2.0")
    if _numbers(version) <= _numbers(last):
        raise VersionError(f"{version} is not higher than {last}, the current version")
    module, changelog, chart = root / MODULE, root / CHANGELOG, root / CHART
    chart.write_text(_IN_CHART.sub(rf"\1: {version}", chart.read_text()))
    module.write_text(_ASSIGNMENT.sub(f'__version__ = "{version}"', module.read_text()))
    heading = f"{_UNRELEASED}\n## [{version}] - {today.isoformat()}\n"
    changelog.write_text(changelog.read_text().replace(_UNRELEASED, heading, 1))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
