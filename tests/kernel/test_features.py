"""What the running kernel answers when it is asked in earnest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from busted.kernel.features import try_programs
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel")


def test_a_kind_of_program_that_is_refused_is_told_with_the_kernels_reason() -> None:
    answers = try_programs().answers
    assert set(answers) == {"tp_btf", "kprobe", "fentry", "lsm"}
    assert all(answer.detail for answer in answers.values() if answer.answer == "no")
    assert not any(answer.detail for answer in answers.values() if answer.answer == "yes")


def test_tp_btf_works_and_kprobes_work_exactly_where_the_kernel_has_them() -> None:
    answers = try_programs().answers
    assert answers["tp_btf"].answer == "yes"
    kprobes = Path("/sys/bus/event_source/devices/kprobe").exists()
    assert (answers["kprobe"].answer == "yes") == kprobes


@pytest.mark.parametrize("kind", ["tp_btf", "kprobe", "fentry", "lsm"])
def test_a_kind_of_program_that_must_be_here_loads_and_attaches(kind: str) -> None:
    require(kind)
    assert try_programs().has(kind)


def test_a_trial_leaves_no_program_attached() -> None:
    before = len(os.listdir("/proc/self/fd"))
    try_programs()
    assert len(os.listdir("/proc/self/fd")) == before
