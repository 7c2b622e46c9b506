"""The monitor as a service: what it tells systemd, and what it takes on while it runs.

The service manager is a socket of ours; nothing here boots systemd.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.kernel.privileges import PRIVILEGES
from tests.e2e.bed import Bed
from tests.e2e.deadline import until
from tests.e2e.monitor import Monitor
from tests.requirements import require

# What this kernel needs: with multi uprobes, neither of those with an end.
DOCUMENTED = ",".join(p.name for p in PRIVILEGES if not p.until)
CANARY = "planted" + "-canary-value-7"
ROWS = f"""
[[providers]]
id = "mine"
name = "Mine"
hosts = ["api.openai.com"]

[[agents]]
name = "my-agent"
executables = ["curl"]

[[canaries]]
name = "backup"
value = "{CANARY}"
"""


class Manager:
    """Collects what a service tells, from a thread of its own."""

    def __init__(self) -> None:
        # Of no directory, so that any user may send.
        self.address = f"@busted-test-{os.getpid()}"
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address.replace("@", "\0"))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address.replace("@", "\0"))
        self._thread.join()
        self._socket.close()

    def count(self, state: str) -> int:
        return sum(state in told.split("\n") for told in tuple(self.told))

    def wait_for(self, state: str, count: int = 1) -> None:
        until(lambda: self.count(state) >= count, f"the service says {state}")

    def _read(self) -> None:
        while data := self._socket.recv(4096):
            self.told.append(data.decode())


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    require("e2e", "multi uprobe")
    manager = Manager()
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    try:
        yield manager
    finally:
        manager.close()


def test_a_locked_down_monitor_takes_on_its_file_and_tells_its_states(
    test_bed: Bed, manager: Manager, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    config.chmod(0o600)  # another user's, in a directory closed to it

    def left_out() -> dict[str, str]:
        told = monitor.coverages
        return dict(told[-1].get("left_out", {}))

    def reload(text: str, refused: bool) -> None:
        ready = manager.count("READY=1")
        config.write_text(text)
        monitor.process.send_signal(signal.SIGHUP)
        manager.wait_for("READY=1", ready + 1)
        until(lambda: ("config" in left_out()) is refused, "Coverage says whether it is taken on")

    with Monitor("--config", str(config), command=["tests.kernel.launch", DOCUMENTED]) as monitor:
        manager.wait_for("READY=1")
        manager.wait_for("WATCHDOG=1", 2)
        before = test_bed.ask("curl_openai", f"Say {CANARY}")
        monitor.wait_for(before.pid, "Response")

        reload(ROWS + "[hold]\nseconds = 3\n", refused=False)
        manager.wait_for("RELOADING=1")
        after = test_bed.ask("curl_openai", f"Say {CANARY}")
        monitor.wait_for(after.pid, "Response")
        monitor.wait_for(after.pid, "CanaryDetected")

        reload(ROWS.replace("[[agents]]", "[[agent]]"), refused=True)
        assert "did you mean 'agents'?" in left_out()["config"]
        still = test_bed.ask("curl_openai", "Hello?")
        monitor.wait_for(still.pid, "Response")

        reload(ROWS, refused=False)
        manager.wait_for("WATCHDOG=1", manager.count("WATCHDOG=1") + 1)
        assert monitor.stop() == 130

    def prompt(pid: int) -> tuple[str, str | None]:
        (event,) = monitor.of(pid, "Prompt")
        return event["action"]["provider"], event["process"].get("agent")

    assert prompt(before.pid) == ("openai", None)
    assert monitor.of(before.pid, "CanaryDetected") == []
    assert prompt(after.pid) == ("mine", "my-agent")
    assert prompt(still.pid) == ("mine", "my-agent")
    told = "".join(monitor.stderr)
    assert f"{config}: changed, and taken on: agents, canaries, providers\n" in told
    assert f"{config}: changed, but takes a restart: hold.seconds\n" in told
    assert manager.told[-1] == "STOPPING=1"
