"""Whatever is done to an audit log, verifying it or the next start tells."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busted.agent.audit_check import verify
from busted.agent.audit_log import AuditError
from tests.unit.agent.test_audit_log import open_log, write

LINES = 6
NUMBERS = st.integers(0, LINES - 1)
Change = Callable[[list[bytes]], list[bytes]]


def removed(index: int) -> Change:
    return lambda lines: lines[:index] + lines[index + 1 :]


def put_in(index: int, line: bytes) -> Change:
    return lambda lines: [*lines[:index], line + b"\n", *lines[index:]]


def copied(source: int, index: int) -> Change:
    return lambda lines: [*lines[:index], lines[source % len(lines)], *lines[index:]]


def moved(source: int, index: int) -> Change:
    def change(lines: list[bytes]) -> list[bytes]:
        line = lines[source % len(lines)]
        return copied(-1, index)([*removed(source % len(lines))(lines), line])[:-1]

    return change


def cut(count: int) -> Change:
    return lambda lines: b"".join(lines)[: -count - 1].splitlines(keepends=True)


def flipped(index: int, bits: int) -> Change:
    def change(lines: list[bytes]) -> list[bytes]:
        whole = bytearray(b"".join(lines))
        whole[index % len(whole)] ^= bits
        return bytes(whole).splitlines(keepends=True)

    return change


CHANGES = st.one_of(
    st.builds(removed, NUMBERS),
    st.builds(put_in, NUMBERS, st.binary(max_size=60)),
    st.builds(copied, NUMBERS, NUMBERS),
    st.builds(moved, NUMBERS, NUMBERS),
    st.builds(cut, st.integers(0, 1000)),
    st.builds(flipped, st.integers(0, 10_000), st.integers(1, 255)),
)


@given(CHANGES)
@example(cut(0))
@example(put_in(0, b""))
@example(put_in(0, b"null"))
def test_any_change_is_told(change: Change) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "audit.log"
        write(path, LINES - 1)
        before = path.read_bytes()
        path.write_bytes(b"".join(change(before.splitlines(keepends=True))))
        found = verify([path])

        if path.read_bytes() == before:
            assert found.damages == []
            return
        assert found.damages or found.cut or found.first > 1 or only_the_end_is_open(before, path)
        # The next start refuses what it cannot tie a line to, and covers nothing up.
        try:
            open_log(path).close()
        except AuditError:
            return
        again = verify([path])
        assert again.damages or again.first > 1 or not found.damages


def only_the_end_is_open(before: bytes, path: Path) -> bool:
    """Only the last line break is missing, as when the machine dies between two bytes."""
    return path.read_bytes() == before.removesuffix(b"\n")


@pytest.mark.parametrize("kept", range(200, 0, -7))
def test_a_crash_within_a_line_is_never_taken_for_damage(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "audit.log"
    write(path, 3)
    whole = path.read_bytes()
    write(path, 1)
    # The line was begun, and the head not written yet.
    begun = path.read_bytes()[len(whole) :][:kept]
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "audit.log"
    write(other, 3)
    with open(other, "ab") as file:
        file.write(begun)

    assert verify([other]).damages == []
    open_log(other).close()
    assert verify([other]).damages == []
