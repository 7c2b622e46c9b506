from collections.abc import Iterator

import pytest

from tests.e2e.bed import Bed, bed
from tests.e2e.monitor import Monitor
from tests.requirements import require


@pytest.fixture(scope="session")
def test_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    require("unshare", "curl")
    with bed(tmp_path_factory.mktemp("bed")) as open_bed:
        yield open_bed


@pytest.fixture(scope="module")
def monitor(test_bed: Bed) -> Iterator[Monitor]:
    """One monitor for all tests of a module, which must have lost nothing in any of them."""
    require("e2e")
    with Monitor() as running:
        yield running
        assert running.stop() == 130, running.stderr
        assert running.lost == {}
