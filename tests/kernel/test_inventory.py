"""What the kernel counts of our own programs."""

from __future__ import annotations

import os

import pytest

from busted.kernel import inventory
from busted.kernel.features import probe, try_programs
from busted.kernel.network import FlowPrograms
from busted.kernel.shared import SharedMaps

pytestmark = pytest.mark.needs("kernel")


def test_a_program_of_ours_is_counted_while_the_kernel_is_told_to() -> None:
    shared = SharedMaps(1 << 16)
    programs = FlowPrograms(shared, "all", probe(), try_programs())
    try:
        counting = inventory.count_runs()
        try:
            before = _of("flow_look")
            for cookie in range(7):
                programs.look(cookie)
            after = _of("flow_look")
        finally:
            os.close(counting)
    finally:
        programs.close()
        shared.close()

    assert after.runs - before.runs == 7
    assert after.run_ns > before.run_ns


def test_what_another_process_holds_is_not_among_ours() -> None:
    assert inventory.own_programs() == []


def _of(name: str) -> inventory.Program:
    (found,) = [program for program in inventory.own_programs() if program.name == name]
    return found
