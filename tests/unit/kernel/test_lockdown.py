"""What the filter answers, worked out by hand for both machines."""

from __future__ import annotations

import errno
import struct

import pytest

from busted.kernel.lockdown import REFUSED, filter_program

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMN = {"x86_64": 0, "aarch64": 1}
# read, openat, clone, bpf, and the number that no call has yet.
READ, OPENAT, CLONE, BPF = (0, 63), (257, 56), (56, 220), (321, 280)
NEXT = 600

both = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def answer(
    machine: str,
    number: int,
    argument: int = 0,
    *,
    loads: bool = False,
    architecture: int = 0,
    allowed: frozenset[str] = frozenset(),
) -> int:
    """Run the filter as the kernel would (linux/filter.h, struct seccomp_data)."""
    data = struct.pack("<IIQQ", number, architecture or ARCHITECTURE[machine], 0, argument)
    filter = filter_program(machine, loads_programs=loads, allowed=allowed)
    code = list(struct.iter_unpack("<HBBI", filter))
    place = value = 0
    while True:
        operation, true, false, operand = code[place]
        place += 1
        match operation:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                place += true if value == operand else false
            case 0x35:
                place += true if value >= operand else false
            case 0x45:
                place += true if value & operand else false
            case 0x06:
                return int(operand)


@both
def test_what_is_listed_is_refused_and_what_watching_takes_is_not(machine: str) -> None:
    column = COLUMN[machine]
    assert {answer(machine, numbers[column]) for numbers in REFUSED.values()} == {EPERM}
    assert {answer(machine, numbers[column]) for numbers in (READ, OPENAT)} == {ALLOW}
    assert answer(machine, NEXT) == ALLOW


@both
def test_only_what_is_allowed_by_name_is_left_out(machine: str) -> None:
    answers = {
        name: answer(machine, numbers[COLUMN[machine]], allowed=frozenset({"setns"}))
        for name, numbers in REFUSED.items()
    }
    assert {name for name, answered in answers.items() if answered == ALLOW} == {"setns"}


@both
def test_a_child_may_be_forked_and_gets_no_namespace_of_its_own(machine: str) -> None:
    clone = CLONE[COLUMN[machine]]
    assert answer(machine, clone, 0x11) == ALLOW  # SIGCHLD, as fork
    assert answer(machine, clone, 0x10000000) == EPERM  # CLONE_NEWUSER
    assert answer(machine, 435) == ENOSYS


@both
@pytest.mark.parametrize(
    ("command", "loads", "expected"),
    [(5, False, EPERM), (0, False, EPERM), (6, False, EPERM), (5, True, ALLOW), (6, True, EPERM)],
)
def test_programs_are_loaded_only_where_probes_take_that(
    machine: str, command: int, loads: bool, expected: int
) -> None:
    assert answer(machine, BPF[COLUMN[machine]], command, loads=loads) == expected


@both
@pytest.mark.parametrize("command", [1, 2, 28], ids=["look-up", "update", "link"])
def test_maps_in_use_and_new_links_are_allowed(machine: str, command: int) -> None:
    assert answer(machine, BPF[COLUMN[machine]], command) == ALLOW


def test_the_numbers_of_other_machines_are_refused() -> None:
    assert answer("x86_64", 0, architecture=0x40000003) == EPERM  # i386
    assert answer("x86_64", 0x40000000) == EPERM  # x32
