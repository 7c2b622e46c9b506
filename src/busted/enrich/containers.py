"""In which container and pod a process runs.

The kernel says in which control group, runtimes name those of their containers in ways of their
own (`containers_table`), and their files say the rest (`runtime_files`). A control group of
version 2 has an id, which records carry, so a process that is gone is found as long as its
container is there; with version 1 alone, or beside it, /proc tells of processes that still run.

Containers may run containers (Docker in Docker, kind). The innermost is told, with the pod that is
nearest to it. What makes those is inside of a container and may call them as it likes, so the files
of the host are not asked about them: they could only borrow the name of another.

All of it is learned once a control group, and what Kubernetes says (`pods`) comes beside it:
nothing here waits for anybody.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from busted.enrich.containers_table import NAMES, PARENTS, POD, USER, Runtime
from busted.enrich.files import read_file
from busted.enrich.pods import Pods
from busted.enrich.runtime_files import ContainerFacts, RuntimeFiles
from busted.events import Event, Process

# Control groups and processes that are remembered: a host has a few hundred of the first, and the
# others are only those that version 1 alone has in a container.
MAX_GROUPS = 8192
# A host runs hundreds of containers, and starts thousands in a day.
MAX_CONTAINERS = 4096
# Longer paths are cut by the kernel (PATH_MAX); version 1 has a dozen lines.
MAX_CGROUP_BYTES = 64 << 10
# A look through all control groups, for one whose processes are gone: so many at most, and so
# often. A hundred of them take 3 ms.
MAX_LOOKED_AT = 4096
LOOK_SECONDS = 1.0

_NAMES = tuple((re.compile(row.pattern), row.runtime) for row in NAMES)
_POD, _USER = re.compile(POD), re.compile(USER)


class Cgroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the path of a control group says: nothing, or which container it is of.

    `user` is whose it is, if rootless; `nested` says that it is in another container.
    """

    container: str | None = None
    runtime: Runtime | None = None
    pod_uid: str | None = None
    user: int | None = None
    nested: bool = False


class CgroupFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a control group is of, by its id; or, without one, the one that a process is in."""

    group: Cgroup
    cgroup_id: str = ""
    pid: int = 0
    start_time: str = ""


Facts = CgroupFacts | ContainerFacts

K = TypeVar("K")
V = TypeVar("V")


class Containers:
    """The containers known; calling it with an event fills in that of its process."""

    def __init__(
        self,
        files: RuntimeFiles | None = None,
        pods: Pods | None = None,
        *,
        proc: Path = Path("/proc"),
        cgroups: Path | None = None,
        found: Callable[[Facts], None] = lambda facts: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cgroups` is the root of the version 2 hierarchy; `found` hears what was found out.

        Without `files` nothing is looked at, as in a replay: only `learn` tells.
        """
        self.pods = Pods() if pods is None else pods
        self._files, self._proc, self._cgroups = files, proc, cgroups
        self._found, self._clock = found, clock
        self._groups: dict[str, Cgroup] = {}
        self._processes: dict[tuple[int, str], Cgroup] = {}
        self._containers: dict[str, ContainerFacts] = {}
        self._looked = float("-inf")

    # What is learned

    def look(self, pid: int, start_time: str) -> None:
        """Read of a running process in which control group it is; `start_time` as events tell."""
        known = self._processes.get((pid, start_time))
        # One that is in none may still come into one: runtimes start a process, then move it.
        if self._files is None or (known and known.container):
            return
        text = read_file(self._proc / str(pid) / "cgroup", MAX_CGROUP_BYTES)
        if not text:
            return
        unified, group = of_process(text)
        cgroup_id = None if unified is None else self._id(unified)
        if cgroup_id is not None and cgroup_id not in self._groups:
            self._learn_group(CgroupFacts(of_path(unified or ""), cgroup_id))
        if cgroup_id is None or group != self._groups[cgroup_id]:
            self._learn_group(CgroupFacts(group, pid=pid, start_time=start_time))

    def learn(self, facts: Facts) -> None:
        """Take facts, from here or from a recording."""
        if isinstance(facts, ContainerFacts):
            _keep(self._containers, facts.id, facts, MAX_CONTAINERS)
        elif facts.cgroup_id:
            _keep(self._groups, facts.cgroup_id, facts.group, MAX_GROUPS)
        else:
            _keep(self._processes, (facts.pid, facts.start_time), facts.group, MAX_GROUPS)

    def _learn_group(self, facts: CgroupFacts) -> None:
        self.learn(facts)
        self._found(facts)
        group = facts.group
        if group.container is None or group.container in self._containers or not self._files:
            return
        about = ContainerFacts(group.container, group.runtime)
        if not group.nested:
            about = self._files.read(group.container, group.runtime, group.user)
        self.learn(about)
        self._found(about)

    # What an event gets

    def __call__(self, event: Event) -> Event:
        """Add container and pod to the event's process."""
        process = event.process
        group = self._group_of(process)
        if group is None or group.container is None:
            return event
        container = _use(self._containers, group.container)
        if container is None:
            container = ContainerFacts(group.container, group.runtime)
        process = replace(
            process,
            container_id=container.id,
            container_runtime=container.runtime,
            container_name=container.name,
            image=container.image,
            pod=container.pod,
            namespace=container.namespace,
        )
        pod_uid = group.pod_uid or container.pod_uid
        if pod_uid is not None:
            process = self.pods.add(process, pod_uid)
        return replace(event, process=process)

    def _group_of(self, process: Process) -> Cgroup | None:
        by_process = self._processes.get((process.pid, process.start_time or ""))
        group = _use(self._groups, process.cgroup_id or "")
        if group is None and by_process is None and process.cgroup_id:
            group = self._look_for(process.cgroup_id)
        # Version 1 has a process in a container where version 2 has all in its root.
        return by_process if group is None or group.container is None else group

    def _look_for(self, cgroup_id: str) -> Cgroup | None:
        """Look through the control groups for one that no process told of in time."""
        now = self._clock()
        if self._files is None or self._cgroups is None or now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        for inode, path in _walk(self._cgroups):
            if str(inode) == cgroup_id:
                self._learn_group(CgroupFacts(of_path(path), cgroup_id))
                return self._groups[cgroup_id]
        return None

    def _id(self, path: str) -> str | None:
        """Return the id of a control group of version 2: the inode number of its directory."""
        if self._cgroups is None:
            return None
        try:
            return str((self._cgroups / path.lstrip("/")).stat().st_ino)
        except (OSError, ValueError):
            return None


def of_process(text: bytes) -> tuple[str | None, Cgroup]:
    """Return what /proc/PID/cgroup says: the path in version 2, and the container of any path.

    A line is `number:controllers:path` (cgroups(7)); version 2 has the number 0.
    """
    unified, found = None, Cgroup()
    for line in text.decode("utf-8", "replace").splitlines():
        number, _, rest = line.partition(":")
        _, _, path = rest.partition(":")
        # The directory of a container that ended, with a process left over (cgroups(7)).
        path = path.removesuffix(" (deleted)")
        group = of_path(path)
        if number == "0":
            unified = path
            if group.container is not None:
                return unified, group
        if found.container is None:
            found = group
    return unified, found


def of_path(path: str) -> Cgroup:
    """Return which container a control group is of: the innermost in its path."""
    found, pod_uid, user, parent = Cgroup(), None, None, ""
    for part in path.split("/"):
        if match := _USER.fullmatch(part):
            user = int(match["uid"])
        if match := _POD.search(part):
            pod_uid = match["uid"].replace("_", "-")
        for pattern, runtime in _NAMES:
            if match := pattern.fullmatch(part):
                found = Cgroup(
                    match["id"],
                    runtime or PARENTS.get(parent),
                    pod_uid,
                    user,
                    nested=found.container is not None,
                )
                break
        parent = part
    return found


def _walk(root: Path) -> Iterator[tuple[int, str]]:
    """Yield the inode and the path below `root` of each control group, those above first."""
    try:
        yield root.stat().st_ino, ""
    except OSError:
        return
    waiting, seen = [""], 0
    for above in waiting:
        try:
            with os.scandir(root / above) as entries:
                found = [(entry.inode(), entry.name) for entry in entries if entry.is_dir()]
        except OSError:
            continue  # it ended meanwhile
        for inode, name in found:
            path = f"{above}/{name}".lstrip("/")
            yield inode, path
            seen += 1
            if seen == MAX_LOOKED_AT:
                return
            waiting.append(path)


def _use(table: dict[K, V], key: K) -> V | None:
    """Return an entry, which is then the last to make room for others."""
    value = table.pop(key, None)
    if value is not None:
        table[key] = value
    return value


def _keep(table: dict[K, V], key: K, value: V, room: int) -> None:
    table.pop(key, None)
    table[key] = value
    if len(table) > room:
        del table[next(iter(table))]
