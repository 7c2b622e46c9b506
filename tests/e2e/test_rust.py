"""A Rust program whose rustls has ring: many tasks, over HTTP/1.1 and HTTP/2, stripped or not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.compiled import check, hook
from tests.e2e.front import AT_FRONT, http2_front
from tests.e2e.monitor import Monitor
from tests.requirements import RUST_CHAT, require

_TLS12 = "--tls-max-proto-version=TLSv1.2"
# What the server insists on.
CIPHERS = {
    "TLS 1.3, AES-256": ("--tls13-ciphers=TLS_AES_256_GCM_SHA384",),
    "TLS 1.3, AES-128": ("--tls13-ciphers=TLS_AES_128_GCM_SHA256",),
    "TLS 1.3, ChaCha20": ("--tls13-ciphers=TLS_CHACHA20_POLY1305_SHA256",),
    "TLS 1.2, AES-128": (_TLS12, "--ciphers=ECDHE+AESGCM"),
    "TLS 1.2, ChaCha20": (_TLS12, "--ciphers=ECDHE+CHACHA20"),
}


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


def test_many_tasks_with_many_connections_are_read(
    monitor: Monitor, test_bed: Bed, hooked: Path
) -> None:
    assert check(monitor, test_bed, hooked, {}) == {"1.1"}


@pytest.mark.parametrize("options", CIPHERS.values(), ids=CIPHERS)
def test_many_tasks_that_share_a_connection_are_told_apart(
    monitor: Monitor, test_bed: Bed, hooked: Path, options: tuple[str, ...]
) -> None:
    require("nghttpx")
    with http2_front(test_bed, *options):
        assert check(monitor, test_bed, hooked, AT_FRONT) == {"2"}
