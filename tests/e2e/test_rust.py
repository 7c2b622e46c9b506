"""A Rust program whose rustls has ring: many tasks, over HTTP/1.1 and HTTP/2, stripped or not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.compiled import check, hook
from tests.e2e.front import AT_FRONT, http2_front
from tests.e2e.monitor import Monitor
from tests.requirements import RUST_CHAT, require


@pytest.fixture(scope="module", params=["symbols", "stripped"])
def hooked(
    request: pytest.FixtureRequest,
    monitor: Monitor,
    test_bed: Bed,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The client, once a first run of it has led to the probes."""
    require("rust client")
    program = tmp_path_factory.mktemp("rust") / "rust_chat"
    shutil.copy(RUST_CHAT, program)
    if request.param == "stripped":
        subprocess.run(["llvm-strip", "--strip-all", program], check=True)
    hook(monitor, test_bed, program, "ring")
    return program


@pytest.fixture
def front(test_bed: Bed) -> Iterator[Bed]:
    require("nghttpx")
    with http2_front(test_bed):
        yield test_bed


def test_many_tasks_with_many_connections_are_read(
    monitor: Monitor, test_bed: Bed, hooked: Path
) -> None:
    assert check(monitor, test_bed, hooked, {}) == {"1.1"}


def test_many_tasks_that_share_a_connection_are_told_apart(
    monitor: Monitor, front: Bed, hooked: Path
) -> None:
    assert check(monitor, front, hooked, AT_FRONT) == {"2"}
