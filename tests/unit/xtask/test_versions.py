from datetime import date
from pathlib import Path

import pytest

from xtask import versions

DAY = date(2026, 1, 2)
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.1.0] - 2025-12-31\n\n- first\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    module = tmp_path / versions.MODULE
    module.parent.mkdir(parents=True)
    module.write_text('"""Busted."""\n\n__version__ = "0.1.0"\n')
    (tmp_path / versions.CHANGELOG).write_text(CHANGELOG)
    chart = tmp_path / versions.CHART
    chart.parent.mkdir(parents=True)
    chart.write_text("apiVersion: v2\nname: busted\nversion: 0.1.0\nappVersion: 0.1.0\n")
    return tmp_path


def test_a_bump_changes_every_place_and_dates_what_was_unreleased(root: Path) -> None:
    versions.bump("0.2.0", DAY, root)

    assert versions.current(root) == "0.2.0"
    assert (
        "## [Unreleased]\n\n## [0.2.0] - 2026-01-02\n\n- new\n"
        in (root / versions.CHANGELOG).read_text()
    )


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "1", "v1.0.0", "1.0.0rc1", "01.0.0", ""])
def test_a_bump_to_what_is_not_a_higher_version_changes_nothing(root: Path, version: str) -> None:
    with pytest.raises(versions.VersionError):
        versions.bump(version, DAY, root)

    assert versions.current(root) == "0.1.0"
    assert (root / versions.CHANGELOG).read_text() == CHANGELOG


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (versions.MODULE, "0.1.0", "0.3.0"),
        (versions.MODULE, "__version__", "version"),
        (versions.CHANGELOG, "[0.1.0]", "[0.3.0]"),
        (versions.CHANGELOG, "[Unreleased]", "Unreleased"),
        (versions.CHANGELOG, "2025-12-31", "soon"),
        (versions.CHART, "\nversion: 0.1.0", "\nversion: 0.3.0"),
        (versions.CHART, "appVersion: 0.1.0", ""),
    ],
)
def test_a_disagreement_is_told(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(versions.VersionError):
        versions.current(root)
