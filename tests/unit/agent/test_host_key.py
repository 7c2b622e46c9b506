import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from busted.agent.host_key import FILE_NAME, KEY_BYTES, KeyFileError, load, rotate


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first, second = (load(tmp_path / "state", create=True) for _ in range(2))
    path = tmp_path / "state" / FILE_NAME

    assert first.temporary is None
    assert first == second
    assert len(first.key) == KEY_BYTES
    assert path.read_bytes() == first.key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [FILE_NAME]


def test_a_key_that_was_removed_is_replaced_by_another(tmp_path: Path) -> None:
    first = load(tmp_path, create=True)
    (tmp_path / FILE_NAME).unlink()

    assert load(tmp_path, create=True).key != first.key


def test_two_that_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load(tmp_path, create=True), range(32)))

    kept = {found.key for found in keys if found.temporary is None}
    assert kept == {(tmp_path / FILE_NAME).read_bytes()}


def test_nothing_is_made_unless_asked_for(tmp_path: Path) -> None:
    found = load(tmp_path, create=False)

    assert found.temporary is not None
    assert "No such file" in found.temporary
    assert len(found.key) == KEY_BYTES
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [(b"k" * 32, 0o644, "others can read it"), (b"short", 0o600, "it has not 32 bytes")],
)
def test_a_file_that_is_no_secret_key_is_not_used_and_that_is_told(
    tmp_path: Path, content: bytes, mode: int, told: str
) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(mode)

    found = load(tmp_path, create=True)

    assert found.key != content
    assert found.temporary is not None
    assert told in found.temporary
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"k" * 32)
    (tmp_path / "other").chmod(0o600)
    (tmp_path / FILE_NAME).symlink_to("other")

    assert load(tmp_path, create=True).temporary is not None


def test_rotating_puts_another_key_in_its_place_that_only_its_owner_can_read(
    tmp_path: Path,
) -> None:
    first = load(tmp_path, create=True)

    path = rotate(tmp_path)

    second = load(tmp_path, create=False)
    assert second.temporary is None
    assert second.key != first.key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_rotating_makes_the_first_key_and_replaces_one_that_is_not_used(tmp_path: Path) -> None:
    path = rotate(tmp_path / "state")
    path.chmod(0o644)
    rotate(tmp_path / "state")

    assert load(tmp_path / "state", create=False).temporary is None


def test_a_key_that_cannot_be_changed_is_kept_and_that_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()

    with pytest.raises(KeyFileError, match=f"cannot change {tmp_path / FILE_NAME}: "):
        rotate(tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
