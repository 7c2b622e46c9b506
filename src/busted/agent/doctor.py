"""What this host can do and what it cannot: the answers of `busted doctor`.

Each question stands in a table with what it is for and what to do; the programs are found in the
compiled objects, each loaded once and attached nowhere. What cannot be seen, for want of
privileges, is told as such. Odd content of /proc is no answer, never an error.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Literal

import msgspec

from busted import __version__
from busted.kernel import features, inventory, trials
from busted.kernel.inventory import Running
from busted.kernel.libbpf import LIBRARY, BpfError, load_library
from busted.kernel.privileges import PRIVILEGES, capabilities, held
from busted.kernel.shared import object_path
from busted.kernel.targets import Targets, mappings, running_processes

Answer = Literal["yes", "no", "unknown"]


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question: the answer, since which kernel, why, what it is for, and what to do."""

    name: str
    answer: Answer
    since: str = ""
    detail: str = ""
    needed_for: str = ""
    remedy: str = ""


class Library(msgspec.Struct, frozen=True, omit_defaults=True):
    """A TLS library in use: whether it can be hooked, `reason` why not, and whether it is now.

    `hooked` is absent where the kernel does not tell.
    """

    path: str
    kind: str
    pids: tuple[int, ...]
    answer: Answer
    reason: str = ""
    hooked: bool | None = None


class Other(msgspec.Struct, frozen=True):
    """Another program that may get in the way, or whose way we may get in."""

    pid: int
    name: str
    detail: str


class Candidate(msgspec.Struct, frozen=True):
    """A process that speaks to port 443 through a TLS stack that we do not know."""

    pid: int
    name: str
    reason: str


class Diagnosis(msgspec.Struct, frozen=True):
    """All answers; `works` is whether monitoring does, `unseen` what could not be looked at."""

    version: str
    kernel: str
    machine: str
    works: bool
    checks: tuple[Check, ...]
    enforcement: tuple[Check, ...]
    programs: tuple[Check, ...]
    privileges: tuple[Check, ...]
    libraries: tuple[Library, ...]
    candidates: tuple[Candidate, ...]
    others: tuple[Other, ...]
    unseen: tuple[str, ...]


# feature of kernel/features.py: (what it is for, what to do without)
_FEATURES = {
    "BTF": ("loading any program", "a kernel with CONFIG_DEBUG_INFO_BTF=y"),
    "ring buffer": ("records from the kernel", "Linux 5.8 or later"),
    "attach cookie": ("telling which library a record came from", "Linux 5.15 or later"),
    "multi uprobe": ("hooking without CAP_SYS_ADMIN", "Linux 6.6 or later"),
    "session uprobe": ("cheaper probes at returns", "Linux 6.13 or later; works without"),
    "tp_btf": ("network flows, processes and files", "a kernel that allows it"),
    "kprobe": ("the kernel's own functions", "none needed: tracepoints are taken instead"),
    "fentry": ("the kernel's own functions, cheaper", "none needed: tracepoints are taken instead"),
    "lsm": ("refusing what policy forbids", "`bpf` in the kernel's lsm= parameter"),
}
# means of kernel/trials.py: (what it is for, what to do without)
_MEANS = {
    "connect verdicts at cgroups": (
        "refusing connections to what policy denied",
        "mount a version 2 hierarchy of cgroups, and run in the host's cgroup namespace",
    ),
    "connect verdicts by LSM": (
        "the same, where there is no root of the cgroups",
        "`bpf` in the kernel's lsm= parameter; not needed where cgroups do it",
    ),
    "SOCK_DESTROY": (
        "ending a denied exchange",
        "a kernel with CONFIG_INET_DIAG_DESTROY=y; or `--on-deny kill`",
    ),
    "bpf_sock_destroy": ("nothing", "nothing: it is not used"),
    "signal by pidfd": ("--on-deny kill", "Linux 5.3 or later"),
}
# file: what it tells; shown as it is, it decides nothing by itself.
_SETTINGS = {
    "/sys/kernel/security/lockdown": "lockdown",
    "/proc/sys/kernel/perf_event_paranoid": "perf_event_paranoid",
    "/proc/sys/kernel/unprivileged_bpf_disabled": "unprivileged_bpf_disabled",
}
_FILE_SYSTEMS = {"bpf": "bpffs", "tracefs": "tracefs", "cgroup2": "cgroup v2"}
# name of the mapped file: (its kind, why it cannot be hooked when no place for probes is in it)
_LIBRARIES = (
    (r"libssl3\.so$|libnspr4\.so", "nss", "PR_Read and PR_Write are not among its symbols"),
    (r"libssl[.-]", "openssl", "SSL_read and SSL_write are not among its symbols"),
    (r"libgnutls\.so", "gnutls", "gnutls_record_send is not among its symbols"),
    (r"libmbedtls\.so|libwolfssl\.so|libs2n\.so", "other", "this library is not hooked yet"),
    (r"/libjvm\.so$", "java", "Java's own TLS is not hooked yet"),
)
# process name: a tool that attaches programs of its own.
_TOOLS = re.compile(
    r"tetragon|falco|cilium|tracee|bpftrace|system-probe|beyla|pixie|parca|inspektor|kepler|ecapture"
)
_HTTPS = 443


def diagnose(proc: Path = Path("/proc")) -> Diagnosis:
    """Ask everything; never raises on what it finds."""
    unseen: list[str] = []
    found = features.probe(status=proc / "self/status")
    try:
        features.require(found)
        if not found.has("privilege"):
            raise features.CannotRun("it cannot be told what this process may do")
        object_path("tls")
        load_library()
        tried, programs = features.try_programs().answers, _programs()
        means = trials.try_means()
        works = any(check.answer == "yes" for check in programs if check.name.startswith("tls/"))
    except (features.CannotRun, OSError) as error:
        means = []
        tried, programs, works = {}, (Check("all", "unknown", detail=str(error)),), False
        unseen.append("which programs load: " + str(error))
    answers = [a for a in (found.answers | tried).values() if a.name in _FEATURES]
    checks = [
        Check(
            a.name,
            a.answer,
            a.since,
            a.detail,
            _FEATURES[a.name][0],
            "" if a.answer == "yes" else _FEATURES[a.name][1],
        )
        for a in answers
    ]
    libraries, candidates, closed = _libraries(proc, _hooked(unseen))
    if closed:
        unseen.append(f"what is in other processes, {closed} of them: run as root")
    return Diagnosis(
        version=__version__,
        kernel=platform.release(),
        machine=platform.machine(),
        works=works,
        checks=(*checks, *_host(proc)),
        enforcement=tuple(
            Check(
                mean.name,
                mean.answer,
                mean.since,
                mean.detail,
                _MEANS[mean.name][0],
                "" if mean.answer == "yes" else _MEANS[mean.name][1],
            )
            for mean in means
        ),
        programs=programs,
        privileges=_privileges(proc),
        libraries=libraries,
        candidates=candidates,
        others=_others(proc, unseen),
        unseen=tuple(unseen),
    )


def live() -> list[Running]:
    """Return what running monitors count. Raises CannotRun without the privilege to ask."""
    try:
        return inventory.running_monitors()
    except BpfError as error:
        raise features.CannotRun(
            f"cannot look at a monitor: {error.strerror}. Run as root."
        ) from error


def _programs() -> tuple[Check, ...]:
    return tuple(
        Check(name, "yes" if reason is None else "no", detail=reason or "")
        for name, reason in inventory.try_all_programs().items()
    )


def _privileges(proc: Path) -> tuple[Check, ...]:
    try:
        effective = capabilities(status=proc / "self/status")
    except (OSError, ValueError) as error:
        return tuple(Check(p.name, "unknown", detail=str(error)) for p in PRIVILEGES)
    return tuple(
        Check(
            row.name,
            "yes" if held(effective, row.name) else "no",
            detail="" if held(effective, row.name) else f"without it: {row.without}",
            needed_for=row.needed_for + (f" (before Linux {row.until})" if row.until else ""),
        )
        for row in PRIVILEGES
    )


def _host(proc: Path) -> list[Check]:
    checks = []
    for file, name in _SETTINGS.items():
        value = _read(Path(file)).strip()
        checks.append(Check(name, "yes" if value else "unknown", detail=value))
    mounted = {word for line in _read(proc / "mounts").splitlines() for word in line.split()[2:3]}
    checks += [
        Check(name, "yes" if kind in mounted else "no") for kind, name in _FILE_SYSTEMS.items()
    ]
    status = dict(
        line.split(":", 1) for line in _read(proc / "self/status").splitlines() if ":" in line
    )
    filtered = status.get("Seccomp", "").strip()
    checks.append(Check("no seccomp filter", {"0": "yes", "2": "no"}.get(filtered, "unknown")))  # type: ignore[arg-type]
    whole = _read(proc / "self/uid_map").split() == ["0", "0", "4294967295"]
    checks.append(Check("first user namespace", "yes" if whole else "no"))
    own = {os.path.lexists("/.dockerenv"), os.path.lexists("/run/.containerenv")}
    checks.append(Check("outside of a container", "no" if True in own else "yes"))
    for name, ask in (("libbpf", _libbpf), ("compiled programs", _compiled)):
        try:
            checks.append(Check(name, "yes", detail=ask()))
        except OSError as error:
            checks.append(Check(name, "no", detail=str(error), needed_for="loading any program"))
    return checks


def _libbpf() -> str:
    library = load_library()
    return f"{LIBRARY} {library.libbpf_major_version()}.{library.libbpf_minor_version()}"


def _compiled() -> str:
    return object_path("tls").name


def _hooked(unseen: list[str]) -> set[str] | None:
    try:
        return inventory.hooked_files()
    except OSError:
        unseen.append("which libraries are hooked now: needs CAP_SYS_ADMIN")
        return None


def _libraries(
    proc: Path, hooked: set[str] | None
) -> tuple[tuple[Library, ...], tuple[Candidate, ...], int]:
    """Return the libraries, the processes with none that we know, and how many are closed to us."""
    targets = Targets(platform.machine(), proc)
    users: dict[tuple[str, str], set[int]] = {}
    facts: dict[str, tuple[str, Answer, str]] = {}
    candidates, closed = [], 0
    for pid in sorted(running_processes(proc)):
        # Its permissions say that all may read it; the kernel decides when it is opened.
        try:
            (proc / str(pid) / "maps").open("rb").close()
        except PermissionError:
            closed += 1
            continue
        except OSError:
            continue  # it ended
        known = False
        for mapping in mappings(pid, proc):
            if mapping.path not in facts:
                target = targets.examine(mapping)
                named = next(
                    (
                        row
                        for row in _LIBRARIES
                        if re.search(row[0], os.path.basename(mapping.path))
                        or re.search(row[0], mapping.path)
                    ),
                    None,
                )
                if target is not None:
                    facts[mapping.path] = (target.kind, "yes", "")
                    target.close()
                elif mapping.path in targets.unreadable:
                    if named:
                        facts[mapping.path] = (
                            named[1],
                            "unknown",
                            targets.unreadable[mapping.path],
                        )
                elif named:
                    facts[mapping.path] = (named[1], "no", named[2])
            if mapping.path in facts:
                known = True
                users.setdefault((mapping.path, facts[mapping.path][0]), set()).add(pid)
        if not known and _speaks_https(proc / str(pid)):
            name = _read(proc / str(pid) / "comm").strip()
            candidates.append(Candidate(pid, name, "its TLS stack is not one that we know"))
    libraries = tuple(
        Library(
            path,
            kind,
            tuple(sorted(pids)),
            facts[path][1],
            facts[path][2],
            None if hooked is None else path in hooked,
        )
        for (path, kind), pids in sorted(users.items())
    )
    return libraries, tuple(candidates), closed


def _speaks_https(process: Path) -> bool:
    try:
        links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
    except OSError:
        return False
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    if not sockets:
        return False
    for table in ("tcp", "tcp6"):
        for line in _read(process / "net" / table).splitlines()[1:]:
            words = line.split()  # proc_net_tcp(5): remote address is the third, inode the tenth
            if len(words) > 9 and words[9] in sockets and words[2].endswith(f":{_HTTPS:04X}"):
                return True
    return False


def _others(proc: Path, unseen: list[str]) -> tuple[Other, ...]:
    found = [
        Other(owner.pid, owner.name, f"holds {len(owner.programs)} eBPF programs")
        for owner in inventory.owners(proc)
        if owner.programs or _TOOLS.search(owner.name)
    ]
    for pid in running_processes(proc):
        tracer = re.search(r"^TracerPid:\t([1-9]\d*)$", _read(proc / str(pid) / "status"), re.M)
        if tracer:
            name = _read(proc / tracer[1] / "comm").strip()
            found.append(Other(int(tracer[1]), name, f"traces process {pid}"))
    try:
        inventory.loaded_programs()
    except OSError:
        unseen.append("eBPF programs of others: needs CAP_SYS_ADMIN")
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
