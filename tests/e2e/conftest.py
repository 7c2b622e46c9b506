from collections.abc import Iterator

import pytest

from tests.e2e.bed import Bed, bed
from tests.requirements import require


@pytest.fixture(scope="session")
def test_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    require("unshare", "curl")
    with bed(tmp_path_factory.mktemp("bed")) as open_bed:
        yield open_bed
