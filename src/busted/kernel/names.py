"""The programs that see names on the wire, attached at the root of the cgroups.

They hang on links, which go when their descriptors do: a monitor that dies leaves nothing.
Programs of others stay as they are; a link never replaces one. What cannot be attached is left
out with its reason, and the rest works on.
"""

from __future__ import annotations

import os
from pathlib import Path

from busted import records
from busted.kernel.libbpf import BpfObject, Link
from busted.kernel.shared import SharedMaps

MOUNTS = Path("/proc/self/mounts")

# Programs of bpf/names.bpf.c, and what is missing without each.
PROGRAMS = {
    "names_sent": "ClientHellos, QUIC and DNS questions",
    "names_received": "DNS answers",
    "names_connect4": "IPv4 connections",
    "names_connect6": "IPv6 connections",
    "names_sendmsg4": "unconnected DNS and QUIC over IPv4",
    "names_sendmsg6": "unconnected DNS and QUIC over IPv6",
    "names_released": "the end of QUIC connections",
}
_ENDS = "names_released"

# The inode number of the root directory: every cgroup has its id there, and the first is 1.
_ROOT_INODE = 1


class NamePrograms:
    """The loaded object and its links. Raises OSError when nothing of it works here."""

    def __init__(self, shared: SharedMaps, mounts: Path = MOUNTS) -> None:
        """Load and attach; `left_out` says which programs could not be, and why."""
        self.left_out: dict[str, str] = {}
        self._links: list[Link] = []
        root = open_root(mounts)
        try:
            self._object = self._load(shared)
            self._quic_flows = self._object.map("quic_flows")
            for program in PROGRAMS:
                if program not in self.left_out:
                    self._attach(program, root)
        finally:
            os.close(root)

    def _load(self, shared: SharedMaps, *, ends: bool = True) -> BpfObject:
        opened = shared.open("names")
        opened.autoload(_ENDS, ends)
        try:
            opened.load()
        except OSError:
            opened.close()
            if not ends:
                raise
            # Nothing but a try tells whether the kernel has that kind of program.
            opened = self._load(shared, ends=False)
            self.left_out[_ENDS] = f"{PROGRAMS[_ENDS]}: needs Linux 5.9"
        return opened

    def _attach(self, program: str, root: int) -> None:
        try:
            self._links.append(self._object.attach_cgroup(program, root))
        except OSError as error:
            self.left_out[program] = f"{PROGRAMS[program]}: {error.strerror}"

    def program_fd(self, program: str) -> int:
        """Return the descriptor of a program, which stays ours."""
        return self._object.program_fd(program)

    def look_quic(self, cookie: int, remote: bytes, remote_port: int) -> bytes | None:
        """Return a record of how a flow of QUIC stands; None: not known.

        `cookie` is the socket's; the far end is as in `records.Flow`. Raises BpfError.
        """
        value = self._quic_flows.lookup(records.QUIC_KEY.pack(cookie, remote, remote_port))
        if value is None:
            return None
        flow = bytearray(value[: records.FLOW.size])
        flow[records.FLOW.offsets["operation"]] = records.FlowOperation.LOOK
        return bytes(flow)

    def detach(self) -> None:
        """Remove the programs; what the ring holds can still be read."""
        for link in self._links:
            link.close()
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()


def open_root(mounts: Path = MOUNTS) -> int:
    """Open the root of the version 2 hierarchy of cgroups. Raises OSError with what to do.

    It may be mounted beside version 1 (systemd's hybrid layout), and more than once.
    """
    reason = "no version 2 hierarchy is mounted: mount -t cgroup2 none DIRECTORY"
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        # proc_pid_mounts(5) and getmntent(3): spaces and such in a path are octal.
        _, path, kind, *_ = line.split(" ")
        if kind != "cgroup2":
            continue
        fd = os.open(_unescaped(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if os.fstat(fd).st_ino == _ROOT_INODE:
            return fd
        os.close(fd)
        reason = (
            "only a part of the cgroups is visible here: run in the host's cgroup namespace "
            "(--cgroupns=host)"
        )
    raise FileNotFoundError(2, reason)


def _unescaped(path: str) -> bytes:
    return os.fsencode(path).decode("unicode_escape").encode("latin-1")
