"""What a service tells systemd: that it is ready, alive, reading its settings anew, about to end.

One datagram a message, lines of NAME=VALUE, to the socket that NOTIFY_SOCKET names; one that begins
with @ is in the abstract namespace. A message that the service manager does not take is no reason
to stop watching: nothing here waits or raises.

Reference: sd_notify(3), "Notes" and "Well-known assignments"; systemd.service(5), WatchdogSec=.

Left out: file descriptors, and sockets of the vsock family, which virtual machines use.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Service:
    """Tells the service manager that started this process, if one did."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Open the socket, which takes no privileges later on."""
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._socket = None
        self.is_watched = _is_watched(environment)
        """Whether the service manager ends this process when it is not told that it is alive."""
        if self._address[:1] in ("/", "\0"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def ready(self, status: str) -> None:
        """It watches, or has taken on what changed; `status` is a line for people."""
        self._tell("READY=1", f"STATUS={status}")

    def alive(self) -> None:
        """The loop runs. Said more often than half of WatchdogSec, as systemd asks for."""
        if self.is_watched:
            self._tell("WATCHDOG=1")

    def reloading(self) -> None:
        """It reads its settings anew; `ready` is the end of that."""
        # Of CLOCK_MONOTONIC, as the manager compares it with when it asked.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It is about to end."""
        self._tell("STOPPING=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()

    def _tell(self, *lines: str) -> None:
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)


def _is_watched(environment: Mapping[str, str]) -> bool:
    """Tell whether there is a watchdog, and for this process (sd_watchdog_enabled(3))."""
    pid = environment.get("WATCHDOG_PID", "")
    return "WATCHDOG_USEC" in environment and pid in ("", str(os.getpid()))
