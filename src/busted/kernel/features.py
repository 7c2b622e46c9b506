"""What this kernel and these privileges allow: yes, no (and since which version), or unknown.

The kernel's own type information names every attach type and helper it was built with, so most
questions need no trial load. What a kernel has on paper and its lockdown or policy may still
refuse (fentry, kprobes, LSM) is tried: an empty program is loaded, attached and taken away.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

import msgspec

from busted.kernel.libbpf import BpfObject
from busted.kernel.names import MOUNTS, open_root
from busted.kernel.privileges import PRIVILEGES, capabilities, held
from busted.kernel.shared import object_path

BTF = Path("/sys/kernel/btf/vmlinux")


class CannotRun(Exception):
    """The monitor cannot work here; the message says what failed, why, and what to do."""


class Feature(msgspec.Struct, frozen=True):
    """One question about the host and its answer; `since` is the kernel that brought it."""

    name: str
    answer: Literal["yes", "no", "unknown"]
    since: str = ""
    detail: str = ""


# feature: (name in the kernel's type information, since)
_KERNEL_FEATURES = {
    "socket storage": ("BPF_MAP_TYPE_SK_STORAGE", "5.2"),
    "reading user memory": ("BPF_FUNC_probe_read_user", "5.5"),
    "ring buffer": ("BPF_MAP_TYPE_RINGBUF", "5.8"),
    "task iterator": ("bpf_iter__task", "5.8"),
    "file iterator": ("bpf_iter__task_file", "5.8"),
    "tcp iterator": ("bpf_iter__tcp", "5.9"),
    "map iterator": ("bpf_iter__bpf_map_elem", "5.9"),
    "raw tracepoint run": ("bpf_prog_test_run_raw_tp", "5.10"),
    "current task": ("BPF_FUNC_get_current_task_btf", "5.11"),
    "socket cookie": ("bpf_get_socket_ptr_cookie", "5.12"),
    "attach cookie": ("BPF_FUNC_get_attach_cookie", "5.15"),
    "bpf_loop": ("BPF_FUNC_loop", "5.17"),
    "sent length": ("btf_trace_sock_send_length", "6.3"),
    "multi uprobe": ("BPF_TRACE_UPROBE_MULTI", "6.6"),
    "session uprobe": ("BPF_TRACE_UPROBE_SESSION", "6.13"),
}


class Features(msgspec.Struct, frozen=True):
    """The answers, by name."""

    answers: dict[str, Feature]

    def has(self, name: str) -> bool:
        """True when the answer is a plain yes."""
        return self.answers[name].answer == "yes"


def probe(
    btf: Path = BTF,
    status: Path = Path("/proc/self/status"),
    mounts: Path = MOUNTS,
) -> Features:
    """Ask every question; never raises."""
    answers = [_btf(btf), *_kernel_features(btf), _cgroups(mounts), _privilege(status)]
    return Features({answer.name: answer for answer in answers})


def _btf(path: Path) -> Feature:
    if os.access(path, os.R_OK):
        return Feature("BTF", "yes", "4.18")
    return Feature("BTF", "no", "4.18", f"{path} is missing")


def _kernel_features(path: Path) -> list[Feature]:
    try:
        strings = path.read_bytes()
    except OSError as error:
        return [
            Feature(name, "unknown", since, error.strerror or "")
            for name, (_, since) in _KERNEL_FEATURES.items()
        ]
    return [
        Feature(name, "yes" if b"\0%s\0" % word.encode() in strings else "no", since)
        for name, (word, since) in _KERNEL_FEATURES.items()
    ]


def _cgroups(mounts: Path) -> Feature:
    """Programs that see packets are attached to the root of the second kind of cgroups."""
    try:
        os.close(open_root(mounts))
    except OSError as error:
        return Feature("cgroups", "no", "4.5", error.strerror or "")
    return Feature("cgroups", "yes", "4.5")


def _privilege(status: Path) -> Feature:
    try:
        effective = capabilities(status=status)
    except (OSError, ValueError) as error:
        return Feature("privilege", "unknown", detail=str(error))
    missing = [row.name for row in PRIVILEGES if row.required and not held(effective, row.name)]
    if not missing:
        return Feature("privilege", "yes")
    return Feature("privilege", "no", detail="missing " + ", ".join(missing))


# program of bpf/trial.bpf.c: (the feature, since)
_TRIALS = {
    "trial_tp_btf": ("tp_btf", "5.5"),
    "trial_kprobe": ("kprobe", "4.1"),
    "trial_fentry": ("fentry", "5.5"),
    "trial_lsm": ("lsm", "5.7"),
}


def try_programs() -> Features:
    """Load and attach one empty program of each kind that some kernels refuse; needs privileges."""
    answers = {}
    for program, (name, since) in _TRIALS.items():
        try:
            _try(program)
            answers[name] = Feature(name, "yes", since)
        except OSError as error:
            answers[name] = Feature(name, "no", since, error.strerror or str(error))
    return Features(answers)


def _try(program: str) -> None:
    trial = BpfObject(object_path("trial"))
    try:
        trial.autoload(program, True)
        trial.load()
        trial.attach(program).close()
    finally:
        trial.close()


def require(features: Features) -> None:
    """Raise CannotRun when the monitor cannot work, with what to do about it."""
    needs = {
        "privilege": "Run it as root, for example with sudo, or with these capabilities.",
        "BTF": "It needs a kernel with CONFIG_DEBUG_INFO_BTF=y, as distributions build theirs.",
        "reading user memory": "It needs Linux 5.5 or later; this is " + platform.release() + ".",
    }
    for name, remedy in needs.items():
        feature = features.answers[name]
        if feature.answer == "no":
            detail = f" ({feature.detail})" if feature.detail else ""
            raise CannotRun(f"cannot load eBPF programs: no {name}{detail}. {remedy}")
