import hashlib
from pathlib import Path

import msgspec
import pytest

from busted.agent.audit_check import Verified, verify
from busted.agent.audit_log import AuditError, Entry, Link, head_path, line
from tests.unit.agent.test_audit_log import entries, write

COUNT = 8  # lines, with the start
LINES = {1: "1 line is", 2: "2 lines are", 3: "3 lines are"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    write(path, COUNT - 1)
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def told(found: Verified) -> list[tuple[int, str]]:
    return [(damage.line, damage.what) for damage in found.damages]


def rewrite(path: Path, changed: list[bytes]) -> list[tuple[int, str]]:
    path.write_bytes(b"".join(changed))
    return told(verify([path]))


def test_a_whole_log_has_no_damage_and_tells_its_last_line(path: Path) -> None:
    found = verify([path])

    assert (found.damages, found.cut) == ([], None)
    assert (found.lines, found.first, found.last.number) == (COUNT, 1, COUNT)
    assert found.last.hash == entries(path)[-1]["hash"]


@pytest.mark.parametrize("index", range(COUNT))
def test_a_changed_line_is_told_where_it_stands(path: Path, index: int) -> None:
    changed = lines(path)
    changed[index] = changed[index].replace(b'"host":"', b'"host":"x')

    damages = rewrite(path, changed)

    assert damages[0] == (index + 1, "it is not as it was written")
    # The last one is missed at the end as well.
    assert len(damages) == (2 if index == COUNT - 1 else 1)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("index", range(1, COUNT - 2))
def test_removed_lines_are_told_where_they_stood(path: Path, index: int, count: int) -> None:
    changed = lines(path)
    del changed[index : index + count]

    assert rewrite(path, changed) == [(index + 1, f"{LINES[count]} missing before it")]


def test_removed_first_lines_are_told_by_what_it_begins_with(path: Path) -> None:
    assert rewrite(path, lines(path)[3:]) == []
    assert verify([path]).first == 4


@pytest.mark.parametrize("count", [1, 3])
def test_lines_removed_at_the_end_are_told(path: Path, count: int) -> None:
    assert rewrite(path, lines(path)[:-count]) == [(0, f"{LINES[count]} missing at its end")]


def test_a_last_line_cut_by_somebody_is_no_crash(path: Path) -> None:
    changed = lines(path)
    changed[-1] = changed[-1][:-20]

    assert rewrite(path, changed) == [(0, "1 line is missing at its end")]
    assert verify([path]).cut is None


def test_an_inserted_line_is_told(path: Path) -> None:
    changed = lines(path)

    assert rewrite(path, [*changed[:3], b'{"decision":"allow"}\n', *changed[3:]]) == [
        (4, "it is not as it was written")
    ]
    assert rewrite(path, [*changed[:5], changed[2], *changed[5:]]) == [
        (6, "number 3 stands behind number 5: moved or put in")
    ]


def test_moved_lines_are_told(path: Path) -> None:
    changed = lines(path)
    changed[3], changed[4] = changed[4], changed[3]

    assert rewrite(path, changed) == [
        (4, "1 line is missing before it"),
        (5, "number 4 stands behind number 5: moved or put in"),
    ]


def test_a_replaced_line_with_a_hash_of_its_own_is_told_by_the_next(path: Path) -> None:
    changed = lines(path)
    entry = entries(path)[3]
    forged = changed[3].replace(b'"decision":"deny"', b'"decision":"allow"')
    assert forged != changed[3]
    before = Link(entry["number"] - 1, entry["previous"])
    changed[3] = made_again(forged, before)

    assert rewrite(path, changed) == [
        (5, "it does not follow the line before: that one was replaced")
    ]


def made_again(raw: bytes, before: Link) -> bytes:
    """The line with a hash that fits, as somebody makes it who knows how."""
    entry = msgspec.json.decode(raw, type=Entry)
    return line(entry, before)[0] + b"\n"


def test_a_chain_made_anew_is_told_by_a_hash_kept_elsewhere(path: Path, tmp_path: Path) -> None:
    known = entries(path)[-1]["hash"]
    assert verify([path], known).known_found
    path.unlink()
    head_path(path).unlink()
    write(path, COUNT, time="2026-11-23T00:00:00.000000000Z")

    assert verify([path]).damages == []
    assert not verify([path], known).known_found


def test_damage_is_found_across_files_in_any_order_of_their_names(tmp_path: Path) -> None:
    first, second, *rest = write(tmp_path / "log", 12, max_file_bytes=1500)

    assert verify([*rest, second, first]).damages == []
    found = verify([*rest, first])
    assert [(damage.file, damage.line) for damage in found.damages] == [(rest[0], 1)]
    assert "missing before it" in found.damages[0].what
    first.write_bytes(b"".join(lines(first)[:-1]))
    assert [damage.file for damage in verify([first, second, *rest]).damages] == [second]


def test_all_that_begins_with_the_name_of_the_log_can_be_given(tmp_path: Path) -> None:
    found = write(tmp_path / "log", 12, max_file_bytes=1500)

    checked = verify(sorted(tmp_path.glob("log*")))

    assert head_path(tmp_path / "log") in tmp_path.glob("log*")
    assert checked.damages == []
    assert checked.lines == 12 + len(found)


def test_a_file_that_is_not_the_last_must_not_be_cut(tmp_path: Path) -> None:
    first, *rest = write(tmp_path / "log", 12, max_file_bytes=1500)
    first.write_bytes(first.read_bytes() + b'{"numb')

    found = verify([first, *rest])

    assert told(found) == [(0, "its last line is cut, and it is not the end")]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"cannot read .*nothing: No such file"):
        verify([tmp_path / "nothing"])


def test_a_line_that_only_looks_like_ours_is_told(path: Path) -> None:
    odd = b'{"number":9,"previous":"' + b"0" * 64 + b'","type":"start","hash":"x"}\n'

    assert rewrite(path, [*lines(path), odd]) == [(COUNT + 1, "it is not as it was written")]


def test_a_line_with_a_hash_that_fits_and_no_sense_is_told(path: Path) -> None:
    last = entries(path)[-1]
    body = f'{{"number":{COUNT + 1},"previous":"{last["hash"]}","type":"start","time":{{}}'.encode()
    odd = body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'

    assert rewrite(path, [*lines(path), odd]) == [(COUNT + 1, "it says what no audit log says")]
