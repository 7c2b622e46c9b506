"""A real `busted monitor` as a subprocess, with all it prints collected.

It runs in the namespaces of the host and needs root. It is ready when it prints its first
line: that tells what it watches. What ends is reported within a second or so; whatever is
left, by the time `stop()` returns, since the monitor empties its buffers before it ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any

from tests.e2e.deadline import until
from tests.e2e.sandbox import DIES_WITH_US, ROOT

Event = dict[str, Any]
"""An event as its JSON says, see docs/events.md."""

# Attaching takes about a second; this many do on a machine with much else to do.
STOP_SECONDS = 30.0


class Monitor:
    """A context in which a monitor watches this host; `show` is given each line it prints."""

    def __init__(
        self,
        *options: str,
        output: str = "json",
        content: str = "full",
        show: Callable[[str], object] = lambda line: None,
        command: Sequence[str] = ("busted.cli.main",),
        whole: Sequence[str] = (),
    ) -> None:
        """Options are those of `busted monitor`; `output` is its `--format`.

        `command` is the module that runs the command, and its own arguments; `whole` is all of it,
        options too.
        """
        self._command = list(whole) or [
            *(*DIES_WITH_US, sys.executable, "-m", *command, "monitor"),
            *("--format", output, "--content", content, *options),
        ]
        self._decodes, self._show = output == "json", show
        # Its key and what else it keeps are not this host's; tests have a directory for theirs.
        self._state = tempfile.TemporaryDirectory(prefix="busted-state-")
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self.events: list[Event] = []

    def __enter__(self) -> Monitor:
        """Start it and wait until it watches."""
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={
                "STATE_DIRECTORY": self._state.name,
                **os.environ,
                "PYTHONPATH": str(ROOT / "src"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_output, args=[self.process.stdout]),
            threading.Thread(target=self._read_errors, args=[self.process.stderr]),
        ]
        for reader in self._readers:
            reader.start()
        try:
            # In JSON and in text; what was on its way already may come before.
            words = ('"type":"Coverage"', " --- ")
            self._wait(
                lambda: any(word in line for word in words for line in tuple(self.stdout)),
                "it says what it watches",
            )
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, in peace if it has been told to stop."""
        self._kill()

    @property
    def lost(self) -> dict[str, int]:
        """What it said last of its losses, by place, where they are not zero."""
        lost = self.coverages[-1].get("lost", {})
        return {place: count for place, count in lost.items() if count}

    @property
    def coverages(self) -> list[Event]:
        """What it said of itself so far: the actions, not those of connections."""
        actions = [event["action"] for event in tuple(self.events)]
        return [one for one in actions if one["type"] == "Coverage" and "connection" not in one]

    def of(self, pid: int, kind: str | None = None) -> list[Event]:
        """Return what a process exchanged so far, or only its actions of a kind."""
        return [
            event
            for event in tuple(self.events)
            if event["process"]["pid"] == pid
            and ("exchange_id" in event if kind is None else event["action"]["type"] == kind)
        ]

    def wait_for(self, pid: int, kind: str, count: int = 1) -> list[Event]:
        """Wait for so many actions of a kind by a process; return all that it exchanged."""
        self._wait(lambda: len(self.of(pid, kind)) >= count, f"{count} {kind} of process {pid}")
        return self.of(pid)

    def wait_for_lines(self, part: str, count: int = 1) -> None:
        """Wait for so many lines of its output that hold `part`."""

        def there() -> bool:
            return sum(part in line for line in tuple(self.stdout)) >= count

        self._wait(there, f"{count} lines with {part!r}")

    def wait_until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until it is so, which `what` says of it, while it runs."""
        self._wait(true, what)

    def stop(self) -> int:
        """Interrupt it as Ctrl-C does and return its exit code, when all its output is read."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Return its exit code when it has ended and all its output is read."""
        code = self.process.wait(STOP_SECONDS)
        for reader in self._readers:
            reader.join()
        return code

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        try:
            until(lambda: true() or self.process.poll() is not None, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._said()}") from error
        if self.process.poll() is not None and not true():
            # The last lines may still be on their way.
            self.wait()
            assert true(), f"the monitor ended before: {what}\n{self._said()}"

    def _said(self) -> str:
        kinds = [(event["process"]["pid"], event["action"]["type"]) for event in self.events]
        errors = "".join(self.stderr[-20:])
        return f"exit code {self.process.poll()}, events {kinds[-40:]}, stderr:\n{errors}"

    def _kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self._state.cleanup()

    def _read_output(self, pipe: IO[str]) -> None:
        for line in pipe:
            if self._decodes:
                self.events.append(json.loads(line))
            self.stdout.append(line)
            self._show(line)

    def _read_errors(self, pipe: IO[str]) -> None:
        for line in pipe:
            self.stderr.append(line)
            self._show(line)


def busted(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "busted.cli.main", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def replay(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `busted replay` and return what came of it."""
    return busted("replay", *arguments)
