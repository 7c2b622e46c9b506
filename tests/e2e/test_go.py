"""A stripped Go program, whose TLS is its own: many goroutines, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bed import HERE, Bed
from tests.e2e.compiled import check, hook
from tests.e2e.front import AT_FRONT, http2_front
from tests.e2e.monitor import Monitor
from tests.requirements import GO_COMMAND, ROOT, require

# Compiling Go's own library anew takes a quarter of a minute, and more on a busy machine.
BUILD_SECONDS = 300.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, stripped and built without network."""
    require("go")
    built = tmp_path_factory.mktemp("go") / "go_chat"
    settings = {"GOCACHE": str(ROOT / ".cache/go-build"), "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    subprocess.run(
        [GO_COMMAND, "build", "-ldflags=-s -w", "-o", built, "."],
        cwd=HERE / "go_chat",
        env=os.environ | settings,
        check=True,
        timeout=BUILD_SECONDS,
    )
    return built


@pytest.fixture(scope="module")
def hooked(monitor: Monitor, test_bed: Bed, program: Path) -> Path:
    """The client, once a first run of it has led to the probes."""
    hook(monitor, test_bed, program, "go")
    return program


@pytest.fixture
def front(test_bed: Bed) -> Iterator[Bed]:
    require("nghttpx")
    with http2_front(test_bed):
        yield test_bed


def test_many_goroutines_with_many_connections_are_read(
    monitor: Monitor, test_bed: Bed, hooked: Path
) -> None:
    assert check(monitor, test_bed, hooked, {}) == {"1.1"}


def test_many_goroutines_that_share_a_connection_are_told_apart(
    monitor: Monitor, front: Bed, hooked: Path
) -> None:
    assert check(monitor, front, hooked, AT_FRONT) == {"2"}
