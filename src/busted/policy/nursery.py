"""The process that workers are forked from: `python -m busted.policy.nursery FD`.

It is started before the monitor gives up running programs (docs/privileges.md), does so itself and
more, and from then on only forks, kills and buries. It has regorus loaded but never calls it, and
never gets a policy or an event. It ends when the monitor's end of the socket is closed; so do
the workers, each with its own.

As root it becomes the user nobody: whatever is wrong in a native library that reads what people
wrote to models, it is not wrong as root. Its workers may not open anything, start anything or
leave anything on disk.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys

from busted.policy.messages import (
    CRASHED,
    OUT_OF_MEMORY,
    End,
    Ended,
    Fork,
    Forked,
    Frames,
    frame,
    received_fds,
)
from busted.policy.worker import work

# The user and group "nobody" on all distributions, and of what has no user in a container.
_NOBODY = 65534
# Its own socket, one of a worker, and those that Python opens for a moment.
_MAX_FILES = 16


def main() -> None:
    """Serve until the monitor is gone."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    _give_up_privileges()
    frames = Frames()
    children: set[int] = set()
    while True:
        message, fds = received_fds(connection, frames)
        if isinstance(message, Fork):
            pid = _fork(connection, fds, message.memory_bytes)
            children.add(pid)
            connection.sendall(frame(Forked(pid)))
        elif isinstance(message, End):
            connection.sendall(frame(Ended(_end(message.pid, children))))
        else:
            break
        for fd in fds:
            os.close(fd)
    for pid in list(children):
        _end(pid, children)


def _fork(connection: socket.socket, fds: list[int], memory_bytes: int) -> int:
    """Return the worker's process id, 0 if there can be none."""
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid:
        return pid
    status = CRASHED
    try:
        connection.close()
        _confine(memory_bytes)
        work(socket.socket(fileno=fds[0]))
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    finally:
        # Neither the parent's clean-up nor what it has not written yet is the child's. A panic in
        # Rust comes here, too: it is no Exception, and what it left behind is not to be trusted.
        os._exit(status)


def _end(pid: int, children: set[int]) -> int:
    """Kill a child that may be dead already; return its exit status, or minus the signal."""
    if pid not in children:
        return 0
    children.discard(pid)
    finished, status = os.waitpid(pid, os.WNOHANG)
    if not finished:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _give_up_privileges() -> None:
    # Root in a container may lack the right to, or the user: then only what follows confines it.
    with contextlib.suppress(OSError):
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_FILES, _MAX_FILES))
    # What people wrote must not lie about in a core dump.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A terminal and a service manager send these to all processes at once. They are for the
    # monitor, which has events to be judged before it ends us.
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, signal.SIG_IGN)


def _confine(memory_bytes: int) -> None:
    with open("/proc/self/statm") as status:
        pages = int(status.read().split()[0])
    limit = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    # What is open stays usable; nothing can be opened or connected any more.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


if __name__ == "__main__":
    main()
