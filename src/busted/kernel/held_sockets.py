"""Sockets of other processes, as far as holding takes: have one send what it kept, give one room.

A program at the sockets that stops holding wakes nobody: TCP sends what it kept when its timer
says so, 0.2 s later or more. Setting TCP_NODELAY sends at once (tcp(7): "it will force an explicit
flush of pending output"). A process that writes a long request in pieces waits when the buffer
of its socket is full, though the request must be seen whole: then it gets more room.

A descriptor of another process is reached by pidfd_getfd(2), which takes CAP_SYS_PTRACE, found by
the cookie of its socket, and kept for no longer than a call: a socket that we had open would not
close when its process closes it.

Left out: sockets that no process has open any more; TCP's timer sends what they kept.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from pathlib import Path

# asm/unistd.h: one number on x86_64 and aarch64.
_PIDFD_GETFD = 438
# asm-generic/socket.h
_SO_SNDBUFFORCE, _SO_COOKIE = 32, 57
# Where the sockets of so many processes were found; an agent's host has some dozens.
MAX_PROCESSES = 1024


class HeldSockets:
    """Reaches sockets by the process and the cookie; never raises."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        """Nothing is known yet; `proc` is where the processes' descriptors are listed."""
        self._proc = proc
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._places: dict[int, dict[int, int]] = {}

    def flush(self, pid: int, cookie: int) -> bool:
        """Send now what the socket kept; False when no process has it open there."""
        found = self._open(pid, cookie)
        if found is None:
            return False
        with found:
            before = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not before:
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        return True

    def make_room(self, pid: int, cookie: int, size: int) -> bool:
        """Let the socket keep so many bytes unsent, which takes CAP_NET_ADMIN."""
        found = self._open(pid, cookie)
        if found is None:
            return False
        with found:
            try:
                # The kernel doubles it, for what it needs beside the bytes (socket(7)).
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 2 * size:
                    found.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
            except OSError:
                return False
        return True

    def forget(self, pid: int) -> None:
        """The process has ended."""
        self._places.pop(pid, None)

    def _open(self, pid: int, cookie: int) -> socket.socket | None:
        try:
            process = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            place = self._places.get(pid, {}).get(cookie)
            found = None if place is None else self._take(process, place, cookie)
            return found or self._search(process, pid, cookie)
        finally:
            os.close(process)

    def _search(self, process: int, pid: int, cookie: int) -> socket.socket | None:
        """Look through all descriptors, the latest first, and remember whose sockets they are."""
        places: dict[int, int] = {}
        found: socket.socket | None = None
        for place in self._descriptors(pid):
            taken = self._take(process, place)
            if taken is None:
                continue
            its_cookie = _cookie(taken)
            places[its_cookie] = place
            if its_cookie == cookie:
                found = taken
                break
            taken.close()
        known = self._places.pop(pid, {})
        self._places[pid] = known | places if found else places
        if len(self._places) > MAX_PROCESSES:
            del self._places[next(iter(self._places))]
        return found

    def _descriptors(self, pid: int) -> list[int]:
        directory = self._proc / str(pid) / "fd"
        found = []
        try:
            for name in os.listdir(directory):
                try:
                    if os.readlink(directory / name).startswith("socket:"):
                        found.append(int(name))
                except OSError:
                    continue  # closed meanwhile
        except OSError:
            return []
        return sorted(found, reverse=True)

    def _take(self, process: int, place: int, cookie: int | None = None) -> socket.socket | None:
        """Return our descriptor for that of a process; None when it is another socket by now."""
        fd = self._libc.syscall(_PIDFD_GETFD, process, place, 0)
        if fd < 0:
            return None
        try:
            taken = socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            return None
        if taken.type != socket.SOCK_STREAM or (cookie is not None and _cookie(taken) != cookie):
            taken.close()
            return None
        return taken


def _cookie(taken: socket.socket) -> int:
    (cookie,) = struct.unpack("=Q", taken.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8))
    return int(cookie)
