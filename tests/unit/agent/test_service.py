from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.agent.service import Service


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager, at `notify` of the temporary directory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_a_service_manager_is_told_each_state_in_a_datagram_of_its_own(
    manager: socket.socket, tmp_path: Path
) -> None:
    service = Service({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"})

    service.ready("watching")
    assert told(manager) == ["READY=1", "STATUS=watching"]
    service.alive()
    assert told(manager) == ["WATCHDOG=1"]
    before = time.monotonic_ns() // 1000
    service.reloading()
    state, when = told(manager)
    assert state == "RELOADING=1"
    name, _, microseconds = when.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= time.monotonic_ns() // 1000
    service.stopping()
    assert told(manager) == ["STOPPING=1"]
    service.close()


def test_a_name_that_begins_with_an_at_is_abstract() -> None:
    name = f"busted-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(20)
        service = Service({"NOTIFY_SOCKET": f"@{name}"})
        service.ready("x")
        assert told(manager) == ["READY=1", "STATUS=x"]
        service.close()


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
    ids=["none", "another process's"],
)
def test_without_a_watchdog_of_its_own_it_does_not_say_that_it_is_alive(
    manager: socket.socket, tmp_path: Path, environment: dict[str, str]
) -> None:
    service = Service(environment | {"NOTIFY_SOCKET": str(tmp_path / "notify")})

    service.alive()
    service.stopping()

    assert told(manager) == ["STOPPING=1"]
    service.close()


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1234"])
def test_without_a_manager_that_listens_nothing_fails(address: str) -> None:
    service = Service({"NOTIFY_SOCKET": address} if address else {})

    service.ready("x")
    service.stopping()
    service.close()


def test_a_manager_that_does_not_read_is_not_waited_for(
    manager: socket.socket, tmp_path: Path
) -> None:
    service = Service({"NOTIFY_SOCKET": str(tmp_path / "notify")})

    for _ in range(10_000):  # more than any queue of datagrams holds
        service.stopping()

    assert told(manager) == ["STOPPING=1"]
    service.close()
