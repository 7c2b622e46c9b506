"""One version everywhere: the package, the changelog, what is installed."""

import importlib.metadata

import busted
from xtask import versions


def test_package_and_changelog_agree() -> None:
    assert versions.current() == busted.__version__


def test_the_installed_distribution_has_that_version() -> None:
    assert importlib.metadata.version("busted") == busted.__version__
