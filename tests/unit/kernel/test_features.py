"""What a host allows, asked of made-up files of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from busted.kernel import features
from busted.kernel.features import CannotRun, Features, probe, require
from busted.kernel.programs import Way, best_buffer, best_way


def older(since: str, version: str) -> bool:
    return [*map(int, since.split("."))] < [*map(int, version.split("."))]


ALL = [name for name, _ in features._KERNEL_FEATURES.values()]
BEFORE = {
    version: [name for name, since in features._KERNEL_FEATURES.values() if older(since, version)]
    for version in ("5.8", "5.9", "5.15", "6.6", "6.13")
}
ROOT = 0x1FFFFFFFFFF
SYS_ADMIN, PERFMON, BPF = 1 << 21, 1 << 38, 1 << 39


class Host:
    """Files that say what a kernel and a process can do."""

    def __init__(self, directory: Path) -> None:
        self.btf, self.status = directory / "vmlinux", directory / "status"
        self.built_with(ALL)
        self.may(ROOT)
        self.mounts = directory / "mounts"
        self.mounts.write_text("none /proc cgroup2 rw 0 0\n")

    def built_with(self, names: list[str]) -> None:
        words = ["", "unsigned int", *names, "task_struct", ""]
        self.btf.write_bytes(b"\x9f\xeb\1\0" + "\0".join(words).encode())

    def may(self, capabilities: int) -> None:
        self.status.write_text(f"Name:\tbusted\nCapPrm:\t0\nCapEff:\t{capabilities:016x}\n")

    def probe(self) -> Features:
        return probe(self.btf, self.status, self.mounts)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def refusal(host: Host) -> str:
    with pytest.raises(CannotRun) as caught:
        require(host.probe())
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_host_with_everything_can_run(host: Host) -> None:
    found = host.probe()
    require(found)
    assert {answer.answer for answer in found.answers.values()} == {"yes"}
    assert best_way(found) == "session"


@pytest.mark.parametrize(
    ("names", "way"),
    [
        (ALL, "session"),
        (BEFORE["6.13"], "multi"),
        (BEFORE["6.6"], "perf"),
        (BEFORE["5.15"], "perf"),
    ],
    ids=["6.13", "6.12", "6.5", "5.14"],
)
def test_the_best_way_to_attach_that_the_kernel_has_is_taken(
    host: Host, names: list[str], way: Way
) -> None:
    host.built_with(names)
    require(host.probe())
    assert best_way(host.probe()) == way


def test_a_longer_name_does_not_count_as_the_feature(host: Host) -> None:
    host.btf.write_bytes(b"\0BPF_MAP_TYPE_RINGBUF_OTHER\0x_BPF_TRACE_UPROBE_MULTI\0")
    found = host.probe()
    assert not found.has("ring buffer")
    assert not found.has("multi uprobe")


def test_no_btf_is_one_clear_message(host: Host) -> None:
    host.btf.unlink()
    message = refusal(host)
    assert message.startswith("cannot load eBPF programs: no BTF")
    assert str(host.btf) in message
    assert "CONFIG_DEBUG_INFO_BTF=y" in message


def test_without_btf_the_rest_is_unknown_not_no(host: Host) -> None:
    host.btf.unlink()
    assert host.probe().answers["ring buffer"].answer == "unknown"
    assert not host.probe().has("ring buffer")


def test_an_old_kernel_is_one_clear_message(host: Host) -> None:
    host.built_with([])
    message = refusal(host)
    assert message.startswith("cannot load eBPF programs: no reading user memory")
    assert "5.5" in message


def test_no_privilege_is_one_clear_message_that_names_what_is_missing(host: Host) -> None:
    host.may(0)
    assert refusal(host) == (
        "cannot load eBPF programs: no privilege (missing CAP_BPF, CAP_PERFMON). "
        "Run it as root, for example with sudo, or with these capabilities."
    )


@pytest.mark.parametrize(
    ("capabilities", "enough"),
    [
        (SYS_ADMIN, True),
        (BPF | PERFMON, True),
        (BPF, False),
        (PERFMON, False),
        (ROOT & ~SYS_ADMIN & ~BPF, False),
    ],
)
def test_either_the_old_capability_or_both_new_ones_are_enough(
    host: Host, capabilities: int, enough: bool
) -> None:
    host.may(capabilities)
    assert host.probe().has("privilege") is enough


@pytest.mark.parametrize(
    "status",
    [b"", b"CapEff:\n", b"CapEff:\tmany\n", b"Name:\t\xff\xfe\n"],
    ids=["empty", "no value", "no number", "no text"],
)
def test_a_status_that_cannot_be_read_is_unknown_and_no_reason_to_refuse(
    host: Host, status: bytes
) -> None:
    host.status.write_bytes(status)
    assert host.probe().answers["privilege"].answer == "unknown"
    require(host.probe())


def test_a_missing_status_is_unknown(host: Host) -> None:
    host.status.unlink()
    assert host.probe().answers["privilege"].answer == "unknown"


def test_without_a_ring_buffer_perf_buffers_are_taken(host: Host) -> None:
    assert best_buffer(host.probe()) == "ring"
    host.built_with(BEFORE["5.8"])
    require(host.probe())
    assert best_buffer(host.probe()) == "perf"


@pytest.mark.parametrize(
    ("mounts", "answer"),
    [
        # The root of /proc has the same inode number as that of the cgroups: 1.
        ("none /proc cgroup2 rw 0 0\n", "yes"),
        ("none /proc/self cgroup2 rw 0 0\n", "no"),
        ("tmpfs /proc tmpfs rw 0 0\ncgroup /proc cgroup rw,memory 0 0\n", "no"),
    ],
)
def test_cgroups_are_found_where_they_are_mounted(host: Host, mounts: str, answer: str) -> None:
    host.mounts.write_text(mounts)
    assert host.probe().answers["cgroups"].answer == answer
