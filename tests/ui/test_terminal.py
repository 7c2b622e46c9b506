"""`busted tui` under a pseudo-terminal: whatever ends it, the terminal is as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.requirements import ROOT

DEADLINE_SECONDS = 60
# To the alternate screen and back: xterm's private mode 1049.
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"
DEMO = "from busted.cli.main import main; import sys; sys.argv[1:] = ['tui', '--demo']; main()"
BROKEN = """
from busted.ui.terminal.app import Terminal
from tests.unit.ui.terminal.samples import TEXTS, Told, prompt
class Broken(Terminal):
    def action_pause(self):
        raise RuntimeError("a bug of ours")
told = Told()
told.tell(prompt(7))
app = Broken(told, TEXTS)
app.run()
raise SystemExit(app.return_code)
"""


class Terminal:
    """A program at a terminal of 80x24."""

    def __init__(self, script: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self._slave = slave
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color"},
            start_new_session=True,
        )
        self.said = b""

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def press(self, key: bytes) -> None:
        os.write(self.master, key)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.said[-2000:]
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                self.said += os.read(self.master, 65536)

    def end(self) -> int:
        self.until(lambda: self.process.poll() is not None)
        self.until(lambda: not select.select([self.master], [], [], 0)[0])
        return self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)


@contextmanager
def terminal(script: str) -> Iterator[Terminal]:
    running = Terminal(script)
    try:
        running.until(lambda: ENTERED in running.said and b"LIVE" in running.said)
        yield running
    finally:
        running.close()


def quit_by_key(running: Terminal) -> None:
    running.press(b"q")


def quit_by_signal(running: Terminal) -> None:
    running.process.send_signal(signal.SIGTERM)


def hang_up(running: Terminal) -> None:
    running.process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize(
    ("ending", "code"), [(quit_by_key, 0), (quit_by_signal, 143), (hang_up, 129)]
)
def test_the_demo_is_shown_and_the_terminal_is_given_back(
    ending: Callable[[Terminal], None], code: int
) -> None:
    with terminal(DEMO) as running:
        running.until(lambda: b"openai" in running.said)
        assert running.settings != running.before
        ending(running)
        assert running.end() == code
        assert running.said.rindex(LEFT) > running.said.rindex(ENTERED)
        assert running.settings == running.before


def test_a_bug_of_ours_is_told_on_a_terminal_that_was_given_back() -> None:
    with terminal(BROKEN) as running:
        running.press(b" ")
        assert running.end() != 0
        told = running.said[running.said.rindex(LEFT) :]
        assert b"a bug of ours" in told
        assert running.settings == running.before


def test_without_its_extra_it_says_how_to_get_it_and_leaves_the_terminal_alone() -> None:
    running = Terminal(f"import sys; sys.modules['textual'] = None; {DEMO}")
    try:
        assert running.end() == 3
        assert b"pip install 'busted[ui]'" in running.said
        assert ENTERED not in running.said
        assert b"Traceback" not in running.said
    finally:
        running.close()


def test_without_a_terminal_it_says_so_and_what_to_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEMO],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 2
    assert "busted tail" in done.stderr
