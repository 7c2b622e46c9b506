"""Runs the `busted` command as its users do: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

SRC = Path(__file__).parents[3] / "src"
BUSTED = [sys.executable, "-m", "busted.cli.main"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SRC)}
# Generous: other tests may keep the machine busy.
DEADLINE = 60.0


def run(
    *args: str | Path, input: bytes | None = None, stdout: IO[bytes] | int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Run `busted` to its end."""
    return subprocess.run(
        [*BUSTED, *map(str, args)],
        input=input,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        timeout=DEADLINE,
        check=False,
    )


def start(*args: str | Path) -> subprocess.Popen[bytes]:
    """Start `busted` with pipes at all its ends."""
    return subprocess.Popen(
        [*BUSTED, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )


def python(code: str) -> subprocess.CompletedProcess[bytes]:
    """Run some Python that uses `busted`; it must succeed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=DEADLINE,
        check=True,
    )
