"""Waiting for something to become true, and failing where it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Nothing waited for takes a second on an idle machine; ours are shared and noisy.
SECONDS = 20.0
# How often to look, in seconds.
INTERVAL = 0.01


def until(true: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Return as soon as `true()` is; raises AssertionError when `seconds` have passed."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain until {what}"
        threading.Event().wait(INTERVAL)
